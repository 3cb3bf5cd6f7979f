// Package preprocess turns pictures into network input: decode, resize the
// short side with an antialiased bilinear filter, crop the centre. All of it
// is integer arithmetic, so that every machine gives the same bytes.
package preprocess

import (
	"fmt"
	"strings"

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

// Ordered is the preprocessing for a network of another channel order: mean and
// standard deviation stay with their colours, and grey has their averages.
func (s Spec) Ordered(order string) Spec {
	switch {
	case order == Grey && s.Order != Grey:
		s.Mean, s.Std = all(average(s.Mean)), all(average(s.Std))
	case order != s.Order && s.Order != Grey:
		s.Mean[0], s.Mean[2] = s.Mean[2], s.Mean[0]
		s.Std[0], s.Std[2] = s.Std[2], s.Std[0]
	}
	s.Order = order
	return s
}

func average(v [3]float32) float32 { return (v[0] + v[1] + v[2]) / 3 }

// Describe is s for people: "resize short side to 256 (bicubic), crop 224x224, rgb,
// mean 127.5, std 127.5".
func (s Spec) Describe() string {
	resize := fmt.Sprintf("short side to %d", s.Resize.Short)
	if s.Resize.Short == 0 {
		resize = fmt.Sprintf("to %dx%d", s.Resize.Whole.W, s.Resize.Whole.H)
	}
	return fmt.Sprintf("resize %s (%s), crop %dx%d, %s, mean %s, std %s",
		resize, strings.TrimSuffix(s.Filter, antialias), s.Crop.W, s.Crop.H, s.Order, s.values(s.Mean), s.values(s.Std))
}

// values are those of all channels, or one if they are the same.
func (s Spec) values(v [3]float32) string {
	if v == all(v[0]) || s.Order == Grey {
		return fmt.Sprintf("%.6g", v[0])
	}
	return fmt.Sprintf("%.6g %.6g %.6g", v[0], v[1], v[2])
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
