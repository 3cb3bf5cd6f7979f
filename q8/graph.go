package q8

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"edgeclassify/int8"
	"edgeclassify/labels"
	"edgeclassify/tensor"
)

// maxDocument is the largest JSON document that is written or read, in bytes.
// ResNet50's graph and ImageNet's labels take less than a fiftieth. Decoded,
// JSON can take many times its size, which a small board may not have.
const maxDocument = 4 << 20

// graph is the JSON document of the network without its arrays.
type graph struct {
	Name  string      `json:"name"`
	Input int8.Tensor `json:"input"`
	// Layers holds one layer each. They are decoded one by one so that a long
	// list of nothing fails at its first element, before it is a long list of
	// large structs.
	Layers []json.RawMessage `json:"layers"`
}

// layer has the fields of all operations; each uses its own.
type layer struct {
	Name        string         `json:"name"`
	Op          string         `json:"op"` // int8.Op.Kind
	Inputs      []string       `json:"inputs"`
	Window      *tensor.Window `json:"window,omitempty"`       // conv, maxpool, avgpool
	CountPad    bool           `json:"count_pad,omitempty"`    // avgpool
	Groups      int            `json:"groups,omitempty"`       // conv
	InChannels  int            `json:"in_channels,omitempty"`  // conv, dense
	OutChannels int            `json:"out_channels,omitempty"` // conv, dense
	RatioA      int32          `json:"ratio_a,omitempty"`      // add
	RatioB      int32          `json:"ratio_b,omitempty"`      // add
	Multiplier  int32          `json:"multiplier,omitempty"`   // mul, mean
	Shift       uint8          `json:"shift,omitempty"`        // conv, add, mul, mean
	Residual    int32          `json:"residual,omitempty"`     // conv
	// Of an int16 residual, conv.
	ResidualShift uint8       `json:"residual_shift,omitempty"`
	Pooled        float32     `json:"pooled,omitempty"`    // embedding
	Logits        float32     `json:"logits,omitempty"`    // embedding
	Threshold     float32     `json:"threshold,omitempty"` // embedding
	Channels      bool        `json:"channels,omitempty"`  // lookup: they have tables of their own
	Output        int8.Tensor `json:"output"`
}

// describe returns the metadata of m, without the checksum, given the names of its
// layers' inputs.
func describe(m *Model, inputs [][]string) (map[string]string, error) {
	g := graph{Name: m.Name, Input: m.Input}
	for i := range m.Layers {
		l := &m.Layers[i]
		d := layer{Name: l.Name, Op: l.Op.Kind(), Inputs: inputs[i], Output: l.Out}
		codecs[d.Op].describe(l.Op, &d)
		text, err := json.Marshal(d)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", l, err)
		}
		g.Layers = append(g.Layers, text)
	}
	metadata := map[string]string{"format": format, "version": version}
	documents := map[string]any{
		"graph": g, "preprocessing": m.Preprocess, "labels": m.Classes, "provenance": m.Provenance,
	}
	if m.SelfTest != nil {
		documents["selftest"] = m.SelfTest
	}
	if m.Activation != labels.Softmax {
		documents["activation"] = m.Activation
	}
	for key, document := range documents {
		text, err := json.Marshal(document)
		if err != nil {
			return nil, fmt.Errorf("metadata %s: %w", key, err)
		}
		metadata[key] = string(text)
	}
	return metadata, nil
}

// parse is the inverse of describe: a model whose network has no arrays yet, and
// is to be made of its name, input and layers. It accepts nothing that describe
// would not have written.
func parse(metadata map[string]string) (*Model, error) {
	m, g := &Model{Network: &int8.Network{}, Activation: labels.Softmax}, graph{}
	for _, d := range []struct {
		key      string
		into     any
		optional bool
	}{
		{"graph", &g, false}, {"preprocessing", &m.Preprocess, false}, {"labels", &m.Classes, false},
		{"provenance", &m.Provenance, false}, {"selftest", &m.SelfTest, true}, {"activation", &m.Activation, true},
	} {
		text, ok := metadata[d.key]
		if !ok && d.optional {
			continue
		}
		if !ok {
			return nil, fmt.Errorf("metadata %s is missing", d.key)
		}
		if len(text) > maxDocument {
			return nil, fmt.Errorf("metadata %s has %d bytes, more than the limit of %d", d.key, len(text), maxDocument)
		}
		if err := unmarshal([]byte(text), d.into); err != nil {
			return nil, fmt.Errorf("metadata %s: %w", d.key, err)
		}
	}
	m.Name, m.Input = g.Name, g.Input
	topology := tensor.NewTopology(int8.InputName)
	var inputs [][]string
	for i, text := range g.Layers {
		d, l, err := parseLayer(text, topology)
		if err != nil {
			return nil, fmt.Errorf("metadata graph: layer %d %q: %w", i, d.Name, err)
		}
		m.Layers, inputs = append(m.Layers, l), append(inputs, d.Inputs)
	}
	return m, checkCanonical(m, inputs, metadata)
}

// parseLayer reads a layer behind those of the topology, to which it adds it.
func parseLayer(text []byte, before *tensor.Topology) (d layer, l int8.Layer, err error) {
	if err := unmarshal(text, &d); err != nil {
		return d, l, err
	}
	c, ok := codecs[d.Op]
	if !ok {
		return d, l, fmt.Errorf("unknown operation %q; this program knows %s", d.Op, strings.Join(slices.Sorted(maps.Keys(codecs)), ", "))
	}
	if d.Window == nil {
		d.Window = &tensor.Window{}
	}
	l = int8.Layer{Name: d.Name, Out: d.Output}
	if l.Op, err = c.operation(&d); err != nil {
		return d, l, err
	}
	if l.Inputs, err = before.IDs(d.Inputs); err != nil {
		return d, l, err
	}
	_, err = before.Add(l.Name, l.Inputs...)
	return d, l, err
}

// codec is how operations of one kind are stored.
type codec struct {
	describe  func(op int8.Op, d *layer)
	operation func(d *layer) (int8.Op, error) // the inverse, without arrays
	arrays    func(op int8.Op) []array        // in the order of the format
}

// codecs are those of all kinds of operations.
var codecs = map[string]codec{
	"conv": convCodec, "dense": denseCodec, "maxpool": maxPoolCodec, "avgpool": averagePoolCodec,
	"globalsum": globalAveragePoolCodec, "mean": meanCodec,
	"add": addCodec, "mul": mulCodec, "lookup": lookupCodec, "concat": concatCodec, "gather": gatherCodec, "embedding": embeddingCodec,
}

// unmarshal is json.Unmarshal, but refuses unknown fields.
func unmarshal(text []byte, into any) error {
	if !json.Valid(text) { // the decoder would not look behind the first value
		return errors.New("not valid JSON")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// checkCanonical finds what encoding/json forgives: repeated keys, other
// capitals, surplus elements, fields of other operations, spaces.
func checkCanonical(m *Model, inputs [][]string, metadata map[string]string) error {
	canonical, err := describe(m, inputs)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(canonical)) {
		if got, want := metadata[key], canonical[key]; got != want {
			at := 0
			for at < min(len(got), len(want)) && got[at] == want[at] {
				at++
			}
			return fmt.Errorf("metadata %s is not canonical at byte %d: found %q, want %q", key, at, excerpt(got, at), excerpt(want, at))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		if _, known := canonical[key]; !known && key != "sha256" {
			return fmt.Errorf("metadata %q is not part of the format", key)
		}
	}
	return nil
}

// excerpt is the text around byte i.
func excerpt(s string, i int) string { return s[max(0, i-16):min(len(s), i+16)] }
