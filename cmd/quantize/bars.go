package main

import (
	"io"

	"edgeclassify/internal/cli"
)

// bars shows a progress bar for one stage after another.
type bars struct {
	out   io.Writer
	stage string
	step  func(done, total int64)
	stop  func()
}

func newBars(out io.Writer) *bars { return &bars{out: out, stop: func() {}} }

// move shows how far a stage is; a stage of another name ends the one before.
func (b *bars) move(stage string, done, total int) {
	if stage != b.stage {
		b.stop()
		b.stage = stage
		b.step, b.stop = cli.Progress(b.out, stage, false)
	}
	b.step(int64(done), int64(total))
}

func (b *bars) end() { b.stop() }
