package onnx

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"edgeclassify/int8"
	"edgeclassify/internal/onnxpb"
	"edgeclassify/labels"
	"edgeclassify/preprocess"
)

// What the files declare. Operator set 13 is the first with a quantization axis.
const (
	irVersion    = 7
	opsetVersion = 13
	producer     = "edgeclassify"
)

// dataType is the type of a tensor's elements.
type dataType = onnxpb.TensorProto_DataType

const (
	float     = onnxpb.TensorProto_FLOAT
	unsigned8 = onnxpb.TensorProto_UINT8
	signed8   = onnxpb.TensorProto_INT8
	signed32  = onnxpb.TensorProto_INT32
	signed64  = onnxpb.TensorProto_INT64
)

// graph is a graph under construction.
type graph struct{ proto onnxpb.GraphProto }

type attribute = *onnxpb.AttributeProto

func real(name string, v float32) attribute {
	return &onnxpb.AttributeProto{Name: &name, F: &v, Type: onnxpb.AttributeProto_FLOAT.Enum()}
}

func integer(name string, v int) attribute {
	return &onnxpb.AttributeProto{Name: &name, I: proto.Int64(int64(v)), Type: onnxpb.AttributeProto_INT.Enum()}
}

func integers(name string, values ...int) attribute {
	return &onnxpb.AttributeProto{Name: &name, Ints: wide(values), Type: onnxpb.AttributeProto_INTS.Enum()}
}

func wide(values []int) []int64 {
	var out []int64
	for _, v := range values {
		out = append(out, int64(v))
	}
	return out
}

// node appends an operation with one output, and returns the output's name.
func (g *graph) node(op, name, output string, inputs []string, attributes ...attribute) string {
	g.operation(op, name, []string{output}, inputs, attributes...)
	return output
}

// operation appends an operation.
func (g *graph) operation(op, name string, outputs, inputs []string, attributes ...attribute) {
	g.proto.Node = append(g.proto.Node,
		&onnxpb.NodeProto{OpType: &op, Name: &name, Output: outputs, Input: inputs, Attribute: attributes})
}

// input and output declare the graph's ends.
func (g *graph) input(name string, t dataType, dims ...int) {
	g.proto.Input = append(g.proto.Input, info(name, t, dims))
}

func (g *graph) output(name string, t dataType, dims ...int) {
	g.proto.Output = append(g.proto.Output, info(name, t, dims))
}

func info(name string, t dataType, dims []int) *onnxpb.ValueInfoProto {
	var shape onnxpb.TensorShapeProto
	for _, d := range wide(dims) {
		shape.Dim = append(shape.Dim, &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d}})
	}
	return &onnxpb.ValueInfoProto{Name: &name, Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{
		TensorType: &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(t)), Shape: &shape}}}}
}

// constant appends an initializer, and returns its name. Without dims it is a
// scalar.
func constant[T float32 | uint8 | int8.Value | int32 | int64](g *graph, name string, values []T, dims ...int) string {
	raw, _ := binary.Append(nil, binary.LittleEndian, values) // fails for types without a fixed size only
	g.proto.Initializer = append(g.proto.Initializer,
		&onnxpb.TensorProto{Name: &name, Dims: wide(dims), DataType: proto.Int32(int32(typeOf[T]())), RawData: raw})
	return name
}

func typeOf[T any]() dataType {
	switch any(*new(T)).(type) {
	case float32:
		return float
	case uint8:
		return unsigned8
	case int8.Value:
		return signed8
	case int64:
		return signed64
	default:
		return signed32
	}
}

// metadata is what a model file says beside its graph: how pictures become its input,
// and what its logits are.
func metadata(p preprocess.Spec, classes []labels.Class, a labels.Activation) map[string]any {
	return map[string]any{"preprocess": p, "classes": classes, "activation": a}
}

// write writes the model around the finished graph, metadata as JSON.
func (g *graph) write(w io.Writer, name, doc string, metadata map[string]any) error {
	g.proto.Name = &name
	m := onnxpb.ModelProto{Graph: &g.proto, DocString: &doc,
		IrVersion: proto.Int64(irVersion), ProducerName: proto.String(producer),
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(opsetVersion)}}}
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		value, err := json.Marshal(metadata[key])
		if err != nil {
			return fmt.Errorf("onnx: %w", err)
		}
		m.MetadataProps = append(m.MetadataProps, &onnxpb.StringStringEntryProto{Key: &key, Value: proto.String(string(value))})
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&m)
	if err == nil {
		_, err = w.Write(b)
	}
	if err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	return nil
}
