package images

import (
	"bytes"
	"image"
	"image/jpeg"

	"golang.org/x/image/draw"

	"edgeclassify/tensor"
)

const (
	thumbnail        = 160 // pixels on a side
	thumbnailQuality = 80
)

// Thumbnail makes a small JPEG file of RGB or grey pixels of a shape.
func Thumbnail(pix []uint8, s tensor.Shape) ([]byte, error) {
	full := image.NewRGBA(image.Rect(0, 0, s.W, s.H))
	for i := range s.H * s.W {
		for c := range 3 {
			full.Pix[4*i+c] = pix[s.C*i+c%s.C]
		}
		full.Pix[4*i+3] = 0xff
	}
	long := max(s.H, s.W, thumbnail)
	small := image.NewRGBA(image.Rect(0, 0, s.W*thumbnail/long, s.H*thumbnail/long))
	draw.CatmullRom.Scale(small, small.Bounds(), full, full.Bounds(), draw.Src, nil)
	var b bytes.Buffer
	err := jpeg.Encode(&b, small, &jpeg.Options{Quality: thumbnailQuality})
	return b.Bytes(), err
}
