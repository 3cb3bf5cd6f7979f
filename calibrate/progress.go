package calibrate

// Progress is told how far a stage of the work is, one call at a time. It may be
// nil.
type Progress func(stage string, done, total int)

// Of is the progress of one stage.
func (p Progress) Of(stage string) func(done, total int) {
	return func(done, total int) {
		if p != nil {
			p(stage, done, total)
		}
	}
}
