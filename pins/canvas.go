package pins

import (
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// canvas is a picture of black and white in the order of an SSD1306's memory: a
// byte is 8 pixels above each other, the topmost in bit 0, and a page is a row
// of bytes.
type canvas struct {
	height int
	pix    []byte // width bytes per page
}

const (
	width     = 128
	rowHeight = 16
	columns   = 18 // width / the font's 7 pixels
)

func newCanvas(height int) *canvas {
	return &canvas{height: height, pix: make([]byte, width*height/8)}
}

func (c *canvas) set(x, y int) {
	if x >= 0 && x < width && y >= 0 && y < c.height {
		c.pix[y/8*width+x] |= 1 << (y % 8)
	}
}

// text draws a line of text in a row of 16 pixels. Characters beyond ASCII
// become a replacement.
func (c *canvas) text(row int, s string) {
	face := basicfont.Face7x13
	dot := fixed.P(0, row*rowHeight+(rowHeight-face.Height)/2+face.Ascent)
	for _, r := range s {
		area, mask, at, advance, _ := face.Glyph(dot, r)
		for y := range area.Dy() {
			for x := range area.Dx() {
				if _, _, _, a := mask.At(at.X+x, at.Y+y).RGBA(); a != 0 {
					c.set(area.Min.X+x, area.Min.Y+y)
				}
			}
		}
		dot.X += advance
	}
}
