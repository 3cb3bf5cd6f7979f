package live

import (
	"image"

	"edgeclassify/capture"
	"edgeclassify/preprocess"
)

// planes holds a frame's samples as image/jpeg wants them: in three planes, of
// full range. It keeps its memory.
type planes struct {
	picture      preprocess.Picture
	img          image.YCbCr
	luma, chroma [256]uint8 // full-range values of the frame's
}

// image returns the picture of a frame of a raw format. It lasts until the next
// call.
func (p *planes) image(f *capture.Frame) (*image.YCbCr, error) {
	if err := f.Picture(&p.picture); err != nil {
		return nil, err
	}
	ratio := image.YCbCrSubsampleRatio420
	if p.picture.Chroma[1].Factor == 1 {
		ratio = image.YCbCrSubsampleRatio422
	}
	bounds := image.Rect(0, 0, f.Width, f.Height)
	if p.img.Rect != bounds || p.img.SubsampleRatio != ratio {
		p.img = *image.NewYCbCr(bounds, ratio)
	}
	p.setRange(f.FullRange)
	read(p.img.Y, p.img.YStride, &p.picture.Planes[0], &p.luma)
	read(p.img.Cb, p.img.CStride, &p.picture.Planes[1], &p.chroma)
	read(p.img.Cr, p.img.CStride, &p.picture.Planes[2], &p.chroma)
	return &p.img, nil
}

// read copies a plane's samples through a table to lines of that width.
func read(dst []uint8, width int, src *preprocess.Plane, table *[256]uint8) {
	for y := range len(dst) / width {
		line := dst[y*width:][:width]
		at := src.Origin + y*src.Stride
		for x := range line {
			line[x] = table[src.Pix[at]]
			at += src.Step
		}
	}
}

// setRange fills the tables. Limited range is 16 to 235 for luma, and 16 to 240
// about 128 for chroma (ITU-R BT.601).
func (p *planes) setRange(full bool) {
	for i := range 256 {
		if full {
			p.luma[i], p.chroma[i] = uint8(i), uint8(i)
			continue
		}
		p.luma[i] = uint8(min(max((i-16)*255+109, 0)/219, 255))
		p.chroma[i] = uint8(min(max((i-128)*255+128*224+112, 0)/224, 255))
	}
}
