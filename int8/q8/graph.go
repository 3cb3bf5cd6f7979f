package q8

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"edgeclassify/int8"
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
	Shift       uint8          `json:"shift,omitempty"`        // conv
	Residual    int32          `json:"residual,omitempty"`     // conv
	// Of an int16 residual, conv.
	ResidualShift uint8       `json:"residual_shift,omitempty"`
	Output        int8.Tensor `json:"output"`
}

// describe returns the metadata of n, without the checksum.
func describe(n *int8.Network) (map[string]string, error) {
	g := graph{Name: n.Name, Input: n.Input}
	for i := range n.Layers {
		text, err := json.Marshal(describeLayer(&n.Layers[i]))
		if err != nil {
			return nil, fmt.Errorf("%v: %w", &n.Layers[i], err)
		}
		g.Layers = append(g.Layers, text)
	}
	metadata := map[string]string{"format": format, "version": version}
	documents := map[string]any{
		"graph": g, "preprocessing": n.Preprocess, "labels": n.Classes, "provenance": n.Provenance,
	}
	if n.SelfTest != nil {
		documents["selftest"] = n.SelfTest
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

func describeLayer(l *int8.Layer) layer {
	d := layer{Name: l.Name, Op: l.Op.Kind(), Inputs: l.Inputs, Output: l.Out}
	switch op := l.Op.(type) {
	case *int8.Conv:
		d.Window, d.Groups, d.InChannels, d.OutChannels = &op.Window, op.Groups, op.InC, op.OutC
		d.Shift, d.Residual, d.ResidualShift = op.Shift, op.Residual, op.ResidualShift
	case *int8.MaxPool:
		d.Window = &op.Window
	case *int8.AveragePool:
		d.Window, d.CountPad = &op.Window, op.CountPad
	case *int8.Dense:
		d.InChannels, d.OutChannels = op.In, op.Out
	}
	return d
}

// parse is the inverse of describe: the network without its arrays, not yet
// valid. It accepts nothing that describe would not have written.
func parse(metadata map[string]string) (*int8.Network, error) {
	n, g := &int8.Network{}, graph{}
	for _, d := range []struct {
		key      string
		into     any
		optional bool
	}{
		{"graph", &g, false}, {"preprocessing", &n.Preprocess, false}, {"labels", &n.Classes, false},
		{"provenance", &n.Provenance, false}, {"selftest", &n.SelfTest, true},
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
	n.Name, n.Input = g.Name, g.Input
	for i, text := range g.Layers {
		l, err := parseLayer(text)
		if err != nil {
			return nil, fmt.Errorf("metadata graph: layer %d %q: %w", i, l.Name, err)
		}
		n.Layers = append(n.Layers, l)
	}
	return n, checkCanonical(n, metadata)
}

// parseLayer returns a layer that has at least its name where it fails.
func parseLayer(text []byte) (int8.Layer, error) {
	var d layer
	err := unmarshal(text, &d)
	l := int8.Layer{Name: d.Name, Inputs: d.Inputs, Out: d.Output}
	if err == nil {
		l.Op, err = d.operation()
	}
	return l, err
}

func (d *layer) operation() (int8.Op, error) {
	var window tensor.Window
	if d.Window != nil {
		window = *d.Window
	}
	switch d.Op {
	case "conv":
		if d.Groups < 1 {
			return nil, fmt.Errorf("%d groups, want at least 1", d.Groups)
		}
		return &int8.Conv{Window: window, Groups: d.Groups, InC: d.InChannels, OutC: d.OutChannels,
			Shift: d.Shift, Residual: d.Residual, ResidualShift: d.ResidualShift}, nil
	case "maxpool":
		return &int8.MaxPool{Window: window}, nil
	case "avgpool":
		return &int8.AveragePool{Window: window, CountPad: d.CountPad}, nil
	case "globalsum":
		return int8.GlobalAveragePool{}, nil
	case "dense":
		return &int8.Dense{In: d.InChannels, Out: d.OutChannels}, nil
	}
	return nil, fmt.Errorf("unknown operation %q; this program knows conv, maxpool, avgpool, globalsum and dense", d.Op)
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
func checkCanonical(n *int8.Network, metadata map[string]string) error {
	canonical, err := describe(n)
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
