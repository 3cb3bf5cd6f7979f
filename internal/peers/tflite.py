"""Writes a .q8 file as a .tflite file, for LiteRT: python tflite.py MODEL.q8 OUT.tflite

Integer operations by integer operations. A convolution with a residual is rounded on its
own before the sum, with a scale that clips nothing. The classifier reads real numbers
and quantizes them anew for each picture. The input is the picture minus 128, already
surrounded by the first convolution's padding: its zero points, one for each channel, are
nothing that an operation of TFLite pads with.

Schema: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""
import json
import struct
import sys

import ai_edge_litert.schema_py_generated as s
import flatbuffers
import numpy as np

TYPES = {"I8": np.int8, "I32": np.int32, "F32": np.float32}
CODES = {np.dtype(np.int8): s.TensorType.INT8, np.dtype(np.int32): s.TensorType.INT32, np.dtype(np.float32): s.TensorType.FLOAT32}


def read(path):
    """The graph of a .q8 file, and its arrays by name."""
    data = open(path, "rb").read()
    length, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    graph = json.loads(header.pop("__metadata__")["graph"])
    arrays = {}
    for name, t in header.items():
        begin, end = (8 + length + o for o in t["data_offsets"])
        arrays[name] = np.frombuffer(data[begin:end], TYPES[t["dtype"]]).reshape(t["shape"])
    return graph, arrays


class Writer:
    def __init__(self, graph, arrays):
        self.arrays, self.buffers, self.opcodes = arrays, [s.BufferT()], []
        self.subgraph = s.SubGraphT(tensors=[], operators=[], inputs=[], outputs=[])
        self.at, self.tensors = {}, {"image": dict(graph["input"], scale=1, zero=[0])}
        first = next(l for l in graph["layers"] if l["inputs"] == ["image"])
        self.border = [first["window"][side] for side in ("top", "bottom", "left", "right")]
        top, bottom, left, right = self.border
        shape = graph["input"]["shape"]
        self.at["image"] = self.tensor("image", (1, top + shape["h"] + bottom, left + shape["w"] + right, shape["c"]), np.int8, [1], [0])
        self.subgraph.inputs = [self.at["image"]]
        for layer in graph["layers"]:
            write = getattr(self, layer["op"], None)
            if write is None:
                sys.exit(f"{layer['name']}: {layer['op']} has no form in TFLite")
            write(layer)
            self.tensors[layer["name"]] = layer["output"]
        self.subgraph.outputs = [self.at[graph["layers"][-1]["name"]]]

    def bytes(self):
        model = s.ModelT(version=3, operatorCodes=self.opcodes, subgraphs=[self.subgraph], buffers=self.buffers, description="")
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return builder.Output()

    def tensor(self, name, shape, dtype, scale=None, zero=None, axis=0, data=None):
        buffer = 0
        if data is not None:
            buffer = len(self.buffers)
            self.buffers.append(s.BufferT(data=np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)))
        quantization = None
        if scale is not None:
            quantization = s.QuantizationParametersT(scale=[float(v) for v in scale], zeroPoint=[int(z) for z in zero], quantizedDimension=axis)
        self.subgraph.tensors.append(s.TensorT(name=name, shape=list(shape), type=CODES[np.dtype(dtype)], buffer=buffer, quantization=quantization))
        return len(self.subgraph.tensors) - 1

    def constant(self, name, data, scale=None, axis=0):
        return self.tensor(name, data.shape, data.dtype, scale, None if scale is None else [0] * len(scale), axis, data)

    def operator(self, code, inputs, output, options=None):
        kind = 0 if options is None else getattr(s.BuiltinOptions, type(options).__name__[:-1])
        version = {"FULLY_CONNECTED": 9, "CONV_2D": 5, "DEPTHWISE_CONV_2D": 6, "PADV2": 2}.get(code, 2)
        value = getattr(s.BuiltinOperator, code)
        self.opcodes.append(s.OperatorCodeT(builtinCode=value, deprecatedBuiltinCode=min(value, 127), version=version))
        self.subgraph.operators.append(s.OperatorT(opcodeIndex=len(self.opcodes) - 1, inputs=inputs, outputs=[output],
                                                   builtinOptionsType=kind, builtinOptions=options))
        return output

    def output(self, layer, name=None, scale=None, zero=None):
        """The tensor that a layer makes, or one of its shape."""
        out, shape = layer["output"], layer["output"]["shape"]
        if out["type"] != "int8":
            sys.exit(f"{layer['name']}: an output of {out['type']} has no form in TFLite")
        at = self.tensor(name or layer["name"], (1, shape["h"], shape["w"], shape["c"]), np.int8, [scale or out["scale"]], out["zero"] if zero is None else [zero])
        if name is None:
            self.at[layer["name"]] = at
        return at

    def padded(self, layer, value):
        """The input of a window, with its padding as an operation of its own."""
        name, window = layer["inputs"][0], layer["window"]
        pads = [(0, 0), (window["top"], window["bottom"]), (window["left"], window["right"]), (0, 0)]
        if name == "image" or not np.any(pads):
            return self.at[name]
        t = self.tensors[name]
        shape = [1, t["shape"]["h"] + sum(pads[1]), t["shape"]["w"] + sum(pads[2]), t["shape"]["c"]]
        fill = self.tensor(layer["name"] + ".fill", [1], np.int8, [t["scale"]], t["zero"], data=np.array([value], np.int8))
        out = self.tensor(layer["name"] + ".padded", shape, np.int8, [t["scale"]], t["zero"])
        return self.operator("PADV2", [self.at[name], self.constant(layer["name"] + ".pads", np.array(pads, np.int32)), fill], out, s.PadV2OptionsT())

    def conv(self, layer):
        name, window, out = layer["name"], layer["window"], layer["output"]
        x = self.tensors[layer["inputs"][0]]
        weight, multiplier = self.arrays[name + ".weight"], self.arrays[name + ".multiplier"]
        real = multiplier.astype(np.float64) * 2.0 ** (layer.get("shift", 0) - 37)  # steps of the output
        scale = real * out["scale"] / x["scale"]
        offset = float(out["zero"][0])
        if len(layer["inputs"]) > 1:
            ratio = layer["residual"] / 64
            residual = self.tensors[layer["inputs"][1]]
            offset -= ratio * residual["zero"][0]
        sums = weight.reshape(len(weight), -1).sum(1, dtype=np.int64)
        bias = self.arrays[name + ".bias"] + sums * x["zero"][0] - np.round(offset / real).astype(np.int64)
        if np.abs(bias).max() > np.iinfo(np.int32).max:
            sys.exit(f"{name}: a bias beyond int32 has no form in TFLite")
        depthwise = layer["groups"] == layer["in_channels"] and layer["groups"] > 1
        if depthwise:
            weight = weight.reshape(len(weight), -1).T.reshape(1, window["kh"], window["kw"], -1)
        inputs = [self.padded(layer, x["zero"][0]), self.constant(name + ".weight", weight, scale, 3 if depthwise else 0),
                  self.constant(name + ".bias", bias.astype(np.int32), scale * x["scale"])]
        options = s.Conv2DOptionsT
        if depthwise:
            options = lambda **o: s.DepthwiseConv2DOptionsT(depthMultiplier=layer["out_channels"] // layer["in_channels"], **o)
        options = options(padding=s.Padding.VALID, strideW=window["stride_w"], strideH=window["stride_h"],
                          dilationWFactor=window.get("dilation_w", 1) or 1, dilationHFactor=window.get("dilation_h", 1) or 1)
        code = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        if len(layer["inputs"]) == 1:
            self.operator(code, inputs, self.output(layer), options)
            return
        # The range of the output less that of the residual: beyond it the output saturates.
        lowest = -128 - out["zero"][0] - ratio * (127 - residual["zero"][0])
        summand = self.output(layer, name + ".convolved", (1 + ratio) * out["scale"], round(-128 - lowest / (1 + ratio)))
        self.operator(code, inputs, summand, options)
        self.operator("ADD", [summand, self.at[layer["inputs"][1]]], self.output(layer), s.AddOptionsT())

    def pool(self, layer, code, fill):
        w = layer["window"]
        self.operator(code, [self.padded(layer, fill)], self.output(layer), s.Pool2DOptionsT(
            padding=s.Padding.VALID, strideW=w["stride_w"], strideH=w["stride_h"], filterWidth=w["kw"], filterHeight=w["kh"]))

    def maxpool(self, layer):
        self.pool(layer, "MAX_POOL_2D", -128)

    def avgpool(self, layer):
        self.pool(layer, "AVERAGE_POOL_2D", self.tensors[layer["inputs"][0]]["zero"][0])

    def add(self, layer):
        self.operator("ADD", [self.at[i] for i in layer["inputs"]], self.output(layer), s.AddOptionsT())

    def mul(self, layer):
        self.operator("MUL", [self.at[i] for i in layer["inputs"]], self.output(layer), s.MulOptionsT())

    def concat(self, layer):
        self.operator("CONCATENATION", [self.at[i] for i in layer["inputs"]], self.output(layer), s.ConcatenationOptionsT(axis=3))

    def axes(self, layer):
        return self.constant(layer["name"] + ".axes", np.array([1, 2], np.int32))

    def mean(self, layer):
        if layer["output"]["type"] == "int16":  # finer than int8: of real numbers
            return self.globalsum(layer)
        self.operator("MEAN", [self.at[layer["inputs"][0]], self.axes(layer)], self.output(layer), s.ReducerOptionsT(keepDims=True))

    def real(self, name):
        """The real values of a tensor."""
        shape, kind = (getattr(self.subgraph.tensors[self.at[name]], field) for field in ("shape", "type"))
        if kind == s.TensorType.FLOAT32:
            return self.at[name]
        return self.operator("DEQUANTIZE", [self.at[name]], self.tensor(name + ".real", shape, np.float32), s.DequantizeOptionsT())

    def globalsum(self, layer):
        shape = layer["output"]["shape"]
        out = self.tensor(layer["name"], (1, 1, 1, shape["c"]), np.float32)
        self.at[layer["name"]] = self.operator("MEAN", [self.real(layer["inputs"][0]), self.axes(layer)], out, s.ReducerOptionsT(keepDims=True))

    def dense(self, layer):
        name, source = layer["name"], layer["inputs"][0]
        x, scale, bias = self.at[source], self.arrays[name + ".scale"], self.arrays[name + ".bias"].astype(np.int64)
        if self.tensors[source]["type"] == "int8":
            x = self.real(source)
            bias = bias + self.arrays[name + ".weight"].sum(1, dtype=np.int64) * self.tensors[source]["zero"][0]
        weight = self.arrays[name + ".weight"].reshape(len(scale), -1)
        out = self.tensor(name, (1, len(scale)), np.float32)
        self.at[name] = self.operator("FULLY_CONNECTED", [x, self.constant(name + ".weight", weight, scale / self.tensors[source]["scale"]),
                                      self.constant(name + ".bias", (bias * scale).astype(np.float32))], out, s.FullyConnectedOptionsT(asymmetricQuantizeInputs=True))


if __name__ == "__main__":
    open(sys.argv[2], "wb").write(Writer(*read(sys.argv[1])).bytes())
