package q8

import (
	"errors"
	"fmt"

	"edgeclassify/int8"
	"edgeclassify/internal/printable"
	"edgeclassify/labels"
	"edgeclassify/preprocess"
)

// Model is a network with all that it takes to use it: what a file holds. New
// makes it; it is never modified.
type Model struct {
	*int8.Network
	Preprocess preprocess.Spec
	Classes    []labels.Class // in the order of the logits; two of a network with one logit
	Activation labels.Activation
	Provenance Provenance
	SelfTest   *SelfTest // nil where there is none
}

// New checks that what belongs to a network fits it. The self-test may be nil.
func New(n *int8.Network, p preprocess.Spec, classes []labels.Class, a labels.Activation, from Provenance, test *SelfTest) (*Model, error) {
	m := &Model{Network: n, Preprocess: p, Classes: classes, Activation: a, Provenance: from, SelfTest: test}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("q8: network %q: %w", n.Name, err)
	}
	return m, nil
}

func (m *Model) check() error {
	if err := m.Preprocess.Validate(); err != nil {
		return err
	}
	if m.Topology() == nil {
		return errors.New("it is not one that int8.NewNetwork made")
	}
	if m.Activation != labels.Softmax && m.Activation != labels.Sigmoid {
		return fmt.Errorf("activation is %q, want %q or %q", m.Activation, labels.Softmax, labels.Sigmoid)
	}
	if classes := m.Activation.Classes(m.Classifier().Out); len(m.Classes) != classes {
		return fmt.Errorf("%d class names for %d classes", len(m.Classes), classes)
	}
	if err := labels.Check(m.Classes); err != nil {
		return err
	}
	from := m.Provenance
	for _, text := range []string{m.Name, from.Tool, from.Source, from.SourceHash, from.Method, from.ImagesHash, from.RangesHash, from.Base} {
		if printable.Text(text) != text {
			return fmt.Errorf("%q has control characters: name the network otherwise and quantize it again", text)
		}
	}
	if want := m.Preprocess.Input(); m.Input.Shape != want {
		return fmt.Errorf("input is %v, preprocessing gives %v", m.Input.Shape, want)
	}
	return nil
}

// Independent says whether classes are independent of each other, so that none, or
// several, may be in a picture.
func (m *Model) Independent() bool { return m.Activation.Independent(m.Classifier().Out) }

// Provenance says where a quantized network comes from.
type Provenance struct {
	Tool       string `json:"tool"`                    // program and version
	Source     string `json:"source"`                  // the float model's file name
	SourceHash string `json:"source_sha256"`           // SHA-256 over the float model's weights and topology
	Method     string `json:"method"`                  // how activation ranges were chosen, and corrections
	Images     int    `json:"images"`                  // number of calibration images
	ImagesHash string `json:"images_sha256,omitempty"` // SHA-256 over the calibration images' pixels
	Seed       uint64 `json:"seed"`                    // which images were drawn
	RangesHash string `json:"ranges_sha256,omitempty"` // SHA-256 of the range table, where one was given
	// Base is the SHA-256 of the model file whose classifier was replaced by a taught
	// one: Method, Images, ImagesHash and Seed are then the teaching's. Empty of others.
	Base string `json:"base_sha256,omitempty"`
}
