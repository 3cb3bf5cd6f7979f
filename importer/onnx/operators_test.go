package onnx_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"edgeclassify/calibrate/fp32"
	"edgeclassify/importer/onnx"
	"edgeclassify/internal/onnxpb"
	"edgeclassify/internal/peers"
	"edgeclassify/internal/testneed"
	"edgeclassify/models"
	exporter "edgeclassify/onnx"
)

// file is an ONNX model under construction.
type file struct {
	onnxpb.ModelProto
	prefix string // of its names
	random *rand.Rand
}

// picture begins a model whose input x has those dimensions; 0 leaves one open.
func picture(opset int64, dims ...int64) *file {
	f := &file{random: rand.New(rand.NewPCG(3, 3))}
	f.OpsetImport = []*onnxpb.OperatorSetIdProto{{Version: &opset}}
	f.IrVersion = proto.Int64(8)
	shape := &onnxpb.TensorShapeProto{}
	for _, d := range dims {
		shape.Dim = append(shape.Dim, &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d}})
		if d == 0 {
			shape.Dim[len(shape.Dim)-1].Value = &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: "n"}
		}
	}
	f.Graph = &onnxpb.GraphProto{Name: proto.String("g"), Input: []*onnxpb.ValueInfoProto{{Name: proto.String("x"), Type: typed(shape)}}}
	return f
}

func typed(shape *onnxpb.TensorShapeProto) *onnxpb.TypeProto {
	return &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(1), Shape: shape}}}
}

type attributes map[string]any

func (a attributes) protos() (out []*onnxpb.AttributeProto) {
	for name, v := range a {
		p := &onnxpb.AttributeProto{Name: &name}
		switch v := v.(type) {
		case int:
			p.I, p.Type = proto.Int64(int64(v)), onnxpb.AttributeProto_INT.Enum()
		case float64:
			p.F, p.Type = proto.Float32(float32(v)), onnxpb.AttributeProto_FLOAT.Enum()
		case string:
			p.S, p.Type = []byte(v), onnxpb.AttributeProto_STRING.Enum()
		case []int64:
			p.Ints, p.Type = v, onnxpb.AttributeProto_INTS.Enum()
		case *onnxpb.TensorProto:
			p.T, p.Type = v, onnxpb.AttributeProto_TENSOR.Enum()
		}
		out = append(out, p)
	}
	return out
}

// add appends a node and returns its output.
func (f *file) add(op string, a attributes, inputs ...string) string {
	name := fmt.Sprintf("%s%s_%d", f.prefix, op, len(f.Graph.Node))
	f.Graph.Node = append(f.Graph.Node, &onnxpb.NodeProto{OpType: &op, Name: &name, Input: inputs, Output: []string{name}, Attribute: a.protos()})
	return name
}

// weights appends an initializer.
func (f *file) weights(values []float32, dims ...int64) string {
	t := &onnxpb.TensorProto{Name: proto.String(fmt.Sprintf("%sw%d", f.prefix, len(f.Graph.Initializer))), Dims: dims, FloatData: values, DataType: proto.Int32(1)}
	f.Graph.Initializer = append(f.Graph.Initializer, t)
	return t.GetName()
}

// normal appends random weights.
func (f *file) normal(dims ...int64) string {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(f.random.NormFloat64()) / 2
	}
	return f.weights(values, dims...)
}

func (f *file) number(v float32) string { return f.weights([]float32{v}) }

// integers appends a list.
func (f *file) integers(values ...int64) string {
	name := f.weights(nil, int64(len(values)))
	t := f.Graph.Initializer[len(f.Graph.Initializer)-1]
	t.DataType, t.Int64Data = proto.Int32(7), values
	return name
}

// mix ends the model with weights on each of the n values of a tensor.
func (f *file) mix(x string, n int64) {
	x = f.add("Reshape", nil, x, f.integers(1, -1))
	f.end(f.add("MatMul", nil, x, f.normal(n, 5)))
}

func (f *file) end(x string) {
	f.Graph.Output = append(f.Graph.Output, &onnxpb.ValueInfoProto{Name: &x, Type: typed(nil)})
}

