package stream

import (
	"time"

	"edgeclassify/capture"
)

// Class is a class with its probability. ID is the WordNet ID.
type Class struct {
	Class int     `json:"class"`
	ID    string  `json:"id"`
	Label string  `json:"label"`
	Prob  float64 `json:"prob"`
}

// Phases are durations in milliseconds.
type Phases struct {
	Decode     float64 `json:"decode"`
	Preprocess float64 `json:"preprocess"`
	Infer      float64 `json:"infer"`
}

// Result is what was seen in one frame.
type Result struct {
	Time     time.Time `json:"time"` // when the frame was captured
	Sequence uint64    `json:"sequence"`
	AgeMS    float64   `json:"age_ms"`  // from capture to result
	Dropped  uint64    `json:"dropped"` // frames lost before they reached the program
	Top      []Class   `json:"top"`     // smoothed, most probable first
	MS       Phases    `json:"ms"`
	// What the system tells of the board; absent where it does not.
	TemperatureC float64  `json:"temperature_c,omitempty"`
	Throttled    []string `json:"throttled,omitempty"`
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

// Sink gets what Run makes, in Run's goroutine: it must not block. r and f are
// valid during the call only.
type Sink interface {
	Result(r *Result, f *capture.Frame)
	Event(e Event)
	Status(s capture.Status)
}
