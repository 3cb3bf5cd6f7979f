package live

import "io"

// Teacher teaches the classifier labels of its own, from pictures of the camera.
// Its methods may be called at any time from several goroutines, and return
// without waiting for a frame or for training. Errors are shown to people.
type Teacher interface {
	State() TeachState
	// Changed gets a value when State answers something else than before. It has
	// one receiver, and a buffer of one.
	Changed() <-chan struct{}

	AddLabel(name string) error
	RenameLabel(from, to string) error
	RemoveLabel(name string) error // with its samples
	// Collect begins to take samples of a label, in place of any other's, or ends
	// that. To begin what goes on and to end what does not is no error.
	Collect(label string, on bool) error
	Sample(label, id string) ([]byte, error) // a JPEG file
	DeleteSample(label, id string) error

	Train() error // begins; see TeachState.Training
	Cancel()      // ends training, if it goes on
	Use() error   // what was trained
	Undo() error  // goes back to what was in use before

	// Export writes a zip file of a folder for each label.
	Export(w io.Writer) error
}

// TeachState is the answer of GET /api/teach/, and the server-sent event "teach".
type TeachState struct {
	Labels      []TeachLabel `json:"labels"`               // in an order that stays
	Collecting  string       `json:"collecting,omitempty"` // the label that samples are taken of
	Full        string       `json:"full,omitempty"`       // why no more samples are taken, in words
	Missing     string       `json:"missing,omitempty"`    // before Train can begin, in words
	Training    Training     `json:"training"`
	Trained     bool         `json:"trained"` // a classifier waits for Use
	InUse       int          `json:"in_use"`  // number of the taught classifier that runs, 0 for the model's own
	CanUndo     bool         `json:"can_undo"`
	BaseChanged bool         `json:"base_changed"` // what was in use does not run, since it is for another model
}

// TeachLabel is a label and its samples.
type TeachLabel struct {
	Name  string   `json:"name"`
	Count int      `json:"count"`
	IDs   []string `json:"ids"` // of samples, newest first
}

// Training is what goes on, or what came of it last.
type Training struct {
	Running bool   `json:"running"`
	Step    string `json:"step,omitempty"` // what is being done, in words
	Done    int    `json:"done"`           // of Total, which is 0 where it is not known
	Total   int    `json:"total"`
	Error   string `json:"error,omitempty"`
	// Accuracy is the share of the Of photographs that are recognized by what was
	// trained on the others (cross-validation), Low and High its 95 % interval.
	// Of is 0 where there were too few to tell.
	Of       int           `json:"of"`
	Accuracy float64       `json:"accuracy"`
	Low      float64       `json:"low"`
	High     float64       `json:"high"`
	Suspects []TeachSample `json:"suspects,omitempty"` // most likely under the wrong label
	Warnings []string      `json:"warnings,omitempty"`
}

// TeachSample names a sample.
type TeachSample struct {
	Label string `json:"label"`
	ID    string `json:"id"`
}
