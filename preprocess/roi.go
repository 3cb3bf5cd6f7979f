package preprocess

import (
	"errors"
	"fmt"
	"image"
	"math"
	"strconv"
	"strings"
)

// ErrROI is of a region that is too small or reaches beyond the picture.
var ErrROI = errors.New("region of interest does not fit the picture")

// ROI is the region of interest of a picture as it is shown, from its left upper
// corner on: in pixels, or in per cent of the picture's width and height. The zero
// ROI is the whole picture. As text it is "X,Y,W,H", such as "40,0,320,240" or
// "12.5%,0%,50%,100%".
type ROI struct {
	X, Y, W, H float64
	Percent    bool
}

// ParseROI is the inverse of String.
func ParseROI(text string) (r ROI, err error) {
	wrong := fmt.Errorf("region %q: want X,Y,W,H, all in pixels or all in per cent of the picture: 40,0,320,240 or 10%%,0%%,50%%,100%%", text)
	parts := strings.Split(text, ",")
	values := [...]*float64{&r.X, &r.Y, &r.W, &r.H}
	if len(parts) != len(values) {
		return ROI{}, wrong
	}
	for i, value := range values {
		number, percent := strings.CutSuffix(strings.TrimSpace(parts[i]), "%")
		r.Percent = percent || i > 0 && r.Percent
		*value, err = strconv.ParseFloat(number, 64)
		if err != nil || percent != r.Percent || !r.Percent && *value != math.Trunc(*value) {
			return ROI{}, wrong
		}
	}
	far := float64(MaxPixels)
	if r.Percent {
		far = 100
	}
	if !(min(r.X, r.Y) >= 0 && min(r.W, r.H) > 0 && max(r.X+r.W, r.Y+r.H) <= far) {
		return ROI{}, fmt.Errorf("region %q: want X and Y from 0, W and H above 0, and at most 100 per cent", text)
	}
	return r, nil
}

// String is the region as text, empty for the whole picture.
func (r ROI) String() string {
	if r == (ROI{}) {
		return ""
	}
	parts := make([]string, 4)
	for i, value := range []float64{r.X, r.Y, r.W, r.H} {
		parts[i] = strconv.FormatFloat(value, 'f', -1, 64)
		if r.Percent {
			parts[i] += "%"
		}
	}
	return strings.Join(parts, ",")
}

// Set makes r a flag.Value.
func (r *ROI) Set(text string) (err error) {
	*r, err = ParseROI(text)
	return err
}

// Pixels is the region of a picture of width x height, to the nearest pixel.
func (r ROI) Pixels(width, height int) (image.Rectangle, error) {
	if r == (ROI{}) {
		return image.Rect(0, 0, width, height), nil
	}
	pixel := func(at float64, side int) int {
		if r.Percent {
			at = float64(at*float64(side)) / 100
		}
		return int(math.Round(at))
	}
	region := image.Rect(pixel(r.X, width), pixel(r.Y, height), pixel(r.X+r.W, width), pixel(r.Y+r.H, height))
	if !region.In(image.Rect(0, 0, width, height)) || min(region.Dx(), region.Dy()) < MinSide {
		return region, fmt.Errorf("%w of %dx%d pixels: -roi %v is %dx%d at %d,%d: want at least %dx%[9]d pixels within the picture",
			ErrROI, width, height, r, region.Dx(), region.Dy(), region.Min.X, region.Min.Y, MinSide)
	}
	return region, nil
}

// Crop makes p the region of it, without copying a sample.
func (r ROI) Crop(p *Image) error {
	if r == (ROI{}) {
		return nil
	}
	region, err := r.Pixels(p.Width, p.Height)
	if err != nil {
		return fmt.Errorf("preprocess: %w", err)
	}
	for i := range p.Model.planes() {
		x, y := region.Min.X, region.Min.Y
		if i > 0 && p.Model.hasChroma() {
			x, y = p.Chroma[0].at(x), p.Chroma[1].at(y)
		}
		plane := &p.Planes[i]
		plane.Origin += y*plane.Stride + x*plane.Step
	}
	if p.Model.hasChroma() {
		p.Chroma[0], p.Chroma[1] = p.Chroma[0].from(region.Min.X), p.Chroma[1].from(region.Min.Y)
	}
	p.Width, p.Height = region.Dx(), region.Dy()
	return nil
}
