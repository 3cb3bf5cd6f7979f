package preprocess

import (
	"encoding/binary"
	"fmt"
)

// Orientation says how a stored picture must be turned to be upright: the
// values 1 to 8 of tag 0x0112 (Exif 2.32, section 4.6.4). 0 is Upright, too.
type Orientation uint8

// Upright is of pictures that are stored as they are shown.
const Upright Orientation = 1

// ParseOrientation turns a picture clockwise by 0, 90, 180 or 270 degrees, and then
// mirrors what is shown: "h" left and right, "v" top and bottom, "" not at all.
func ParseOrientation(rotate int, flip string) (Orientation, error) {
	turned, known := map[int]Orientation{0: Upright, 90: 6, 180: 3, 270: 8}[rotate]
	if !known {
		return 0, fmt.Errorf("preprocess: rotation %d: want 0, 90, 180 or 270 degrees, clockwise", rotate)
	}
	mirrored, known := map[string]Orientation{"": Upright, "h": 2, "v": 4}[flip]
	if !known {
		return 0, fmt.Errorf("preprocess: flip %q: want h (left and right) or v (top and bottom)", flip)
	}
	return turned.Then(mirrored), nil
}

// Transposed tells whether rows are shown as columns, so that width and height
// change places.
func (o Orientation) Transposed() bool { return o >= 5 }

// mirrorX and mirrorY refer to the stored picture, before transposing.
func (o Orientation) mirrorX() bool { return o == 2 || o == 3 || o == 7 || o == 8 }
func (o Orientation) mirrorY() bool { return o == 3 || o == 4 || o == 6 || o == 7 }

// Then is o, and behind it next.
func (o Orientation) Then(next Orientation) Orientation {
	x, y := next.mirrorX(), next.mirrorY()
	if o.Transposed() {
		x, y = y, x
	}
	both := Upright
	for ; both < 8; both++ {
		if both.mirrorX() == (o.mirrorX() != x) && both.mirrorY() == (o.mirrorY() != y) &&
			both.Transposed() == (o.Transposed() != next.Transposed()) {
			break
		}
	}
	return both
}

// Turn turns p upright without moving a sample: only addresses change.
func (o Orientation) Turn(p *Image) {
	for i := range p.Model.planes() {
		w, h := p.extent(i)
		plane := &p.Planes[i]
		if o.mirrorX() {
			plane.Origin += (w - 1) * plane.Step
			plane.Step = -plane.Step
		}
		if o.mirrorY() {
			plane.Origin += (h - 1) * plane.Stride
			plane.Stride = -plane.Stride
		}
		if o.Transposed() {
			plane.Step, plane.Stride = plane.Stride, plane.Step
		}
	}
	if o.mirrorX() && p.Model.hasChroma() {
		p.Chroma[0] = p.Chroma[0].flip(p.Width)
	}
	if o.mirrorY() && p.Model.hasChroma() {
		p.Chroma[1] = p.Chroma[1].flip(p.Height)
	}
	if o.Transposed() {
		p.Width, p.Height = p.Height, p.Width
		p.Chroma[0], p.Chroma[1] = p.Chroma[1], p.Chroma[0]
	}
}

// AppendExif appends a JPEG file's Exif segment that says so. It belongs behind the
// file's first marker.
func (o Orientation) AppendExif(file []byte) []byte {
	file = append(file, "\xff\xe1\x00\x22Exif\x00\x00"+"II*\x00\x08\x00\x00\x00"+
		"\x01\x00"+"\x12\x01\x03\x00\x01\x00\x00\x00"...) // one entry: a tag, a short, of one value
	return append(file, max(uint8(o), 1), 0, 0, 0, 0, 0, 0, 0) // and no further directory
}

// ExifOrientation returns the orientation in the first directory of a TIFF
// structure, as Exif has it; Upright if there is none that makes sense.
func ExifOrientation(tiff []byte) Orientation {
	const orientation = 0x0112
	if e, ok := tiffEntry(tiff, orientation); ok && e.kind == typeShort && e.value >= 1 && e.value <= 8 {
		return Orientation(e.value)
	}
	return Upright
}

// entry is a tag of a TIFF directory.
type entry struct {
	kind  uint16
	count uint32
	value uint32 // the first, of those whose values fit into the entry
}

// Kinds of values.
const (
	typeByte  = 1
	typeShort = 3
	typeLong  = 4
)

// tiffValue is a tag's only value; 0 where there is none, or there are several.
func tiffValue(tiff []byte, tag uint16) int64 {
	if e, ok := tiffEntry(tiff, tag); ok && e.count == 1 {
		return int64(e.value)
	}
	return 0
}

// tiffEntry finds a tag in the first directory of a TIFF structure.
func tiffEntry(tiff []byte, tag uint16) (e entry, ok bool) {
	const header, size = 8, 12 // bytes
	if len(tiff) < header {
		return e, false
	}
	var order binary.ByteOrder = binary.LittleEndian
	if tiff[0] == 'M' {
		order = binary.BigEndian
	}
	directory := uint64(order.Uint32(tiff[4:]))
	if order.Uint16(tiff[2:]) != 42 || directory+2 > uint64(len(tiff)) {
		return e, false
	}
	entries := tiff[directory+2:]
	for range order.Uint16(tiff[directory:]) {
		if len(entries) < size {
			break
		}
		if order.Uint16(entries) != tag {
			entries = entries[size:]
			continue
		}
		e = entry{kind: order.Uint16(entries[2:]), count: order.Uint32(entries[4:])}
		switch e.kind {
		case typeByte:
			e.value = uint32(entries[8])
		case typeShort:
			e.value = uint32(order.Uint16(entries[8:]))
		case typeLong:
			e.value = order.Uint32(entries[8:])
		}
		return e, true
	}
	return e, false
}
