// Package preprocess turns pictures into network input: decode, resize the
// short side with an antialiased bilinear filter, crop the centre. All of it
// is integer arithmetic, so that every machine gives the same bytes.
package preprocess

import "fmt"

// Spec says how pictures become network input. It travels in the model file.
type Spec struct {
	Resize int        `json:"resize"` // the short side after resizing, in pixels
	Crop   int        `json:"crop"`   // height and width of the centre crop, in pixels
	Filter string     `json:"filter"` // always Bilinear
	Order  string     `json:"order"`  // channel order the float network expects: RGB or BGR
	Mean   [3]float32 `json:"mean"`   // subtracted from 0..255 pixels, in Order
	Std    [3]float32 `json:"std"`    // then divides them, in Order
}

// Values of Spec.Filter and Spec.Order.
const (
	Bilinear = "bilinear-antialias"
	RGB      = "rgb"
	BGR      = "bgr"
)

// Caffe is the preprocessing of Keras' ResNet50 weights: BGR, mean
// subtracted, no scaling.
func Caffe() Spec {
	return Spec{Resize: 256, Crop: 224, Filter: Bilinear, Order: BGR,
		Mean: [3]float32{103.939, 116.779, 123.68}, Std: [3]float32{1, 1, 1}}
}

// Torchvision is the preprocessing of torchvision's ImageNet weights, in
// units of 0..255 pixels.
func Torchvision() Spec {
	return Spec{Resize: 256, Crop: 224, Filter: Bilinear, Order: RGB,
		Mean: [3]float32{123.675, 116.28, 103.53}, Std: [3]float32{58.395, 57.12, 57.375}}
}

// Validate reports what is wrong with s, if anything.
func (s Spec) Validate() error {
	switch {
	case s.Crop < 1 || s.Resize < s.Crop || s.Resize > 4096:
		return fmt.Errorf("preprocess: resize %d, crop %d: want 1 <= crop <= resize <= 4096", s.Resize, s.Crop)
	case s.Filter != Bilinear:
		return fmt.Errorf("preprocess: unknown filter %q, want %q", s.Filter, Bilinear)
	case s.Order != RGB && s.Order != BGR:
		return fmt.Errorf("preprocess: unknown channel order %q, want %q or %q", s.Order, RGB, BGR)
	}
	for i, v := range s.Std {
		if !(v > 0 && v < 1e6) || !(s.Mean[i] > -1e6 && s.Mean[i] < 1e6) {
			return fmt.Errorf("preprocess: channel %d: mean %v and std %v must be finite and std positive", i, s.Mean[i], v)
		}
	}
	return nil
}

// Channel returns the index in an RGB pixel of the network's channel c.
func (s Spec) Channel(c int) int {
	if s.Order == BGR {
		return 2 - c
	}
	return c
}

// Float writes the float network's input, normalized and in s.Order, for the
// RGB pixels of rgb. Both hold as many values, in HWC order.
func (s Spec) Float(dst []float32, rgb []uint8) error {
	if len(dst) != len(rgb) || len(rgb)%3 != 0 {
		return fmt.Errorf("preprocess: %d values of RGB pixels for an input of %d", len(rgb), len(dst))
	}
	for i := 0; i < len(rgb); i += 3 {
		for c := range 3 {
			dst[i+c] = (float32(rgb[i+s.Channel(c)]) - s.Mean[c]) / s.Std[c]
		}
	}
	return nil
}
