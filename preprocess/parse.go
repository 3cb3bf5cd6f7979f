package preprocess

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ErrNone is for JSON files that say nothing of preprocessing.
var ErrNone = errors.New("it says nothing of preprocessing")

// Parse reads a preprocessing from JSON: a Spec's own, in units of 0..255 pixels,
// timm's config.json, or Hugging Face's preprocessor_config.json.
func Parse(data []byte) (Spec, error) {
	s, err := parse(data)
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return Spec{}, fmt.Errorf("preprocess: %w", err)
	}
	return s, nil
}

func parse(data []byte) (Spec, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return Spec{}, fmt.Errorf("want a JSON object: %w", err)
	}
	has := func(name string) bool { return string(keys[name]) != "" && string(keys[name]) != "null" }
	switch {
	case has("pretrained_cfg"):
		return parseTimm(keys["pretrained_cfg"])
	case has("input_size") && has("mean"):
		return parseTimm(data)
	case has("image_mean"), has("do_rescale"), has("do_resize"), has("image_processor_type"), has("feature_extractor_type"):
		return parseTransformers(data)
	case has("mean"), has("std"), has("order"), has("filter"):
		return parseOwn(data, keys)
	}
	return Spec{}, ErrNone
}

// parseOwn needs every key, so that nothing is assumed silently.
func parseOwn(data []byte, keys map[string]json.RawMessage) (Spec, error) {
	names := []string{"resize", "crop", "filter", "order", "mean", "std"}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		if !slices.Contains(names, name) {
			return Spec{}, fmt.Errorf("unknown key %q: want %q", name, names)
		}
	}
	for _, name := range names {
		if keys[name] == nil {
			return Spec{}, fmt.Errorf("key %q is missing: want %q", name, names)
		}
	}
	var c struct {
		Resize        Resize
		Crop          Size
		Filter, Order string
		Mean, Std     channels
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return Spec{}, err
	}
	filter, err := ParseFilter(c.Filter)
	return Spec{c.Resize, c.Crop, filter, c.Order, c.Mean.scaled(1), c.Std.scaled(1)}, err
}

// ParseFilter takes the values of Spec.Filter and short names of them.
func ParseFilter(name string) (string, error) {
	for _, f := range []string{Bilinear, Bicubic, Nearest} {
		if name == f || name != "" && name == strings.TrimSuffix(f, antialias) {
			return f, nil
		}
	}
	return "", fmt.Errorf("unknown interpolation %q: want bilinear, bicubic or nearest", name)
}

// channels are values by channel; in JSON, one number for all, or a list.
type channels [3]float64

func (c *channels) UnmarshalJSON(data []byte) error {
	var one float64
	var list []float64
	if json.Unmarshal(data, &one) == nil {
		list = []float64{one}
	} else if json.Unmarshal(data, &list) != nil {
		return errors.New("want a number or a list of 3")
	}
	switch {
	case string(data) == "null":
	case len(list) == 1:
		*c = channels{list[0], list[0], list[0]}
	case len(list) == 3:
		*c = channels(list)
	default:
		return fmt.Errorf("%d values, want 1 or 3", len(list))
	}
	return nil
}

// scaled are the values in units of 0..255 where they are for pixels times rescale.
func (c channels) scaled(rescale float64) (pixels [3]float32) {
	for i, v := range c {
		pixels[i] = float32(v / rescale)
	}
	return pixels
}

// parseTimm reads a pretrained_cfg, whose evaluation timm.data.create_transform makes:
// the short side to floor(size/crop_pct), centre crop.
func parseTimm(data []byte) (Spec, error) {
	c := struct {
		InputSize     [3]int   `json:"input_size"` // channels, height, width
		Interpolation string   `json:"interpolation"`
		CropPct       float64  `json:"crop_pct"`
		CropMode      string   `json:"crop_mode"`
		Mean          channels `json:"mean"`
		Std           channels `json:"std"`
	}{Interpolation: "bicubic", CropPct: .875, CropMode: "center", Mean: channels{.485, .456, .406}, Std: channels{.229, .224, .225}}
	if err := json.Unmarshal(data, &c); err != nil {
		return Spec{}, fmt.Errorf("timm's pretrained_cfg: %w", err)
	}
	if c.InputSize[0] == 0 {
		return Spec{}, ErrNone
	}
	filter, err := ParseFilter(c.Interpolation)
	if err != nil {
		return Spec{}, err
	}
	crop := Size{c.InputSize[1], c.InputSize[2]}
	s := Spec{Resize: Short(1).Around(crop, c.CropPct), Crop: crop, Filter: filter, Order: RGB, Mean: c.Mean.scaled(1. / 255), Std: c.Std.scaled(1. / 255)}
	if c.InputSize[0] == 1 {
		s.Order = Grey
	}
	switch {
	case c.CropMode == "squash":
		s.Resize = Whole(crop).Around(crop, c.CropPct)
	case c.CropMode != "center":
		return s, fmt.Errorf("crop_mode %q of timm's pretrained_cfg: want center or squash; say -preprocess timm to take the centre", c.CropMode)
	case crop.H != crop.W:
		return s, fmt.Errorf("input_size %v of timm's pretrained_cfg is no square: say -preprocess timm and -input WxH", c.InputSize)
	}
	return s, nil
}

