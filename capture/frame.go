package capture

import (
	"context"
	"time"
)

// Format is how a frame's samples lie in memory.
type Format string

// Formats.
const (
	YUYV  Format = "YUYV"  // Y Cb Y Cr, one plane, 4:2:2
	NV12  Format = "NV12"  // a plane of Y, then one of Cb Cr, 4:2:0
	I420  Format = "I420"  // planes of Y, Cb and Cr, 4:2:0
	MJPEG Format = "MJPEG" // a JPEG file per frame
)

// Frame is one picture of a camera. It belongs to the camera until the next
// call of Next.
type Frame struct {
	Format        Format
	Width, Height int
	Stride        int       // bytes from one line to the next, of the first plane
	FullRange     bool      // YCbCr uses 0..255 (JPEG) and not 16..235
	Data          []byte    // all planes, or the JPEG file (Huffman tables present)
	Sequence      uint64    // counts the camera's frames; gaps are drops
	Time          time.Time // when it was captured (monotonic)
}

// Camera gives the newest frame.
type Camera interface {
	// Next waits for a frame newer than the last one: the newest there is. It
	// fails with ctx's error, or one that no retry mends. While the camera is
	// gone or silent it keeps trying, and Status says so.
	Next(ctx context.Context) (*Frame, error)
	Status() Status // safe for concurrent use
	Close() error
}

// States of a camera.
const (
	Starting  = "starting"
	Streaming = "streaming"
	Stalled   = "stalled" // open, but silent
	Missing   = "missing" // unplugged, or not there yet
	Failed    = "error"
)

// Status is how a camera is.
type Status struct {
	Device string // "/dev/video0 (name)", "csi:0", "test", "file:DIR"
	State  string
	Err    error // why, where State is not Streaming
	Since  time.Time

	Format        Format // as negotiated
	Width, Height int
	FPS           float64

	Frames, Dropped, Corrupt, Restarts uint64
}
