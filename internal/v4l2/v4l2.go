// Package v4l2 captures video through Video4Linux2, the camera interface of
// the Linux kernel: single-planar formats in buffers that the driver shares
// with the program. It is a thin layer over the system calls; package capture
// holds the policy.
//
// Structures and numbers are those of linux/videodev2.h; the documentation is
// https://docs.kernel.org/userspace-api/media/v4l/v4l2.html.
package v4l2

import (
	"errors"
	"time"
)

// Errors of Device.Wait.
var (
	ErrTimeout     = errors.New("no frame in time")
	ErrInterrupted = errors.New("interrupted")
	ErrStopped     = errors.New("the driver has stopped the stream") // POLLERR, POLLHUP
)

// ErrNotReady is what Device.Dequeue returns when no buffer is filled.
var ErrNotReady = errors.New("no buffer is filled")

// FourCC names a pixel format by four characters.
type FourCC uint32

// Pixel formats.
const (
	YUYV FourCC = 'Y' | 'U'<<8 | 'Y'<<16 | 'V'<<24 // 4:2:2, packed
	NV12 FourCC = 'N' | 'V'<<8 | '1'<<16 | '2'<<24 // 4:2:0, Y then CbCr pairs
	YU12 FourCC = 'Y' | 'U'<<8 | '1'<<16 | '2'<<24 // 4:2:0, Y then Cb then Cr
	MJPG FourCC = 'M' | 'J'<<8 | 'P'<<16 | 'G'<<24 // JPEG, perhaps without Huffman tables
	JPEG FourCC = 'J' | 'P'<<8 | 'E'<<16 | 'G'<<24 // JPEG
)

func (f FourCC) String() string {
	return string([]byte{byte(f), byte(f >> 8), byte(f >> 16), byte(f >> 24)})
}

// Capability says what a node is.
type Capability struct {
	Driver, Card, Bus string
	Caps              uint32 // of this node
}

// Bits of Capability.Caps.
const (
	CapVideoCapture = 0x00000001
	CapMetaCapture  = 0x00800000
	CapStreaming    = 0x04000000
)

// Captures reports whether the node gives pictures, in shared buffers. A
// camera's metadata nodes and codecs do not.
func (c Capability) Captures() bool {
	const need = CapVideoCapture | CapStreaming
	return c.Caps&need == need
}

// PixFormat is struct v4l2_pix_format.
type PixFormat struct {
	Width, Height uint32
	FourCC        FourCC
	Field         uint32
	BytesPerLine  uint32 // of the first plane
	SizeImage     uint32
	Colorspace    uint32
	Priv          uint32
	Flags         uint32
	Encoding      uint32
	Quantization  uint32
	Transfer      uint32
}

// Values of PixFormat.Quantization and PixFormat.Colorspace.
const (
	QuantizationDefault = 0 // as the colour space has it
	QuantizationFull    = 1
	ColorspaceJPEG      = 7 // full range
)

// FullRange reports whether Y, Cb and Cr use 0 to 255.
func (p PixFormat) FullRange() bool {
	switch {
	case p.FourCC == MJPG || p.FourCC == JPEG:
		return true // as JFIF has it, whatever drivers say
	case p.Quantization == QuantizationDefault:
		return p.Colorspace == ColorspaceJPEG
	}
	return p.Quantization == QuantizationFull
}

// Fraction is struct v4l2_fract. As an interval it is in seconds per frame.
type Fraction struct{ Numerator, Denominator uint32 }

// Rate returns frames per second, 0 if f is not an interval.
func (f Fraction) Rate() float64 {
	if f.Numerator == 0 {
		return 0
	}
	return float64(f.Denominator) / float64(f.Numerator)
}

// Size is one picture size, or all sizes from Width x Height up to
// MaxWidth x MaxHeight.
type Size struct {
	Width, Height       uint32
	MaxWidth, MaxHeight uint32
}

// Buffer is a filled buffer.
type Buffer struct {
	Index    int
	Used     int       // bytes
	Corrupt  bool      // the driver warns that data may be damaged
	Sequence uint32    // counts frames, lost ones too
	Time     time.Time // of capture, with a monotonic reading
}

// Node is a video device of the system.
type Node struct {
	Path string // /dev/videoN
	Name string // what the driver calls it, "" if not known
}
