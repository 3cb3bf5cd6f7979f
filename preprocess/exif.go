package preprocess

import "encoding/binary"

// orientation says how a stored picture must be turned to be upright: the
// values 1 to 8 of tag 0x0112 (Exif 2.32, section 4.6.4).
type orientation uint8

const upright orientation = 1

func (o orientation) transposed() bool { return o >= 5 }

// mirrorX and mirrorY refer to the stored picture, before transposing.
func (o orientation) mirrorX() bool { return o == 2 || o == 3 || o == 7 || o == 8 }
func (o orientation) mirrorY() bool { return o == 3 || o == 4 || o == 6 || o == 7 }

// apply turns p upright without moving a sample: only addresses change.
func (o orientation) apply(p *Image) {
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
		if o.transposed() {
			plane.Step, plane.Stride = plane.Stride, plane.Step
		}
	}
	if o.mirrorX() && p.Model.hasChroma() {
		p.Chroma[0] = p.Chroma[0].flip(p.Width)
	}
	if o.mirrorY() && p.Model.hasChroma() {
		p.Chroma[1] = p.Chroma[1].flip(p.Height)
	}
	if o.transposed() {
		p.Width, p.Height = p.Height, p.Width
		p.Chroma[0], p.Chroma[1] = p.Chroma[1], p.Chroma[0]
	}
}

// tiffOrientation returns the orientation in the first directory of a TIFF
// structure, as Exif has it; upright if there is none that makes sense.
func tiffOrientation(tiff []byte) orientation {
	const (
		header, entry  = 8, 12 // bytes
		tagOrientation = 0x0112
		typeShort      = 3
	)
	if len(tiff) < header {
		return upright
	}
	var order binary.ByteOrder = binary.LittleEndian
	if tiff[0] == 'M' {
		order = binary.BigEndian
	}
	directory := uint64(order.Uint32(tiff[4:]))
	if order.Uint16(tiff[2:]) != 42 || directory+2 > uint64(len(tiff)) {
		return upright
	}
	entries := tiff[directory+2:]
	for range order.Uint16(tiff[directory:]) {
		if len(entries) < entry {
			break
		}
		if order.Uint16(entries) == tagOrientation && order.Uint16(entries[2:]) == typeShort {
			if o := order.Uint16(entries[8:]); o >= 1 && o <= 8 {
				return orientation(o)
			}
			break
		}
		entries = entries[entry:]
	}
	return upright
}
