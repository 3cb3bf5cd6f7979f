package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"edgeclassify/classify"
	"edgeclassify/internal/cli"
)

// featureForm is how -features has them printed: "" for not at all, "list" or "base64".
type featureForm string

// features is what is printed of them.
type features struct {
	Values any     `json:"features,omitempty"`
	Scale  float32 `json:"feature_scale,omitempty"` // real value of one step
}

func (f featureForm) of(values []int16, scale float32) features {
	switch f {
	case "list":
		return features{values, scale}
	case "base64":
		b := make([]byte, 0, 2*len(values))
		for _, v := range values {
			b = binary.LittleEndian.AppendUint16(b, uint16(v))
		}
		return features{base64.StdEncoding.EncodeToString(b), scale}
	}
	return features{}
}

// check finds values that make no sense.
func (f featureForm) check(json bool) error {
	switch {
	case f != "" && f != "list" && f != "base64":
		return cli.Usagef("-features %q: want list or base64", string(f))
	case f != "" && !json:
		return cli.Usagef("-features is of use with -json only")
	}
	return nil
}

// fits tells why a model has none to print.
func (f featureForm) fits(m *classify.Model) error {
	n := m.File().Network
	if _, ok := n.Features(); ok || f == "" {
		return nil
	}
	return fmt.Errorf("-features: the model has none: its classifier reads %v values; take a network with a global average before the classifier",
		n.Tensor(n.Layers[len(n.Layers)-1].Inputs[0]).Shape)
}
