package onnx_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/onnx"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// fields is a parsed protobuf message: by field number the integers and the
// bytes, in the order of the file.
type fields struct {
	integers map[protowire.Number][]uint64
	bytes    map[protowire.Number][][]byte
}

func parse(t *testing.T, raw []byte) fields {
	f := fields{map[protowire.Number][]uint64{}, map[protowire.Number][][]byte{}}
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		require.Positive(t, n)
		raw = raw[n:]
		switch kind {
		case protowire.VarintType:
			v, m := protowire.ConsumeVarint(raw)
			f.integers[number], n = append(f.integers[number], v), m
		case protowire.BytesType:
			v, m := protowire.ConsumeBytes(raw)
			f.bytes[number], n = append(f.bytes[number], v), m
		default:
			n = protowire.ConsumeFieldValue(number, kind, raw)
		}
		require.Positive(t, n)
		raw = raw[n:]
	}
	return f
}

func (f fields) text(number protowire.Number) string { return string(f.bytes[number][0]) }

func (f fields) texts(number protowire.Number) []string {
	var texts []string
	for _, b := range f.bytes[number] {
		texts = append(texts, string(b))
	}
	return texts
}

// model is what the tests look at.
type model struct {
	fields
	nodes    map[string]fields // by name
	metadata map[string]string
	inputs   []fields
	outputs  []string
}

// parseModel checks that names are unique and defined before they are used,
// and that every constant has as many bytes as its shape asks for.
func parseModel(t *testing.T, raw []byte) model {
	m := model{fields: parse(t, raw), nodes: map[string]fields{}, metadata: map[string]string{}}
	for _, e := range m.bytes[14] {
		entry := parse(t, e)
		m.metadata[entry.text(1)] = entry.text(2)
	}
	graph := parse(t, m.bytes[7][0])
	defined := map[string]bool{}
	define := func(name string) {
		require.False(t, defined[name], "%q is defined twice", name)
		defined[name] = true
	}
	for _, raw := range graph.bytes[11] {
		m.inputs = append(m.inputs, parse(t, raw))
		define(m.inputs[len(m.inputs)-1].text(1))
	}
	sizes := map[uint64]int{1: 4, 2: 1, 3: 1, 6: 4, 7: 8}
	for _, raw := range graph.bytes[5] {
		c := parse(t, raw)
		define(c.text(8))
		size := sizes[c.integers[2][0]]
		require.NotZero(t, size)
		for _, d := range c.integers[1] {
			size *= int(d)
		}
		require.Len(t, c.bytes[9][0], size, c.text(8))
	}
	for _, raw := range graph.bytes[1] {
		n := parse(t, raw)
		for _, in := range n.texts(1) {
			require.True(t, defined[in], "%q reads %q", n.text(3), in)
		}
		for _, out := range n.texts(2) {
			define(out)
		}
		require.NotContains(t, m.nodes, n.text(3))
		m.nodes[n.text(3)] = n
	}
	for _, raw := range graph.bytes[12] {
		m.outputs = append(m.outputs, parse(t, raw).text(1))
		require.True(t, defined[m.outputs[0]])
	}
	return m
}

func TestQuantizedStructure(t *testing.T) {
	written := slices.Concat(exportable(30, false), exportable(30, true), exportableOf(40, nettest.OperationsModel), exportableOf(20, nettest.Channels))
	for _, n := range written {
		for i := range 4 {
			var b bytes.Buffer
			require.NoError(t, onnx.WriteQuantized(&b, n, onnx.Options{Format: onnx.Formats()[i%3], Exact: i >= 2}))
			m := parseModel(t, b.Bytes())
			require.Equal(t, []uint64{7}, m.integers[1])
			require.Equal(t, "edgeclassify", m.text(2))
			require.Equal(t, []uint64{13}, parse(t, m.bytes[8][0]).integers[2])
			require.Equal(t, []string{n.Layers[len(n.Layers)-1].Name}, m.outputs)
			require.Len(t, m.inputs, 1)
			require.Equal(t, int8.InputName, m.inputs[0].text(1))
			var spec preprocess.Spec
			require.NoError(t, json.Unmarshal([]byte(m.metadata["preprocess"]), &spec))
			require.Equal(t, n.Preprocess, spec)
			var classes []labels.Class
			require.NoError(t, json.Unmarshal([]byte(m.metadata["classes"]), &classes))
			require.Equal(t, n.Classes, classes)
			require.Equal(t, `"softmax"`, m.metadata["activation"])
			checkLayers(t, n.Network, m)
		}
	}
}

// checkLayers finds every layer by its name, convolutions with quantized inputs
// and weights per channel.
func checkLayers(t *testing.T, n *int8.Network, m model) {
	for _, l := range n.Layers {
		conv, ok := l.Op.(*int8.Conv)
		if !ok {
			continue
		}
		node := m.nodes[l.Name]
		require.Equal(t, "Conv", node.text(4))
		require.Len(t, node.bytes[1], 3)
		for i, in := range node.texts(1) {
			if i == 0 && n.Tensor(l.Inputs[0]).Type == int8.Int16 {
				require.Equal(t, n.Topology().Name(l.Inputs[0]), in, "an int16 tensor is real")
				continue
			}
			require.Equal(t, "DequantizeLinear", m.nodes[in].text(4))
		}
		want := map[int8.Type]string{int8.Int8: "QuantizeLinear", int8.Int16: "Mul"}[l.Out.Type]
		require.Equal(t, want, m.nodes[l.Name+".quantize"].text(4))
		require.Equal(t, conv.Residual != 0, slices.Contains(names(m), l.Name+".add"))
	}
}

func names(m model) []string {
	var names []string
	for name := range m.nodes {
		names = append(names, name)
	}
	return names
}

func TestFloatStructure(t *testing.T) {
	var b bytes.Buffer
	g := everyOperation()
	require.NoError(t, onnx.WriteFloat(&b, g))
	m := parseModel(t, b.Bytes())
	for _, n := range g.Nodes {
		require.Contains(t, m.nodes, n.Name)
	}
	require.Equal(t, []string{"k"}, m.outputs)
}

func TestRefusals(t *testing.T) {
	n := exportable(1, false)[0]
	conv := n.Layers[0].Op.(*int8.Conv)
	conv.Multiplier[0], conv.Shift, n.Layers[0].Out.Zero = 1, 0, []int8.Value{-128}
	err := onnx.WriteQuantized(io.Discard, n, onnx.Options{})
	require.ErrorContains(t, err, n.Layers[0].Name)
	require.ErrorContains(t, err, "channel 0: the bias")

	b := models.NewBuilder("image", tensor.Shape{H: 1, W: 1, C: 3})
	b.Add("strange", strange{}, "image")
	g, err := b.Graph("strange", preprocess.Caffe(), nil)
	require.NoError(t, err)
	require.ErrorContains(t, onnx.WriteFloat(io.Discard, g), `node "strange": strange has no ONNX form`)
	full := errors.New("disk full")
	require.ErrorIs(t, onnx.WriteFloat(brokenWriter{full}, everyOperation()), full)
}

// strange is an operation of nobody's.
type strange struct{ models.ReLU }

func (strange) Kind() string { return "strange" }

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }
