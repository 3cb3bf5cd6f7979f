package capture

import "time"

// Report is a Status for machines: its error as text, its names as JSON.
type Report struct {
	Device   string    `json:"device"`
	State    string    `json:"state"`
	Error    string    `json:"error,omitempty"`
	Since    time.Time `json:"since"`
	Format   Format    `json:"format"`
	Width    int       `json:"width"`
	Height   int       `json:"height"`
	FPS      float64   `json:"fps"`
	Frames   uint64    `json:"frames"`
	Dropped  uint64    `json:"dropped"`
	Corrupt  uint64    `json:"corrupt"`
	Restarts uint64    `json:"restarts"`
}

// Report returns s as machines read it.
func (s Status) Report() Report {
	r := Report{
		Device: s.Device, State: s.State, Since: s.Since,
		Format: s.Format, Width: s.Width, Height: s.Height, FPS: s.FPS,
		Frames: s.Frames, Dropped: s.Dropped, Corrupt: s.Corrupt, Restarts: s.Restarts,
	}
	if s.Err != nil {
		r.Error = s.Err.Error()
	}
	return r
}
