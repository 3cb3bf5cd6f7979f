package v4l2

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel's structures. Members that are long or pointers there are
// uintptr or unix.Timeval here, so that one definition serves 32 and 64 bits.

type capability struct {
	driver       [16]byte
	card         [32]byte
	bus          [32]byte
	version      uint32
	capabilities uint32 // of the whole device
	deviceCaps   uint32 // of this node
	reserved     [3]uint32
}

type fmtdesc struct {
	index, typ, flags uint32
	description       [32]byte
	fourCC            FourCC
	mbusCode          uint32
	reserved          [3]uint32
}

type format struct {
	typ uint32
	_   [0]uintptr // other members of the union hold pointers
	pix PixFormat
	_   [200 - unsafe.Sizeof(PixFormat{})]byte
}

type streamparm struct {
	typ              uint32
	capability, mode uint32
	interval         Fraction // timeperframe
	_                [200 - 16]byte
}

type requestbuffers struct {
	count, typ, memory, capabilities uint32
	flags                            uint8
	reserved                         [3]uint8
}

type buffer struct {
	index, typ, bytesUsed, flags, field uint32
	timestamp                           unix.Timeval
	timecode                            [16]byte
	sequence, memory                    uint32
	offset                              uintptr // of memory mapping; a union
	length                              uint32
	reserved                            [2]uint32
}

// frmsizeenum and frmivalenum end in unions: of one size or interval, or of
// the ends and the step of a range.

type frmsizeenum struct {
	index    uint32
	fourCC   FourCC
	typ      uint32
	union    [6]uint32 // width, height or min, max, step of width, of height
	reserved [2]uint32
}

type frmivalenum struct {
	index         uint32
	fourCC        FourCC
	width, height uint32
	typ           uint32
	union         [3]Fraction // interval or min, max, step
	reserved      [2]uint32
}

const (
	typeVideoCapture = 1
	memoryMMAP       = 1
	fieldNone        = 1
	privMagic        = 0xfeedcafe // PixFormat is filled to its end
	enumDiscrete     = 1

	bufferError         = 0x0040
	bufferTimeMask      = 0xe000
	bufferTimeMonotonic = 0x2000
)

// request is the number of an ioctl: the direction in two bits, the size of
// the argument, the letter 'V', the command.
type request uintptr

const (
	write = 1
	read  = 2
)

func code(direction, command, size uintptr) request {
	return request(direction<<30 | size<<16 | 'V'<<8 | command)
}

var (
	querycap           = code(read, 0, unsafe.Sizeof(capability{}))
	enumFmt            = code(read|write, 2, unsafe.Sizeof(fmtdesc{}))
	sFmt               = code(read|write, 5, unsafe.Sizeof(format{}))
	reqbufs            = code(read|write, 8, unsafe.Sizeof(requestbuffers{}))
	querybuf           = code(read|write, 9, unsafe.Sizeof(buffer{}))
	qbuf               = code(read|write, 15, unsafe.Sizeof(buffer{}))
	dqbuf              = code(read|write, 17, unsafe.Sizeof(buffer{}))
	streamon           = code(write, 18, unsafe.Sizeof(int32(0)))
	streamoff          = code(write, 19, unsafe.Sizeof(int32(0)))
	sParm              = code(read|write, 22, unsafe.Sizeof(streamparm{}))
	enumFramesizes     = code(read|write, 74, unsafe.Sizeof(frmsizeenum{}))
	enumFrameintervals = code(read|write, 75, unsafe.Sizeof(frmivalenum{}))
)

func (r request) String() string {
	switch r {
	case querycap:
		return "VIDIOC_QUERYCAP"
	case enumFmt:
		return "VIDIOC_ENUM_FMT"
	case sFmt:
		return "VIDIOC_S_FMT"
	case reqbufs:
		return "VIDIOC_REQBUFS"
	case querybuf:
		return "VIDIOC_QUERYBUF"
	case qbuf:
		return "VIDIOC_QBUF"
	case dqbuf:
		return "VIDIOC_DQBUF"
	case streamon:
		return "VIDIOC_STREAMON"
	case streamoff:
		return "VIDIOC_STREAMOFF"
	case sParm:
		return "VIDIOC_S_PARM"
	case enumFramesizes:
		return "VIDIOC_ENUM_FRAMESIZES"
	case enumFrameintervals:
		return "VIDIOC_ENUM_FRAMEINTERVALS"
	}
	return "ioctl"
}
