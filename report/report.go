// Package report describes how a network was quantized and how well that went:
// as data, which other programs read as JSON, and as one HTML page for people.
package report

import (
	"encoding/json"
	"io"

	"edgeclassify/int8"
)

// Report is all that is known of a quantized network. Sections that were not
// asked for, or that lack what they need, are nil or empty. Shares are from 0
// to 1 and signal-to-noise ratios in dB.
type Report struct {
	Model      Model           `json:"model"`
	Provenance int8.Provenance `json:"provenance"`
	Verdict    Verdict         `json:"verdict"`
	Evaluation *Evaluation     `json:"evaluation,omitempty"`
	Ablation   []Trial         `json:"ablation,omitempty"`
	Layers     []Layer         `json:"layers"`
	Worst      []Image         `json:"worst,omitempty"` // the pictures with the lowest SQNR first
	Arena      []Buffer        `json:"arena,omitempty"`
}

// Model is the model file.
type Model struct {
	Name            string `json:"name"`
	File            string `json:"file"`
	SHA256          string `json:"sha256"`
	FileBytes       int64  `json:"file_bytes"`
	WeightBytes     int    `json:"weight_bytes"`
	ArenaBytes      int    `json:"arena_bytes"`
	ArenaLowerBound int    `json:"arena_lower_bound"`
	MACs            int64  `json:"macs"`
}

// Verdict says whether the model is fit for use.
type Verdict struct {
	Good    bool     `json:"good"`
	Summary string   `json:"summary"`          // one sentence
	Advice  []string `json:"advice,omitempty"` // which layer is to blame, and what helps
}

// Share is a number of pictures with its 95 % Wilson score interval.
type Share struct {
	Count int     `json:"count"`
	Of    int     `json:"of"`
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Evaluation is the outcome on pictures beside the float network. What needs
// true classes, or the float network, is nil where they are missing.
type Evaluation struct {
	Images   int `json:"images"`
	Labelled int `json:"labelled"`
	Skipped  int `json:"skipped"`
	// OwnPictures says that they are those that the model was calibrated on:
	// on others it may do worse.
	OwnPictures bool     `json:"own_pictures,omitempty"`
	Top1        *Share   `json:"top1"`
	Top5        *Share   `json:"top5"`
	FloatTop1   *Share   `json:"float_top1"`
	FloatTop5   *Share   `json:"float_top5"`
	Agreement   *Share   `json:"agreement"` // both name the same class first
	SQNR        *float64 `json:"sqnr_db"`   // of the logits
	Flips       *Flips   `json:"flips"`
	Classes     []Class  `json:"classes,omitempty"` // those with labelled pictures
	Seconds     float64  `json:"seconds"`
}

// Flips are pictures whose first class changes from float to int8.
type Flips struct {
	RightToWrong int `json:"right_to_wrong"`
	WrongToRight int `json:"wrong_to_right"`
	WrongToWrong int `json:"wrong_to_wrong"`
	Unlabelled   int `json:"unlabelled"`
	// McNemar is the two-sided p-value of McNemar's exact test: how likely
	// right-to-wrong and wrong-to-right differ this much by chance.
	McNemar float64 `json:"mcnemar_p"`
}

// Class is the outcome on the pictures of one true class.
type Class struct {
	Index     int    `json:"index"`
	Name      string `json:"name"`
	Images    int    `json:"images"`
	Top1      int    `json:"top1"`
	FloatTop1 int    `json:"float_top1"`
	Agree     int    `json:"agree"`
}

// Trial is the network with one more method than the trial before it, or with
// a method in place of another; the first is the plainest.
type Trial struct {
	Name      string  `json:"name"`    // such as "bias correction"
	SQNR      float64 `json:"sqnr_db"` // of the logits, the mean of the pictures held out
	Agreement float64 `json:"agreement"`
	Kept      bool    `json:"kept"` // whether the trials after it, and the model, have the method
}

// Layer is one integer layer and what quantization does to it.
type Layer struct {
	Name        string     `json:"name"`
	Op          string     `json:"op"`
	Shape       [3]int     `json:"shape"` // of the output: H, W, C
	Type        int8.Type  `json:"type"`
	Scale       float64    `json:"scale"`
	MACs        int64      `json:"macs"`
	WeightBytes int        `json:"weight_bytes"`
	Choices     string     `json:"choices,omitempty"` // the methods chosen for the layer
	Range       *Range     `json:"range,omitempty"`   // what the codes cover
	Seen        *Range     `json:"seen,omitempty"`    // what the float network gave
	Histogram   *Histogram `json:"histogram,omitempty"`
	Saturated   float64    `json:"saturated"`     // share of values beyond the range
	Codes       int        `json:"codes"`         // distinct output codes that occurred; 0 for logits
	Dead        int        `json:"dead_channels"` // output channels that never left zero
	Headroom    float64    `json:"headroom_bits"` // of the accumulator: log2(2^31 / the largest it can reach); 0 without one
	SQNR        SQNR       `json:"sqnr"`
	Promotion   *Promotion `json:"promotion,omitempty"`
}

// Range is a span of real values.
type Range struct {
	Min float64 `json:"min"`
	Max float64 `json:"max"`
}

// Histogram counts real values in bins of equal width from From on.
type Histogram struct {
	From   float64  `json:"from"`
	Width  float64  `json:"width"`
	Counts []uint64 `json:"counts"`
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

// Promotion is what it would give and cost to store the layer's output as int16.
type Promotion struct {
	SQNR         float64 `json:"logit_sqnr_gain_db"`
	Bytes        int     `json:"bytes"`        // of memory for the output
	Microseconds float64 `json:"microseconds"` // predicted, one Cortex-A76 core at 2.4 GHz
	Chosen       bool    `json:"chosen"`
}

// Image is one picture's outcome.
type Image struct {
	Name  string  `json:"name"`
	JPEG  []byte  `json:"jpeg,omitempty"` // a small rendering of what the network saw
	Truth string  `json:"truth,omitempty"`
	SQNR  float64 `json:"sqnr_db"`
	Float []Guess `json:"float"` // the three most probable classes
	Int8  []Guess `json:"int8"`
}

// Guess is a class with its probability.
type Guess struct {
	Class       string  `json:"class"`
	Probability float64 `json:"probability"`
}

// Buffer is a tensor's place in the arena, and the steps that it lives from
// and to, both included.
type Buffer struct {
	Name   string `json:"name"`
	Offset int    `json:"offset"`
	Bytes  int    `json:"bytes"`
	First  int    `json:"first"`
	Last   int    `json:"last"`
}

// WriteJSON writes the report as indented JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
