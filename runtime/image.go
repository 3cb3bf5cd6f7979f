package runtime

import (
	"encoding/binary"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// imageLoader makes the first activation: pixels minus 128.
type imageLoader struct{ node }

func (imageLoader) window() (tensor.Window, bool) { return pixelwise() }

func (l imageLoader) bind(s *Session) task {
	dst := s.plane(l.out)
	return func(part int8.Part, _ []int64) {
		dst.load(s.image, part)
		dst.fillHalo(part)
	}
}

func (p *plane) load(image []uint8, part int8.Part) {
	width := p.shape.W * p.shape.C
	for y := part.Y0; y < part.Y1; y++ {
		row := cast[uint8](p.data[p.at(y, 0):][:width])
		copy(row, image[y*width:])
		if p.flip == 0 {
			flipSigns(row)
		}
	}
}

// flipSigns subtracts 128 from every byte, eight at a time.
func flipSigns(b []uint8) {
	for ; len(b) >= 8; b = b[8:] {
		binary.NativeEndian.PutUint64(b, binary.NativeEndian.Uint64(b)^0x8080808080808080)
	}
	for i := range b {
		b[i] ^= 0x80
	}
}