func (f *file) save(t testing.TB) string {
	b, err := proto.Marshal(f)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "net.onnx")
	require.NoError(t, os.WriteFile(path, b, 0o600))
	return path
}

// noise is a random picture, in HWC order.
func noise(n int) []float32 {
	random := rand.New(rand.NewPCG(5, 5))
	image := make([]float32, n)
	for i := range image {
		image[i] = float32(random.NormFloat64()) * 2
	}
	return image
}

// reference is what ONNX Runtime makes of an input.
func reference(t *testing.T, path string, input []float32) []float32 {
	s, err := peers.ONNXRuntime("../../build/peers", path, peers.Options{Threads: 1, Exact: true})
	if errors.Is(err, peers.ErrMissing) {
		testneed.Missing(t, "%v", err)
	}
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	out, _, err := s.Run(input, 1)
	require.NoError(t, err)
	return out
}

// run is what the float path makes of an image.
func run(t *testing.T, g *models.Graph, image []float32) []float32 {
	e, err := fp32.NewExecutor(g, 1)
	require.NoError(t, err)
	out, err := e.Run(image, nil)
	require.NoError(t, err)
	return slices.Clone(out)
}

func kinds(g *models.Graph) string {
	var out []string
	for _, n := range g.Nodes {
		name := n.Op.Kind()
		if a, ok := n.Op.(models.Activation); ok {
			name = string(a.Function)
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

// conv is a convolution to six channels that keeps the plane.
func (f *file) conv(x string, channels int64) string {
	return f.add("Conv", attributes{"pads": []int64{1, 1, 1, 1}}, x, f.normal(6, channels, 3, 3), f.normal(6))
}

func TestOperators(t *testing.T) {
	type pads = []int64
	activation := func(op string, a attributes) func(*file) {
		return func(f *file) { f.mix(f.add(op, a, "x"), 3*7*9) }
	}
	cases := []struct {
		name  string
		opset int64
		kinds string
		build func(f *file)
	}{
		{"conv", 13, "conv dense", func(f *file) {
			f.mix(f.add("Conv", attributes{"pads": pads{2, 0, 1, 1}, "strides": pads{2, 1}, "group": 3}, "x", f.normal(6, 1, 3, 2)), 6*4*9)
		}},
		{"conv dilated", 7, "conv dense", func(f *file) {
			f.mix(f.add("Conv", attributes{"dilations": pads{2, 3}, "pads": pads{1, 2, 3, 4}}, "x", f.normal(4, 3, 3, 3), f.normal(4)), 4*7*9)
		}},
		{"conv same upper", 13, "conv dense", func(f *file) {
			f.mix(f.add("Conv", attributes{"auto_pad": "SAME_UPPER", "strides": pads{2, 2}}, "x", f.normal(4, 3, 4, 4)), 4*4*5)
		}},
		{"conv same lower", 13, "conv dense", func(f *file) {
			f.mix(f.add("Conv", attributes{"auto_pad": "SAME_LOWER", "strides": pads{2, 2}}, "x", f.normal(4, 3, 4, 4)), 4*4*5)
		}},
		{"conv valid", 13, "conv dense", func(f *file) {
			f.mix(f.add("Conv", attributes{"auto_pad": "VALID"}, "x", f.normal(4, 3, 3, 3)), 4*5*7)
		}},
		{"conv with more padding than kernel", 13, "pad conv dense", func(f *file) {
			f.mix(f.add("Conv", attributes{"pads": pads{1, 1, 1, 1}}, "x", f.normal(4, 3, 1, 1)), 4*9*11)
		}},
		{"batch norm", 15, "conv batchnorm dense", func(f *file) {
			variance := f.add("Abs", nil, f.normal(6))
			f.mix(f.add("BatchNormalization", attributes{"epsilon": 0.1}, f.conv("x", 3), f.normal(6), f.normal(6), f.normal(6), variance), 6*7*9)
		}},
		{"max pool", 12, "maxpool dense", func(f *file) {
			f.mix(f.add("MaxPool", attributes{"kernel_shape": pads{3, 2}, "strides": pads{2, 2}, "pads": pads{1, 0, 0, 1}, "ceil_mode": 1}, "x"), 3*4*5)
		}},
		{"average pool", 11, "avgpool dense", func(f *file) {
			f.mix(f.add("AveragePool", attributes{"kernel_shape": pads{3, 3}, "strides": pads{2, 2}, "pads": pads{1, 1, 1, 1}, "count_include_pad": 1}, "x"), 3*4*5)
		}},
		{"average pool rounded up", 11, "avgpool dense", func(f *file) {
			f.mix(f.add("AveragePool", attributes{"kernel_shape": pads{2, 2}, "strides": pads{2, 2}, "ceil_mode": 1, "count_include_pad": 1}, "x"), 3*4*5)
		}},
		{"global average pool and Gemm", 13, "globalavgpool dense", func(f *file) {
			x := f.add("Flatten", nil, f.add("GlobalAveragePool", nil, "x"))
			f.end(f.add("Gemm", attributes{"alpha": 0.5, "beta": 2.0}, x, f.normal(3, 5), f.normal(5)))
		}},
		{"Gemm of a plane", 13, "conv dense", func(f *file) {
			f.end(f.add("Gemm", attributes{"transB": 1}, f.add("Flatten", nil, f.conv("x", 3)), f.normal(5, 6*7*9), f.normal(5)))
		}},
		{"global max pool", 13, "maxpool dense", func(f *file) { f.mix(f.add("GlobalMaxPool", nil, "x"), 3) }},
		{"ReduceMean by attribute", 13, "globalavgpool dense", func(f *file) {
			f.mix(f.add("ReduceMean", attributes{"axes": pads{-1, -2}, "keepdims": 0}, "x"), 3)
		}},
		{"ReduceMean by input", 18, "globalavgpool dense", func(f *file) { f.mix(f.add("ReduceMean", nil, "x", f.integers(2, 3)), 3) }},
		{"ReduceMean of a flattened plane", 13, "globalavgpool dense", func(f *file) {
			f.mix(f.add("ReduceMean", attributes{"axes": pads{2}, "keepdims": 0}, f.add("Reshape", nil, "x", f.integers(0, 0, -1))), 3)
		}},
		{"ReduceSum", 13, "globalavgpool batchnorm dense", func(f *file) { f.mix(f.add("ReduceSum", nil, "x", f.integers(2, 3)), 3) }},
		{"ReduceMax", 13, "maxpool dense", func(f *file) { f.mix(f.add("ReduceMax", attributes{"axes": pads{2, 3}}, "x"), 3) }},
		{"dense on channels", 13, "conv dense", func(f *file) {
			f.mix(f.add("MatMul", nil, f.add("Transpose", attributes{"perm": pads{0, 2, 3, 1}}, "x"), f.normal(3, 4)), 4*7*9)
		}},
		{"add and bias", 13, "conv conv add dense", func(f *file) {
			f.mix(f.add("Add", nil, f.add("Add", nil, f.conv("x", 3), f.normal(1, 6, 1, 1)), f.conv("x", 3)), 6*7*9)
		}},
		{"subtract", 13, "conv conv batchnorm add relu batchnorm add dense", func(f *file) {
			one, other := f.conv("x", 3), f.conv("x", 3)
			f.mix(f.add("Add", nil, f.add("Sub", nil, other, one), f.add("Sub", nil, f.number(2), f.add("Relu", nil, one))), 6*7*9)
		}},
		{"sum", 13, "add add dense", func(f *file) { f.mix(f.add("Sum", nil, "x", "x", "x"), 3*7*9) }},
		{"multiply by channel", 13, "globalavgpool mul dense", func(f *file) {
			f.mix(f.add("Mul", nil, f.add("GlobalAveragePool", nil, "x"), "x"), 3*7*9)
		}},
		{"multiply", 13, "conv relu mul dense", func(f *file) { x := f.conv("x", 3); f.mix(f.add("Mul", nil, x, f.add("Relu", nil, x)), 6*7*9) }},
		{"concat", 13, "relu concat dense", func(f *file) {
			f.mix(f.add("Concat", attributes{"axis": -3}, "x", f.add("Relu", nil, "x"), "x"), 9*7*9)
		}},
		{"split and shuffled", 13, "conv gather gather concat dense", func(f *file) {
			x := f.conv("x", 3)
			f.Graph.Node = append(f.Graph.Node, &onnxpb.NodeProto{OpType: proto.String("Split"), Input: []string{x, f.integers(2, 4)},
				Output: []string{"left", "right"}, Attribute: attributes{"axis": 1}.protos()})
			f.mix(f.add("Concat", attributes{"axis": 1}, "right", "x", "left"), 9*7*9)
		}},
		{"channel shuffle", 13, "conv gather dense", func(f *file) {
			x := f.add("Reshape", nil, f.conv("x", 3), f.integers(1, 2, 3, 7, 9))
			x = f.add("Transpose", attributes{"perm": pads{0, 2, 1, 3, 4}}, x)
			f.mix(f.add("Reshape", nil, x, f.integers(1, -1, 7, 9)), 6*7*9)
		}},
		{"channel shuffle, flat", 13, "conv gather dense", func(f *file) {
			x := f.add("Reshape", nil, f.conv("x", 3), f.integers(1, 3, 2, 63))
			x = f.add("Transpose", attributes{"perm": pads{0, 2, 1, 3}}, x)
			f.mix(f.add("Reshape", nil, x, f.integers(0, 6, 7, 9)), 6*7*9)
		}},
		{"channel shuffle, channels last", 13, "conv gather dense", func(f *file) {
			x := f.add("Transpose", attributes{"perm": pads{0, 2, 3, 1}}, f.conv("x", 3))
			x = f.add("Transpose", attributes{"perm": pads{0, 1, 2, 4, 3}}, f.add("Reshape", nil, x, f.integers(-1, 7, 9, 3, 2)))
			f.mix(f.add("Reshape", nil, x, f.integers(-1, 7, 9, 6)), 6*7*9)
		}},
		{"channels in three parts, shuffled twice", 13, "conv gather gather dense", func(f *file) {
			x := f.add("Reshape", nil, f.conv("x", 3), f.integers(3, 2, 7, 9))
			x = f.add("Transpose", attributes{"perm": pads{1, 0, 2, 3}}, x)
			x = f.add("Reshape", nil, x, f.integers(1, 6, 7, 9))
			x = f.add("Transpose", attributes{"perm": pads{1, 0, 2, 3}}, f.add("Reshape", nil, x, f.integers(3, 2, 7, 9)))
			f.mix(f.add("Reshape", nil, x, f.integers(1, 6, 7, 9)), 6*7*9)
		}},
		{"every other channel by a part", 13, "conv gather dense", func(f *file) {
			x := f.add("Transpose", attributes{"perm": pads{1, 0, 2}}, f.add("Reshape", nil, f.conv("x", 3), f.integers(3, 2, 63)))
			x = f.add("Reshape", nil, x, f.integers(2, -1, 3, 7, 9))
			f.mix(f.add("Concat", attributes{"axis": 1}, f.add("Gather", attributes{"axis": 0}, x, f.scalar(1)), f.add("Gather", attributes{"axis": 0}, x, f.scalar(0))), 6*7*9)
		}},
		{"slice of a part", 13, "conv gather dense", func(f *file) {
			x := f.add("Slice", nil, f.add("Reshape", nil, f.conv("x", 3), f.integers(1, 2, 3, 7, 9)), f.integers(1), f.integers(3), f.integers(2))
			f.mix(f.add("Reshape", nil, x, f.integers(1, 4, 7, 9)), 4*7*9)
		}},
		{"pad", 10, "pad dense", func(f *file) { f.mix(f.add("Pad", attributes{"pads": pads{0, 0, 1, 2, 0, 0, 3, 0}}, "x"), 3*11*11) }},
		{"pad by inputs", 18, "pad dense", func(f *file) {
			f.mix(f.add("Pad", nil, "x", f.integers(2, 1, 0, 3), f.number(0), f.integers(3, 2)), 3*11*11)
		}},
		{"pad by arithmetic", 13, "pad dense", func(f *file) {
			f.mix(f.add("Pad", nil, "x", f.add("Clip", nil, f.integers(0, 0, -3, 1, 0, 0, 2, 9), f.scalar(0), f.scalar(2))), 3*9*12)
		}},
		{"pad and cut", 13, "conv dense", func(f *file) {
			f.mix(f.add("Pad", nil, "x", f.integers(0, 0, -1, -2, 0, 0, 0, -1)), 3*6*6)
		}},
		{"pad and slice", 13, "pad dense", func(f *file) {
			x := f.add("Pad", nil, "x", f.integers(0, 0, 1, 1, 0, 0, 1, 1))
			f.mix(f.add("Slice", nil, x, f.integers(1, 1), f.integers(math.MaxInt64, 10), f.integers(2, 3)), 3*8*9)
		}},
		{"pad channels", 13, "conv dense", func(f *file) { f.mix(f.add("Pad", nil, "x", f.integers(0, 2, 0, 0, 0, 1, 0, 0)), 6*7*9) }},
		{"pad before max pool", 13, "conv maxpool dense", func(f *file) {
			x := f.add("Pad", nil, f.conv("x", 3), f.integers(0, 0, 0, 0, 0, 0, 1, 1), f.number(float32(math.Inf(-1))))
			f.mix(f.add("MaxPool", attributes{"kernel_shape": pads{2, 2}, "strides": pads{2, 2}}, x), 6*4*5)
		}},
		{"every second pixel", 13, "maxpool dense", func(f *file) {
			f.mix(f.add("Slice", nil, "x", f.integers(0, 0), f.integers(99, 99), f.integers(2, 3), f.integers(2, 2)), 3*4*5)
		}},
		{"every second pixel from the next on", 13, "conv dense", func(f *file) {
			f.mix(f.add("Slice", nil, "x", f.integers(1, 1), f.integers(99, 99), f.integers(2, 3), f.integers(2, 2)), 3*3*4)
		}},
		{"channels last", 13, "conv relu conv dense", func(f *file) {
			to, from := attributes{"perm": pads{0, 2, 3, 1}}, attributes{"perm": pads{0, 3, 1, 2}}
			x := f.add("Relu", nil, f.add("Transpose", to, f.conv("x", 3)))
			f.mix(f.add("Transpose", to, f.conv(f.add("Transpose", from, x), 6)), 6*7*9)
		}},
		{"flattened by shape arithmetic", 11, "conv dense", func(f *file) {
			x := f.conv("x", 3)
			batch := f.add("Unsqueeze", attributes{"axes": pads{0}}, f.add("Gather", attributes{"axis": 0}, f.add("Shape", nil, x), f.add("Constant", attributes{"value": scalar(0)})))
			shape := f.add("Concat", attributes{"axis": 0}, batch, f.integers(-1))
			f.mix(f.add("Reshape", nil, x, shape), 6*7*9)
		}},
		{"squeezed", 13, "globalavgpool dense", func(f *file) {
			x := f.add("Squeeze", nil, f.add("GlobalAveragePool", nil, "x"), f.integers(-1, 2))
			f.mix(f.add("Unsqueeze", nil, x, f.integers(0)), 3)
		}},
		{"computed weights", 13, "conv dense", func(f *file) {
			w := f.normal(4, 3, 3, 3)
			mean := f.add("ReduceMean", attributes{"axes": pads{1, 2, 3}}, w)
			w = f.add("Div", nil, f.add("Sub", nil, w, mean), f.add("Sqrt", nil, f.add("Add", nil, f.add("Mul", nil, mean, mean), f.number(0.1))))
			f.mix(f.add("Conv", nil, "x", w), 4*5*7)
		}},
		{"clip by attributes", 10, "clip dense", activation("Clip", attributes{"min": -1.0, "max": 2.0})},
		{"clip by inputs", 13, "clip dense", func(f *file) { f.mix(f.add("Clip", nil, "x", f.number(0), f.number(6)), 3*7*9) }},
		{"clip of ReLU", 13, "clip dense", func(f *file) { f.mix(f.add("Min", nil, f.add("Relu", nil, "x"), f.number(1.5)), 3*7*9) }},
		{"clip below", 13, "relu dense", func(f *file) { f.mix(f.add("Clip", nil, "x", f.number(0)), 3*7*9) }},
		{"clip above", 13, "clip dense", func(f *file) { f.mix(f.add("Clip", nil, "x", "", f.number(1)), 3*7*9) }},
		{"max", 13, "relu dense", func(f *file) { f.mix(f.add("Max", nil, f.number(0), "x"), 3*7*9) }},
		{"LeakyRelu", 13, "LeakyRelu dense", activation("LeakyRelu", attributes{"alpha": 0.1})},
		{"PRelu", 13, "LeakyRelu dense", func(f *file) { f.mix(f.add("PRelu", nil, "x", f.weights([]float32{0.2, 0.2, 0.2}, 3, 1, 1)), 3*7*9) }},
		{"PRelu of channels", 13, "channelactivation dense", func(f *file) { f.mix(f.add("PRelu", nil, "x", f.weights([]float32{0.2, -0.1, 0.5}, 3, 1, 1)), 3*7*9) }},
		{"Elu", 13, "Elu dense", activation("Elu", attributes{"alpha": 1.5})},
		{"Selu", 13, "Elu batchnorm dense", activation("Selu", nil)},
		{"Sigmoid", 13, "Sigmoid dense", activation("Sigmoid", nil)},
		{"HardSigmoid", 13, "HardSigmoid dense", activation("HardSigmoid", nil)},
		{"HardSwish", 14, "HardSwish dense", activation("HardSwish", nil)},
		{"Tanh", 13, "Tanh dense", activation("Tanh", nil)},
		{"Softplus", 13, "Softplus dense", activation("Softplus", nil)},
		{"Gelu", 20, "Gelu dense", activation("Gelu", nil)},
		{"Gelu by tanh", 20, "GeluTanh dense", activation("Gelu", attributes{"approximate": "tanh"})},
		{"Mish", 18, "Mish dense", activation("Mish", nil)},
		{"Mish composed", 13, "Mish dense", func(f *file) { f.mix(f.add("Mul", nil, "x", f.add("Tanh", nil, f.add("Softplus", nil, "x"))), 3*7*9) }},
		{"Swish composed", 13, "conv Swish dense", func(f *file) {
			x := f.conv("x", 3)
			f.mix(f.add("Mul", nil, f.add("Sigmoid", nil, f.add("Mul", nil, x, f.number(1.7))), x), 6*7*9)
		}},
		{"HardSwish composed", 13, "conv HardSwish dense", func(f *file) {
			x := f.conv("x", 3)
			gate := f.add("Div", nil, f.add("Clip", nil, f.add("Add", nil, x, f.number(3)), f.number(0), f.number(6)), f.number(6))
			f.mix(f.add("Mul", nil, x, gate), 6*7*9)
		}},
		{"HardSwish composed otherwise", 13, "conv HardSwish dense", func(f *file) {
			x := f.conv("x", 3)
			product := f.add("Mul", nil, x, f.add("Clip", nil, f.add("Add", nil, x, f.number(3)), f.number(0), f.number(6)))
			f.mix(f.add("Mul", nil, product, f.number(1.0/6)), 6*7*9)
		}},
		{"HardSwish by HardSigmoid", 13, "HardSwish dense", func(f *file) {
			f.mix(f.add("Mul", nil, "x", f.add("HardSigmoid", attributes{"alpha": 1.0 / 6}, "x")), 3*7*9)
		}},
		{"HardSigmoid composed", 13, "HardSigmoid dense", func(f *file) {
			f.mix(f.add("Div", nil, f.add("Clip", nil, f.add("Add", nil, "x", f.number(3)), f.number(0), f.number(6)), f.number(6)), 3*7*9)
		}},
		{"GELU composed", 13, "conv Gelu dense", func(f *file) {
			x := f.conv("x", 3)
			erf := f.add("Add", nil, f.add("Erf", nil, f.add("Div", nil, x, f.number(math.Sqrt2))), f.number(1))
			f.mix(f.add("Mul", nil, f.add("Mul", nil, x, erf), f.number(0.5)), 6*7*9)
		}},
		{"GELU composed otherwise", 13, "conv Gelu dense", func(f *file) {
			x := f.conv("x", 3)
			erf := f.add("Add", nil, f.add("Erf", nil, f.add("Mul", nil, x, f.number(math.Sqrt2/2))), f.number(1))
			f.mix(f.add("Mul", nil, f.add("Mul", nil, x, f.number(0.5)), erf), 6*7*9)
		}},
		{"GELU by tanh composed", 13, "conv GeluTanh dense", func(f *file) {
			x := f.conv("x", 3)
			cube := f.add("Mul", nil, f.add("Pow", nil, x, f.number(3)), f.number(0.044715))
			tanh := f.add("Tanh", nil, f.add("Mul", nil, f.add("Add", nil, x, cube), f.number(0.7978845608)))
			f.mix(f.add("Mul", nil, f.add("Mul", nil, x, f.number(0.5)), f.add("Add", nil, tanh, f.number(1))), 6*7*9)
		}},
		{"softmax", 13, "globalavgpool softmax", func(f *file) {
			f.end(f.add("Softmax", attributes{"axis": -1}, f.add("Flatten", nil, f.add("GlobalAveragePool", nil, "x"))))
		}},
		{"softmax of old", 11, "globalavgpool softmax", func(f *file) { f.end(f.add("Softmax", nil, f.add("GlobalAveragePool", nil, "x"))) }},
		{"sigmoid at the end", 13, "conv globalavgpool Sigmoid", func(f *file) {
			f.end(f.add("Sigmoid", nil, f.add("GlobalAveragePool", nil, f.conv("x", 3))))
		}},
		{"dropout and cast", 13, "conv dense", func(f *file) {
			f.mix(f.add("Dropout", nil, f.add("Cast", attributes{"to": 1}, f.add("Identity", nil, f.conv("x", 3)))), 6*7*9)
		}},
	}
	// ONNX Runtime runs all of an operator set as one model.
	files, models, want := make([]*file, len(cases)), map[int64]*file{}, map[int64][]float32{}
	for i, c := range cases {
		f := picture(c.opset, 1, 3, 7, 9)
		f.prefix = fmt.Sprintf("%d.", i)
		c.build(f)
		files[i] = f
		if models[c.opset] == nil {
			models[c.opset] = picture(c.opset, 1, 3, 7, 9)
		}
		all := models[c.opset].Graph
		all.Initializer, all.Node = append(all.Initializer, f.Graph.Initializer...), append(all.Node, f.Graph.Node...)
		all.Output = append(all.Output, f.Graph.Output...)
	}
	image := noise(3 * 7 * 9)
	for opset, f := range models {
		var outputs []string
		for _, out := range f.Graph.Output {
			outputs = append(outputs, f.add("Flatten", nil, out.GetName()))
		}
		f.Graph.Output = nil
		f.end(f.add("Concat", attributes{"axis": 1}, outputs...))
		want[opset] = reference(t, f.save(t), exporter.Planes(image, 3))
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			imported, err := onnx.Import(files[i].save(t), options)
			require.NoError(t, err)
			require.Equal(t, c.kinds, kinds(imported.Graph))
			got := run(t, imported.Graph, image)
			require.Less(t, distance(t, want[c.opset][:len(got)], got), 1e-5)
			want[c.opset] = want[c.opset][len(got):]
		})
	}
}

var options models.ImportOptions

func scalar(v int64) *onnxpb.TensorProto {
	return &onnxpb.TensorProto{DataType: proto.Int32(7), Int64Data: []int64{v}}
}
