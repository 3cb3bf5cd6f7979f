package preprocess

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is a height and a width in pixels. As text and in JSON it is one number for
// a square, else WIDTHxHEIGHT.
type Size struct{ H, W int }

// Square is the size of a square.
func Square(side int) Size { return Size{side, side} }

// String is the size as people write it.
func (s Size) String() string {
	if s.H == s.W {
		return strconv.Itoa(s.H)
	}
	return fmt.Sprintf("%dx%d", s.W, s.H)
}

// ParseSize is the inverse of String.
func ParseSize(text string) (Size, error) {
	width, height, two := strings.Cut(text, "x")
	w, err := strconv.Atoi(width)
	h := w
	if two && err == nil {
		h, err = strconv.Atoi(height)
	}
	if err != nil || min(w, h) < 1 || max(w, h) > maxSide {
		return Size{}, fmt.Errorf("size %q: want WIDTHxHEIGHT, or one number for a square, from 1 to %d pixels", text, maxSide)
	}
	return Size{h, w}, nil
}

// MarshalJSON writes a number or a string.
func (s Size) MarshalJSON() ([]byte, error) {
	if s.H == s.W {
		return strconv.AppendInt(nil, int64(s.H), 10), nil
	}
	return strconv.AppendQuote(nil, s.String()), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Size) UnmarshalJSON(text []byte) (err error) {
	*s, err = ParseSize(strings.Trim(string(text), `"`))
	return err
}

// Resize is to what a picture is resized before the crop: its short side to so many
// pixels, the longer in proportion; or, where Short is 0, the whole picture to a
// size, whatever its proportion. As text it is "256", "256 floor" or "=224x224".
type Resize struct {
	Short int
	// Floor cuts the fraction of the longer side off, as torchvision does; otherwise
	// it is rounded to nearest, halves up.
	Floor bool
	Whole Size
}

// Short resizes the short side, the longer one rounded to nearest.
func Short(pixels int) Resize { return Resize{Short: pixels} }

// Whole resizes the whole picture to a size.
func Whole(size Size) Resize { return Resize{Whole: size} }

// String is the resize as text.
func (r Resize) String() string {
	switch {
	case r.Short == 0:
		return fmt.Sprintf("=%dx%d", r.Whole.W, r.Whole.H)
	case r.Floor:
		return strconv.Itoa(r.Short) + " floor"
	}
	return strconv.Itoa(r.Short)
}

// ParseResize is the inverse of String; WIDTHxHEIGHT may lack its =.
func ParseResize(text string) (r Resize, err error) {
	number, floor := strings.CutSuffix(text, " floor")
	if size, whole := strings.CutPrefix(number, "="); whole || strings.Contains(number, "x") {
		r.Whole, err = ParseSize(size)
	} else {
		r.Short, err = strconv.Atoi(number)
		r.Floor = floor
	}
	if err != nil || floor && r.Short == 0 || r.Whole == (Size{}) && (r.Short < 1 || r.Short > maxSide) {
		return Resize{}, fmt.Errorf("resize %q: want the short side, or WIDTHxHEIGHT, from 1 to %d pixels", text, maxSide)
	}
	return r, nil
}

// MarshalJSON writes a number or a string.
func (r Resize) MarshalJSON() ([]byte, error) {
	if r.Short != 0 && !r.Floor {
		return strconv.AppendInt(nil, int64(r.Short), 10), nil
	}
	return strconv.AppendQuote(nil, r.String()), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *Resize) UnmarshalJSON(text []byte) (err error) {
	*r, err = ParseResize(strings.Trim(string(text), `"`))
	return err
}

// size is that of a picture of width x height after resizing.
func (r Resize) size(width, height int) (w, h int) {
	if r.Short == 0 {
		return r.Whole.W, r.Whole.H
	}
	short, half := min(width, height), 1
	if r.Floor {
		half = 0
	}
	scale := func(n int) int { return (2*r.Short*n + half*short) / (2 * short) }
	return scale(width), scale(height)
}

// least is the smallest size that resizing can give.
func (r Resize) least() Size {
	if r.Short == 0 {
		return r.Whole
	}
	return Square(r.Short)
}

// Around is a resize of the same kind of whose sides the crop is a part, up to 1; the
// fraction of a pixel is cut.
func (r Resize) Around(crop Size, part float64) Resize {
	side := func(n int) int { return int(min(float64(n)/part, maxSide+1)) }
	if r.Short == 0 {
		return Whole(Size{side(crop.H), side(crop.W)})
	}
	return Resize{Short: side(max(crop.H, crop.W)), Floor: true}
}

func (r Resize) validate(crop Size) error {
	least := r.least()
	if min(crop.H, crop.W) < 1 || least.H < crop.H || least.W < crop.W || max(least.H, least.W) > maxSide {
		return fmt.Errorf("resize %v, crop %v: want 1 <= crop <= resize <= %d", r, crop, maxSide)
	}
	return nil
}
