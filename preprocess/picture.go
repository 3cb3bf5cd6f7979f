package preprocess

import (
	"errors"
	"fmt"
)

// What Decode and Resizer refuse, for errors.Is.
var (
	ErrEmpty    = errors.New("no data")
	ErrFormat   = errors.New("not a picture this program reads")
	ErrDamaged  = errors.New("picture is truncated or damaged")
	ErrTooLarge = errors.New("picture is too large")
	ErrTooSmall = errors.New("picture is too small")
	ErrTooLong  = errors.New("picture is too long for its width")
)

// Limits on the pictures that are accepted.
const (
	MaxPixels = 100e6 // width times height
	MinSide   = 16    // shorter side, in pixels
	MaxAspect = 16    // longer side over shorter side
)

// Model says what the planes of a picture hold.
type Model uint8

// Models of a picture.
const (
	ModelGray  Model = iota // plane 0 is grey
	ModelRGB                // planes 0, 1, 2 are red, green, blue
	ModelYCbCr              // planes 0, 1, 2 are full-range BT.601 Y, Cb, Cr, as in JFIF

	// ModelYCbCrLimited is BT.601 as cameras send it: black is Y = 16 and
	// white 235, Cb and Cr go from 16 to 240.
	ModelYCbCrLimited
)

// Geometry is all of a picture but its samples.
type Geometry struct {
	Width, Height int // of the picture, in pixels
	Model         Model

	// Chroma describes the grids of planes 1 and 2 of the YCbCr models,
	// horizontally and vertically; other models ignore it.
	Chroma [2]Subsampling
}

// Subsampling places the samples of a chroma plane along one axis. Each lies
// in the middle of a run of Factor pixels (JPEG's centred siting).
type Subsampling struct {
	Factor int // pixels per sample: 1, 2 or 4
	Lead   int // pixels that the first run reaches beyond the picture, < Factor
}

// samples returns how many samples cover n pixels.
func (s Subsampling) samples(n int) int {
	return (n + s.Lead + s.Factor - 1) / s.Factor
}

// flip returns the subsampling of n pixels seen from the other end.
func (s Subsampling) flip(n int) Subsampling {
	return Subsampling{s.Factor, s.samples(n)*s.Factor - s.Lead - n}
}

// at returns the sample of a pixel.
func (s Subsampling) at(pixel int) int { return (pixel + s.Lead) / s.Factor }

// from returns the subsampling of the pixels from one on.
func (s Subsampling) from(pixel int) Subsampling {
	return Subsampling{s.Factor, (pixel + s.Lead) % s.Factor}
}

// Plane addresses 8-bit samples: (x, y) is Pix[Origin + y*Stride + x*Step].
// Interleaved samples have a Step above 1; mirrored and turned planes have
// negative or exchanged Stride and Step.
type Plane struct {
	Pix                  []uint8
	Origin, Stride, Step int
}

// contains reports whether every sample of width x height lies in Pix.
func (p Plane) contains(width, height int) bool {
	dx, dy := (width-1)*p.Step, (height-1)*p.Stride
	lo := p.Origin + min(dx, 0) + min(dy, 0)
	hi := p.Origin + max(dx, 0) + max(dy, 0)
	return lo >= 0 && hi < len(p.Pix)
}

// Image is a decoded picture, upright.
type Image struct {
	Geometry
	Planes [3]Plane // as many as Model needs
}

// planes returns how many planes a picture of model m has, 0 if m is unknown.
func (m Model) planes() int {
	switch m {
	case ModelGray:
		return 1
	case ModelRGB, ModelYCbCr, ModelYCbCrLimited:
		return 3
	}
	return 0
}

// hasChroma reports whether planes 1 and 2 have grids of their own.
func (m Model) hasChroma() bool {
	return m == ModelYCbCr || m == ModelYCbCrLimited
}

// extent returns the width and height of plane i, in samples.
func (g Geometry) extent(i int) (width, height int) {
	if g.Model.hasChroma() && i > 0 {
		return g.Chroma[0].samples(g.Width), g.Chroma[1].samples(g.Height)
	}
	return g.Width, g.Height
}

// validate reports why a picture of this geometry is refused, if it is.
func (g Geometry) validate() error {
	if err := checkSize(g.Width, g.Height); err != nil {
		return err
	}
	if g.Model.planes() == 0 {
		return fmt.Errorf("%w: unknown colour model %d", ErrFormat, g.Model)
	}
	for _, s := range g.Chroma {
		known := s.Factor == 1 || s.Factor == 2 || s.Factor == 4
		if g.Model.hasChroma() && (!known || s.Lead < 0 || s.Lead >= s.Factor) {
			return fmt.Errorf("%w: chroma subsampling %+v: want a factor of 1, 2 or 4 and 0 <= lead < factor", ErrFormat, s)
		}
	}
	return nil
}

func checkSize(width, height int) error {
	short, long := min(width, height), max(width, height)
	switch {
	case short < MinSide:
		return fmt.Errorf("%w: %dx%d; the shorter side must have at least %d pixels: take a larger picture",
			ErrTooSmall, width, height, MinSide)
	case long > MaxPixels/short:
		return fmt.Errorf("%w: %dx%d; at most %d megapixels are read: scale it down first",
			ErrTooLarge, width, height, int(MaxPixels/1e6))
	case long > MaxAspect*short:
		return fmt.Errorf("%w: %dx%d; the longer side may be at most %d times the shorter: cut out the part that matters",
			ErrTooLong, width, height, MaxAspect)
	}
	return nil
}

// check reports whether p can be read as its geometry says.
func (p *Image) check() error {
	for i := range p.Model.planes() {
		if w, h := p.extent(i); !p.Planes[i].contains(w, h) {
			return fmt.Errorf("%w: plane %d has %d bytes, too few for its %dx%d samples",
				ErrDamaged, i, len(p.Planes[i].Pix), w, h)
		}
	}
	return nil
}
