// Package preprocess turns pictures into network input: decode, resize the
// short side with an antialiased bilinear filter, crop the centre. All of it
// is integer arithmetic, so that every machine gives the same bytes.
package preprocess

import (
	"fmt"

	"edgeclassify/tensor"
)

// Spec says how pictures become network input. It travels in the model file.
type Spec struct {
	Resize Resize     `json:"resize"` // to what the picture is resized
	Crop   Size       `json:"crop"`   // of the centre crop: what the network sees
	Filter string     `json:"filter"` // Bilinear, Bicubic or Nearest
	Order  string     `json:"order"`  // channel order the float network expects: RGB, BGR or Grey
	Mean   [3]float32 `json:"mean"`   // subtracted from 0..255 pixels, in Order
	Std    [3]float32 `json:"std"`    // then divides them, in Order
}

// Values of Spec.Filter and Spec.Order.
const (
	Bilinear = "bilinear" + antialias
	Bicubic  = "bicubic" + antialias
	Nearest  = "nearest"

	antialias = "-antialias"

	RGB  = "rgb"
	BGR  = "bgr"
	Grey = "grey"
)

// Input is the shape of what the network sees.
func (s Spec) Input() tensor.Shape {
	return tensor.Shape{H: s.Crop.H, W: s.Crop.W, C: s.Channels()}
}

// Channels is the number of channels of what the network sees.
func (s Spec) Channels() int {
	if s.Order == Grey {
		return 1
	}
	return 3
}

// maxSide bounds pictures after resizing, in pixels.
const maxSide = 4096

// Validate reports what is wrong with s, if anything.
func (s Spec) Validate() error {
	if err := s.check(); err != nil {
		return fmt.Errorf("preprocess: %w", err)
	}
	return nil
}

func (s Spec) check() error {
	if err := s.Resize.validate(s.Crop); err != nil {
		return err
	}
	switch {
	case s.Filter != Bilinear && s.Filter != Bicubic && s.Filter != Nearest:
		return fmt.Errorf("unknown filter %q, want %q, %q or %q", s.Filter, Bilinear, Bicubic, Nearest)
	case s.Order != RGB && s.Order != BGR && s.Order != Grey:
		return fmt.Errorf("unknown channel order %q, want %q, %q or %q", s.Order, RGB, BGR, Grey)
	}
	for i, v := range s.Std {
		if !(v > 0 && v < 1e6) || !(s.Mean[i] > -1e6 && s.Mean[i] < 1e6) {
			return fmt.Errorf("channel %d: mean %v and std %v must be finite and std positive", i, s.Mean[i], v)
		}
	}
	return nil
}

// Sized is the preprocessing for a network that sees another size: what is resized
// keeps its proportion to the crop.
func (s Spec) Sized(crop Size) Spec {
	scale := func(n, from, to int) int { return (2*n*to + from) / (2 * from) }
	if s.Resize.Short != 0 {
		s.Resize.Short = scale(s.Resize.Short, min(s.Crop.H, s.Crop.W), max(crop.H, crop.W))
	} else {
		s.Resize.Whole = Size{scale(s.Resize.Whole.H, s.Crop.H, crop.H), scale(s.Resize.Whole.W, s.Crop.W, crop.W)}
	}
	s.Crop = crop
	return s
}

// Channel returns the index in a pixel of the network's channel c.
func (s Spec) Channel(c int) int {
	if s.Order == BGR {
		return 2 - c
	}
	return c
}

// Float writes the float network's input, normalized and in s.Order, for the
// pixels of pix. Both hold as many values, in HWC order.
func (s Spec) Float(dst []float32, pix []uint8) error {
	n := s.Channels()
	if len(dst) != len(pix) || len(pix)%n != 0 {
		return fmt.Errorf("preprocess: %d values of pixels for an input of %d", len(pix), len(dst))
	}
	for i := 0; i < len(pix); i += n {
		for c := range n {
			dst[i+c] = (float32(pix[i+s.Channel(c)]) - s.Mean[c]) / s.Std[c]
		}
	}
	return nil
}
