package capture

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"edgeclassify/preprocess"
)

// Format says how a frame's data are laid out.
type Format string

// Formats of frames.
const (
	YUYV  Format = "YUYV"  // 4:2:2: Y Cb Y Cr, for two pixels
	NV12  Format = "NV12"  // 4:2:0: a plane of Y, a plane of Cb Cr pairs
	I420  Format = "I420"  // 4:2:0: planes of Y, Cb, Cr; V4L2 calls it YU12
	MJPEG Format = "MJPEG" // a JPEG file per frame
)

// Formats lists the formats of frames.
func Formats() []Format { return []Format{YUYV, NV12, I420, MJPEG} }

// Frame is one picture of a camera. It belongs to the camera until the next
// call of Next or Close.
type Frame struct {
	Format        Format
	Width, Height int                    // as Data has them
	Orientation   preprocess.Orientation // how Data must be turned to be shown
	Limits        preprocess.Limits      // on what decoding a JPEG file takes
	Stride        int                    // bytes from one line to the next, of the first plane; 0 of MJPEG
	FullRange     bool                   // YCbCr uses 0..255 (JPEG) and not 16..235
	Data          []byte                 // all planes, or the JPEG file, Huffman tables included
	Sequence      uint64                 // counts the camera's frames; gaps are frames lost or passed over
	Time          time.Time              // when it was captured, with a monotonic reading

	undecodable *atomic.Uint64 // the camera's count of frames that cannot be decoded; nil without a camera
}

// Camera gives frames. Next and Close belong to one goroutine at a time.
type Camera interface {
	// Next waits for a frame newer than the last one and returns the newest
	// there is. It fails when ctx ends or the camera is closed. While the
	// camera is gone or silent it keeps waiting, and Status says so.
	Next(ctx context.Context) (*Frame, error)

	// Status is safe for concurrent use.
	Status() Status

	Close() error
}

// States of a camera.
const (
	Starting  = "starting"
	Streaming = "streaming"
	Stalled   = "stalled" // it is there but gives no frames
	Missing   = "missing" // it is unplugged
	Failed    = "error"
)

// Status says how a camera is doing.
type Status struct {
	Device   string    `json:"device"` // "/dev/video0 (name)", "csi:0", "test", "file:DIR"
	State    string    `json:"state"`
	Error    string    `json:"error,omitempty"` // why, where State is not streaming
	Since    time.Time `json:"since"`           // when State began
	Format   Format    `json:"format"`          // this and what follows is what the camera agreed to
	Width    int       `json:"width"`           // of the picture as it is shown
	Height   int       `json:"height"`
	FPS      float64   `json:"fps"`      // 0 if the camera does not tell
	Frames   uint64    `json:"frames"`   // received whole, by what can be told without decoding them
	Dropped  uint64    `json:"dropped"`  // lost before they reached the program
	Corrupt  uint64    `json:"corrupt"`  // received damaged; also those of Frames that could not be decoded
	Restarts uint64    `json:"restarts"` // attempts to open the camera again

	// Due is by when the camera acts again, be it to try once more. Later it hangs
	// in a driver that does not answer.
	Due time.Time `json:"-"`
}

// Image describes the frame's samples to preprocess.Resizer. Raw formats
// are not copied: p is valid as long as the frame is. MJPEG is decoded into
// memory of its own, and counts as corrupt if that fails. What is turned has its
// strides exchanged.
//
// Chroma samples are taken to lie in the middle of their pixels. Some cameras
// place them at the left one: half a pixel, which resizing to 224 leaves
// nothing of.
func (f *Frame) Image(p *preprocess.Image) error {
	if f.Format == MJPEG {
		decoded, err := f.Limits.Decode(f.Data)
		if err != nil {
			if f.undecodable != nil {
				f.undecodable.Add(1)
			}
			return fmt.Errorf("capture: frame %d: %w", f.Sequence, err)
		}
		*p = *decoded
		f.Orientation.Turn(p)
		return nil
	}
	if need := f.need(); need == 0 || len(f.Data) < need {
		return fmt.Errorf("capture: frame %d: %d bytes of %s %dx%d with a stride of %d: want %d",
			f.Sequence, len(f.Data), f.Format, f.Width, f.Height, f.Stride, need)
	}
	p.Geometry = preprocess.Geometry{Width: f.Width, Height: f.Height, Model: preprocess.ModelYCbCrLimited,
		Chroma: [2]preprocess.Subsampling{{Factor: 2}, {Factor: 2}}}
	if f.FullRange {
		p.Model = preprocess.ModelYCbCr
	}
	plane := func(origin, stride, step int) preprocess.Plane {
		return preprocess.Plane{Pix: f.Data, Origin: origin, Stride: stride, Step: step}
	}
	luma := f.Stride * f.Height
	switch f.Format {
	case YUYV:
		p.Chroma[1].Factor = 1
		p.Planes = [3]preprocess.Plane{plane(0, f.Stride, 2), plane(1, f.Stride, 4), plane(3, f.Stride, 4)}
	case NV12:
		p.Planes = [3]preprocess.Plane{plane(0, f.Stride, 1), plane(luma, f.Stride, 2), plane(luma+1, f.Stride, 2)}
	case I420:
		half := f.Stride / 2
		chroma := half * ((f.Height + 1) / 2)
		p.Planes = [3]preprocess.Plane{plane(0, f.Stride, 1), plane(luma, half, 1), plane(luma+chroma, half, 1)}
	}
	f.Orientation.Turn(p)
	return nil
}

// maxSide is far above any camera, and keeps products of sizes within int.
const maxSide = 1 << 14

// need returns how many bytes the planes of f take at least, 0 if f has no
// layout of planes that makes sense. The last line may end at its last sample.
func (f *Frame) need() int {
	if f.Width < 1 || f.Height < 1 || max(f.Width, f.Height) > maxSide || f.Stride < f.minStride() || f.Stride > 8*maxSide {
		return 0
	}
	rows, columns := (f.Height+1)/2, (f.Width+1)/2
	switch f.Format {
	case YUYV:
		return f.Stride*(f.Height-1) + 4*columns
	case NV12:
		return f.Stride*(f.Height+rows-1) + 2*columns
	case I420:
		return f.Stride*f.Height + f.Stride/2*(2*rows-1) + columns
	}
	return 0
}

// minStride returns the stride of lines without padding.
func (f *Frame) minStride() int {
	even := f.Width + f.Width%2
	if f.Format == YUYV {
		return 2 * even
	}
	return even
}
