"""Runs one model in OpenVINO or LiteRT: python peer.py ENGINE FILE THREADS

A JSON request per line on standard input, a JSON answer per line on standard
output, the first one when ready.
"""
import base64
import json
import sys
import time

import numpy as np


def openvino(file, threads):
    import openvino as ov

    model = ov.Core().compile_model(file, "CPU", {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"})
    request, port = model.create_infer_request(), model.input(0)

    def prepare(raw):
        request.set_input_tensor(0, ov.Tensor(np.frombuffer(raw, port.element_type.to_dtype()).reshape(port.shape).copy()))

    return ov.__version__.split("-")[0], prepare, request.infer, lambda: request.get_output_tensor(0).data


def litert(file, threads):
    import importlib.metadata

    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=file, num_threads=threads)
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()

    def prepare(raw):
        interpreter.set_tensor(source["index"], np.frombuffer(raw, source["dtype"]).reshape(source["shape"]))

    return importlib.metadata.version("ai-edge-litert"), prepare, interpreter.invoke, lambda: interpreter.get_tensor(result["index"])


def answer(**value):
    print(json.dumps(value), flush=True)


def main(engine, file, threads):
    version, prepare, infer, output = {"openvino": openvino, "litert": litert}[engine](file, int(threads))
    answer(version=version)
    for line in sys.stdin:
        request = json.loads(line)
        prepare(base64.b64decode(request["input"]))
        millis = []
        for _ in range(request["frames"]):
            start = time.perf_counter()
            infer()
            millis.append((time.perf_counter() - start) * 1e3)
        answer(output=base64.b64encode(np.ascontiguousarray(output(), np.float32).tobytes()).decode(), millis=millis)


try:
    main(*sys.argv[1:])
except Exception as error:
    answer(error=f"{type(error).__name__}: {error}")
