package capture

import (
	"context"
	"time"
)

// synthetic is a session without a camera: a picture that moves.
type synthetic struct {
	pool
	*pace
	layout Frame
}

func openSynthetic(_ string, o Options) (opener, error) {
	if o.FPS == 0 {
		o.FPS = 30
	}
	layout := Frame{Format: YUYV, Width: o.Width, Height: o.Height}
	layout.Stride = layout.minStride()
	return func(context.Context) (session, Status, error) {
		s := &synthetic{newPool(layout.need()), newPace(o.FPS), layout}
		return s, Status{Device: "test", Format: YUYV, Width: o.Width, Height: o.Height, FPS: o.FPS}, nil
	}, nil
}

func (s *synthetic) next() (arrival, error) {
	if err := s.wait(); err != nil {
		return arrival{}, err
	}
	b := <-s.pool
	b.Frame = s.layout
	b.Data, b.Time = b.memory, time.Now()
	b.Sequence = s.layout.Sequence
	b.draw()
	s.layout.Sequence++
	return arrival{newest: b, frames: 1}, nil
}

// draw paints slowly changing colours from dark to light, and a light square
// that runs from left to right, once in 128 frames.
func (f *Frame) draw() {
	side := min(f.Width, f.Height) / 4
	left := int(f.Sequence%128) * (f.Width - side) / 127
	top := (f.Height - side) / 2
	cb := uint8(64 + abs(int(f.Sequence%256)-128))
	for y := range f.Height {
		line := f.Data[y*f.Stride:][:f.minStride()]
		cr := uint8(64 + 128*y/f.Height)
		for x := 0; x < f.Width; x += 2 {
			luma := uint8(16 + 180*x/f.Width)
			if x >= left && x < left+side && y >= top && y < top+side {
				luma = 235
			}
			pair := line[2*x:][:4]
			pair[0], pair[1], pair[2], pair[3] = luma, cb, luma, cr
		}
	}
}

func abs(x int) int { return max(x, -x) }
