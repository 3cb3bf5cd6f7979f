package stream

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"edgeclassify/capture"
	"edgeclassify/classify"
	"edgeclassify/labels"
)

// Result is what was seen in one frame.
type Result struct {
	Time     time.Time             `json:"time"` // when the frame was captured
	Sequence uint64                `json:"sequence"`
	AgeMS    float64               `json:"age_ms"`  // from capture to result
	Dropped  uint64                `json:"dropped"` // frames lost before they reached the program
	Top      []classify.Prediction `json:"top"`     // smoothed, without logits, most probable first
	// Independent says that classes are independent of each other: none, or several,
	// may be in view.
	Independent bool `json:"independent,omitempty"`
	// Model is the SHA-256 of the model's file, LogitsSHA256 that of its answer to this
	// frame alone: see int8.HashLogits.
	Model        string `json:"model,omitempty"`
	LogitsSHA256 Digest `json:"logits_sha256,omitzero"`
	// Probabilities are those of all classes, smoothed, in their order.
	Probabilities []float64 `json:"-"`
	// Features are those of this frame alone; nil of a network that has none.
	Features []int16         `json:"-"`
	MS       classify.Phases `json:"ms"`
	// What the system tells of the board; absent where it does not.
	TemperatureC float64  `json:"temperature_c,omitempty"`
	Throttled    []string `json:"throttled,omitempty"`
}

// Best is the most probable class. ok is false where there is none, or where
// independent classes are all less likely than not.
func (r *Result) Best() (best classify.Prediction, ok bool) {
	if len(r.Top) == 0 || r.Independent && r.Top[0].Probability < 0.5 {
		return best, false
	}
	return r.Top[0], true
}

// Digest is a SHA-256, as text in lower-case hexadecimal.
type Digest [sha256.Size]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	sum, err := hex.DecodeString(string(text))
	if err != nil || len(sum) != len(d) {
		return fmt.Errorf("stream: %q is no SHA-256: want %d hexadecimal digits", text, 2*len(d))
	}
	*d = Digest(sum)
	return nil
}

// Kind is what happened in an Event.
const (
	Start = "start"
	End   = "end"
)

// Event says that a watched label has come into view or left it.
type Event struct {
	Time  time.Time `json:"time"`
	Label string    `json:"label"`
	Kind  string    `json:"event"` // Start or End
	Prob  float64   `json:"prob"`
}

// Model is what results are of.
type Model struct {
	Name    string         // of the network
	SHA256  string         // the file's checksum
	Base    string         // that of the model whose classifier was replaced by a taught one; else empty
	Kernel  string         // that runs it
	Classes []labels.Class // in the order of Result.Probabilities
	// Independent says that classes are independent of each other.
	Independent  bool
	FeatureScale float32 // real value of one step of Result.Features; 0 without any
}

// Sink gets what Run makes, in Run's goroutine: it must not block. r and f are
// valid during the call only.
type Sink interface {
	// Model comes before everything else, and when another model takes the place of
	// the one before, between two frames.
	Model(m Model)
	Result(r *Result, f *capture.Frame)
	// Event comes behind the Result that makes it. f is that result's frame, or nil
	// where an event ends because there is nothing to see any more.
	Event(e Event, f *capture.Frame)
	Status(s capture.Status)
}
