package capture

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"edgeclassify/internal/jpegfile"
)

const (
	// feedPatience is how long a program or a web camera may take for its first
	// frame, in which it starts, and one in the network for any other.
	feedPatience = 10 * time.Second

	maxFile  = 16 << 20    // bytes of a JPEG file in a feed
	maxFrame = 4096 * 4096 // pixels of a frame whose size was not agreed to
)

// source is where the bytes of a feed come from.
type source interface {
	io.Reader

	// stop makes Read fail soon. It is safe for concurrent use.
	stop()

	// end ends what is behind the source, and says why reading failed with err.
	end(err error) error
}

// costly is a failure that is not to be repeated too often: an attempt starts a
// program, or asks another machine.
type costly struct{ error }

func (e *costly) Unwrap() error { return e.error }

// feed is a session that reads frames from a stream of bytes: what a program
// writes to a pipe, or a web camera sends. Frames are raw I420 or JPEG files one
// after the other, with or without something between them.
type feed struct {
	pool
	source  source
	bytes   *bufio.Reader
	layout  Frame // of the next frame; without a size until there was one, if they are JPEG files
	first   arrival
	damage  error // of the last damaged frame
	ended   bool
	stopped atomic.Bool // by interrupt

	patience time.Duration
	timer    *time.Timer // ends the source when no good frame comes
	stalled  atomic.Bool
}

// coding is how frames follow each other in a feed.
type coding int

const (
	raw      coding = iota // without anything between them
	jpegs                  // JPEG files
	anyBytes               // one of both: the first bytes tell
)

// content is what a feed has.
type content struct {
	device string // for Status
	coding coding
	layout Frame   // of raw frames
	fps    float64 // 0: unknown
	steady bool    // frames never stay away for long, as those of a network may
}

// openFeed waits for the first frame: a program that starts, and a camera that
// answers, may yet have none.
func openFeed(ctx context.Context, src source, c content) (session, Status, error) {
	f := &feed{source: src, bytes: bufio.NewReaderSize(src, 64<<10), layout: c.layout, patience: feedPatience}
	if c.fps > 0 {
		f.patience = patience(time.Duration(float64(time.Second) / c.fps))
	}
	first := max(feedPatience, f.patience)
	if !c.steady {
		f.patience = first
	}
	f.timer = time.AfterFunc(first, func() { f.stalled.Store(true); src.stop() })
	defer context.AfterFunc(ctx, f.interrupt)()
	err := f.begin(c.coding)
	for err == nil && f.first.newest == nil {
		var a arrival
		a, err = f.next()
		f.first.newest, f.first.frames, f.first.corrupt = a.newest, a.frames, f.first.corrupt+a.corrupt
	}
	if err != nil {
		if f.pool == nil {
			err = f.explain(err)
		}
		f.close()
		return nil, Status{}, err
	}
	return f, Status{Device: c.device, Format: f.layout.Format, Width: f.layout.Width, Height: f.layout.Height, FPS: c.fps}, nil
}

// begin finds out what the frames are.
func (f *feed) begin(c coding) error {
	if c == anyBytes {
		start, err := f.bytes.Peek(3)
		if err != nil {
			return err
		}
		if c = raw; string(start) == "\xff\xd8\xff" {
			c = jpegs
		}
	}
	if c == jpegs {
		f.layout = Frame{Format: MJPEG, FullRange: true}
	}
	f.pool = newPool(f.layout.need())
	return nil
}

func (f *feed) next() (arrival, error) {
	if a := f.first; a.newest != nil {
		f.first = arrival{}
		return a, nil
	}
	b := <-f.pool
	if err := f.read(b); err != nil {
		f.release(b)
		if isDamage(err) {
			f.damage = err
			return arrival{corrupt: 1}, nil
		}
		return arrival{}, f.explain(err)
	}
	f.timer.Reset(f.patience)
	b.Sequence, b.Time = f.layout.Sequence, time.Now() // nobody tells when it was captured
	f.layout.Sequence++
	return arrival{newest: b, frames: 1}, nil
}

// read reads a frame.
func (f *feed) read(b *buffer) (err error) {
	b.Frame = f.layout
	if f.layout.Format != MJPEG {
		b.Data = b.memory
		_, err = io.ReadFull(f.bytes, b.memory)
		return err
	}
	if b.memory, err = readJPEG(f.bytes, b.memory[:0]); err != nil {
		return err
	}
	header, err := b.completeJPEG(b.memory)
	switch {
	case err != nil:
		return &damagedError{err}
	case header.Width == 0:
		return &damagedError{errors.New("a frame of a kind of JPEG that is not read")}
	case f.layout.Width == 0 && header.Width*header.Height > maxFrame:
		return &damagedError{fmt.Errorf("%dx%d pixels: want at most %d", header.Width, header.Height, maxFrame)}
	case f.layout.Width == 0:
		f.layout.Width, f.layout.Height = header.Width, header.Height
	}
	b.Width, b.Height = f.layout.Width, f.layout.Height
	return b.checkSize(header)
}

// checkSize refuses frames of another size than agreed to, before somebody
// makes room for their pixels.
func (b *buffer) checkSize(h jpegfile.Header) error {
	if h.Width != b.Width || h.Height != b.Height {
		return &damagedError{fmt.Errorf("a frame of %dx%d pixels, agreed to was %dx%d", h.Width, h.Height, b.Width, b.Height)}
	}
	return nil
}

// explain says why there was nothing to read.
func (f *feed) explain(err error) error {
	switch {
	case f.stopped.Load():
		return errClosed
	case f.stalled.Load():
		err = stalled(f.patience, f.damage)
	}
	f.ended = true
	return &costly{f.source.end(err)}
}

func (f *feed) interrupt() {
	f.stopped.Store(true)
	f.source.stop()
}

func (f *feed) close() {
	f.timer.Stop()
	f.source.stop()
	if !f.ended {
		f.ended = true
		_ = f.source.end(errClosed) // that it has ended is no news
	}
}
