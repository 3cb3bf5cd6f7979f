// Package report describes how a network was quantized and how well that went:
// as data, which other programs read as JSON, and as one HTML page for people.
package report

import (
	"encoding/json"
	"io"

	"edgeclassify/calibrate"
	"edgeclassify/calibrate/diagnose"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/evaluate"
	"edgeclassify/int8"
	"edgeclassify/q8"
	"edgeclassify/runtime"
)

// Report is all that is known of a quantized network. Sections that were not
// asked for, or that lack what they need, are nil or empty. Shares are from 0
// to 1 and signal-to-noise ratios in dB.
type Report struct {
	Model      Model                  `json:"model"`
	Provenance q8.Provenance          `json:"provenance"`
	Verdict    evaluate.Verdict       `json:"verdict"`
	Evaluation *evaluate.Result       `json:"evaluation,omitempty"`
	Ablation   []calibrate.Trial      `json:"ablation,omitempty"`
	Layers     []Layer                `json:"layers"`
	Worst      []evaluate.ImageResult `json:"worst,omitempty"` // the images with the lowest SQNR first
	Arena      []runtime.Buffer       `json:"arena,omitempty"`
}

// Model is the model file, its name without folders, empty where there is none.
type Model struct {
	Name string `json:"name"`
	File string `json:"file"`
	Size
}

// Size is how large a model is, in the file and at work.
type Size struct {
	SHA256          string `json:"sha256"` // of the file
	FileBytes       int64  `json:"file_bytes"`
	WeightBytes     int    `json:"weight_bytes"`
	ArenaBytes      int    `json:"arena_bytes"`
	ArenaLowerBound int    `json:"arena_lower_bound"`
	MACs            int64  `json:"macs"` // for one image
}

// Layer is one integer layer and what quantization does to it.
type Layer struct {
	Name        string                 `json:"name"`
	Op          string                 `json:"op"`
	Shape       [3]int                 `json:"shape"` // of the output: H, W, C
	Type        int8.Type              `json:"type"`
	Scale       float64                `json:"scale"`
	MACs        int64                  `json:"macs"`
	WeightBytes int                    `json:"weight_bytes"`
	Choices     string                 `json:"choices,omitempty"` // the methods chosen for the layer
	Range       *quantize.Range        `json:"range,omitempty"`   // what the codes cover
	Seen        *quantize.Range        `json:"seen,omitempty"`    // what the float network gave
	Histogram   *diagnose.Histogram    `json:"histogram,omitempty"`
	Saturated   float64                `json:"saturated"`     // share of values beyond the range
	Codes       int                    `json:"codes"`         // distinct output codes that occurred; 0 for logits
	Dead        int                    `json:"dead_channels"` // output channels that never left zero
	Headroom    float64                `json:"headroom_bits"` // of the accumulator: log2(2^31 / the largest it can reach); 0 without one
	SQNR        SQNR                   `json:"sqnr"`
	Int16       *calibrate.Int16Output `json:"promotion,omitempty"` // what it would give and cost, where that is known
}

// SQNR holds signal-to-noise ratios of a layer's output in dB, nil where they
// do not apply or there is no noise.
type SQNR struct {
	Isolated    *float64 `json:"isolated"`    // float inputs, this layer alone quantized
	Cumulative  *float64 `json:"cumulative"`  // all layers up to this one quantized
	Weights     *float64 `json:"weights"`     // isolated, rounding of weights alone
	Activations *float64 `json:"activations"` // isolated, rounding of the output alone
	Clipping    *float64 `json:"clipping"`    // isolated, clipping of the output alone
}

// WriteJSON writes the report as indented JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
