package onnx

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"edgeclassify/int8"
)

// What the files declare. Operator set 13 is the first with a quantization axis.
const (
	irVersion    = 7
	opsetVersion = 13
	producer     = "edgeclassify"
)

// Field numbers of onnx.proto, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
const (
	modelIRVersion, modelProducer, modelDoc, modelGraph, modelOpset, modelMetadata = 1, 2, 6, 7, 8, 14

	opsetNumber = 2

	entryKey, entryValue = 1, 2

	graphNode, graphName, graphInitializer, graphInput, graphOutput = 1, 2, 5, 11, 12

	nodeInput, nodeOutput, nodeName, nodeOp, nodeAttribute = 1, 2, 3, 4, 5

	attributeName, attributeFloat, attributeInt, attributeInts, attributeKind = 1, 2, 3, 8, 20

	tensorDims, tensorType, tensorName, tensorRaw = 1, 2, 8, 9

	infoName, infoType, typeTensor, tensorElement, tensorShape, shapeDim, dimValue = 1, 2, 1, 1, 2, 1, 1
)

// Values of AttributeProto.AttributeType.
const kindFloat, kindInt, kindInts = 1, 2, 7

// dataType is TensorProto.DataType.
type dataType uint64

const (
	float     dataType = 1
	unsigned8 dataType = 2
	signed8   dataType = 3
	signed32  dataType = 6
)

// message is a protobuf message in its wire format, built by appending fields.
type message []byte

func (m *message) integer(field protowire.Number, v int) {
	*m = protowire.AppendTag(*m, field, protowire.VarintType)
	*m = protowire.AppendVarint(*m, uint64(v))
}

func (m *message) bytes(field protowire.Number, v []byte) {
	*m = protowire.AppendTag(*m, field, protowire.BytesType)
	*m = protowire.AppendBytes(*m, v)
}

func (m *message) text(field protowire.Number, v string) { m.bytes(field, []byte(v)) }

// graph is a GraphProto under construction.
type graph struct{ message }

// attribute is an AttributeProto.
type attribute message

func real(name string, v float32) attribute {
	var m message
	m.text(attributeName, name)
	m = protowire.AppendTag(m, attributeFloat, protowire.Fixed32Type)
	m = protowire.AppendFixed32(m, math.Float32bits(v))
	m.integer(attributeKind, kindFloat)
	return attribute(m)
}

func integer(name string, v int) attribute {
	var m message
	m.text(attributeName, name)
	m.integer(attributeInt, v)
	m.integer(attributeKind, kindInt)
	return attribute(m)
}

func integers(name string, values ...int) attribute {
	var m message
	m.text(attributeName, name)
	for _, v := range values {
		m.integer(attributeInts, v)
	}
	m.integer(attributeKind, kindInts)
	return attribute(m)
}

// node appends an operation with one output, and returns the output's name.
func (g *graph) node(op, name, output string, inputs []string, attributes ...attribute) string {
	g.operation(op, name, []string{output}, inputs, attributes...)
	return output
}

// operation appends an operation.
func (g *graph) operation(op, name string, outputs, inputs []string, attributes ...attribute) {
	var m message
	for _, in := range inputs {
		m.text(nodeInput, in)
	}
	for _, out := range outputs {
		m.text(nodeOutput, out)
	}
	m.text(nodeName, name)
	m.text(nodeOp, op)
	for _, a := range attributes {
		m.bytes(nodeAttribute, a)
	}
	g.bytes(graphNode, m)
}

// input and output declare the graph's ends.
func (g *graph) input(name string, t dataType, dims ...int)  { g.value(graphInput, name, t, dims) }
func (g *graph) output(name string, t dataType, dims ...int) { g.value(graphOutput, name, t, dims) }

func (g *graph) value(field protowire.Number, name string, t dataType, dims []int) {
	var shape, tensor, kind, info message
	for _, d := range dims {
		var dim message
		dim.integer(dimValue, d)
		shape.bytes(shapeDim, dim)
	}
	tensor.integer(tensorElement, int(t))
	tensor.bytes(tensorShape, shape)
	kind.bytes(typeTensor, tensor)
	info.text(infoName, name)
	info.bytes(infoType, kind)
	g.bytes(field, info)
}

// constant appends an initializer, and returns its name. Without dims it is a
// scalar.
func constant[T float32 | uint8 | int8.Value | int32](g *graph, name string, values []T, dims ...int) string {
	var m message
	for _, d := range dims {
		m.integer(tensorDims, d)
	}
	m.integer(tensorType, int(typeOf[T]()))
	m.text(tensorName, name)
	raw, _ := binary.Append(nil, binary.LittleEndian, values) // fails for types without a fixed size only
	m.bytes(tensorRaw, raw)
	g.bytes(graphInitializer, m)
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
	default:
		return signed32
	}
}

// write writes the model around the finished graph, metadata as JSON.
func (g *graph) write(w io.Writer, name, doc string, metadata map[string]any) error {
	g.text(graphName, name)
	var m, opset message
	m.integer(modelIRVersion, irVersion)
	m.text(modelProducer, producer)
	m.text(modelDoc, doc)
	opset.integer(opsetNumber, opsetVersion)
	m.bytes(modelOpset, opset)
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		var entry message
		entry.text(entryKey, key)
		value, err := json.Marshal(metadata[key])
		if err != nil {
			return fmt.Errorf("onnx: %w", err)
		}
		entry.bytes(entryValue, value)
		m.bytes(modelMetadata, entry)
	}
	// The graph goes last, so that its bytes need not be copied.
	m = protowire.AppendTag(m, modelGraph, protowire.BytesType)
	m = protowire.AppendVarint(m, uint64(len(g.message)))
	for _, part := range []message{m, g.message} {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("onnx: %w", err)
		}
	}
	return nil
}