// side reads a size of Hugging Face's: a number, shortest_edge, or height and width.
type side struct {
	Short  int `json:"shortest_edge"`
	Height int `json:"height"`
	Width  int `json:"width"`
	number int
}

func (s *side) UnmarshalJSON(data []byte) error {
	type plain side // without this method
	if json.Unmarshal(data, &s.number) == nil {
		return nil
	}
	return json.Unmarshal(data, (*plain)(s))
}

// transformers is what preprocessor_config.json says, of processors of any kind.
type transformers struct {
	Kind       string   `json:"image_processor_type"`
	OldKind    string   `json:"feature_extractor_type"`
	Size       side     `json:"size"`
	CropSize   side     `json:"crop_size"`
	CropPct    float64  `json:"crop_pct"`
	Resample   int      `json:"resample"` // PIL.Image.Resampling
	Resize     bool     `json:"do_resize"`
	CenterCrop bool     `json:"do_center_crop"`
	Rescale    bool     `json:"do_rescale"`
	Factor     float64  `json:"rescale_factor"`
	Offset     bool     `json:"rescale_offset"` // -1 behind it
	Normalize  *bool    `json:"do_normalize"`
	Mean       channels `json:"image_mean"`
	Std        channels `json:"image_std"`
	Twice      bool     `json:"include_top"` // EfficientNet's divides by Std again
	Flip       bool     `json:"do_flip_channel_order"`
}

// parseTransformers reads the preprocessor_config.json of Hugging Face's transformers.
func parseTransformers(data []byte) (s Spec, err error) {
	c := transformers{Resample: 2, Resize: true, CenterCrop: true, Rescale: true, Factor: 1. / 255, Std: channels{1, 1, 1}}
	if err := json.Unmarshal(data, &c); err != nil {
		return s, fmt.Errorf("transformers' image processor: %w", err)
	}
	filters := map[int]string{0: Nearest, 2: Bilinear, 3: Bicubic}
	s = Spec{Filter: filters[c.Resample], Order: RGB}
	if s.Filter == "" {
		return s, fmt.Errorf("resample %d of transformers' image processor: want 0 (nearest), 2 (bilinear) or 3 (bicubic); say -preprocess timm or single flags", c.Resample)
	}
	if c.Flip {
		s.Order = BGR
	}
	c.scale(&s)
	return s, c.place(&s)
}

// scale finds mean and standard deviation in units of 0..255 pixels.
func (c transformers) scale(s *Spec) {
	if c.Normalize != nil && !*c.Normalize {
		c.Mean, c.Std = channels{}, channels{1, 1, 1}
	}
	if !c.Rescale {
		c.Factor, c.Offset = 1, false
	}
	for i, v := range c.Std {
		if c.Twice {
			c.Std[i] = v * v
		}
		if c.Offset {
			c.Mean[i]++
		}
	}
	s.Mean, s.Std = c.Mean.scaled(c.Factor), c.Std.scaled(c.Factor)
}

// place finds resize and crop.
func (c transformers) place(s *Spec) error {
	convNext := strings.HasPrefix(c.Kind+c.OldKind, "ConvNext")
	if convNext && c.CropPct == 0 {
		c.CropPct = .875
	}
	if n := c.CropSize.number; n != 0 {
		c.CropSize.Height, c.CropSize.Width = n, n
	}
	crops := c.CropPct != 0 || c.CenterCrop && c.CropSize.Height != 0
	if c.Size.number != 0 && crops {
		c.Size.Short = c.Size.number
	} else if c.Size.number != 0 {
		c.Size.Height, c.Size.Width = c.Size.number, c.Size.number
	}
	short, whole := c.Size.Short, Size{c.Size.Height, c.Size.Width}
	switch {
	case !c.Resize || short == 0 && min(whole.H, whole.W) < 1:
		return errors.New("transformers' image processor does not resize to shortest_edge or to height and width: say -preprocess timm or single flags")
	case convNext && short >= 384:
		s.Resize, s.Crop = Whole(Square(short)), Square(short)
	case short != 0 && c.CropPct != 0:
		s.Resize, s.Crop = Short(1).Around(Square(short), c.CropPct), Square(short)
	case short != 0:
		s.Resize, s.Crop = Resize{Short: short, Floor: true}, Square(short)
	default:
		s.Resize, s.Crop = Whole(whole), whole
	}
	if c.CropPct == 0 && crops {
		s.Crop = Size{c.CropSize.Height, c.CropSize.Width}
	}
	return nil
}
