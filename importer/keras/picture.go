package keras

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"edgeclassify/models"
	"edgeclassify/preprocess"
)

// picture is what layers before the first operation do to the picture, besides
// scaling its values.
type picture struct {
	layers   string // names, for people
	resize   preprocess.Resize
	filter   string
	reversed bool // channels
	channel  int  // 1 + that which alone is left; 0: all are
}

func (p picture) with(l *layer) picture {
	if p.layers != "" {
		p.layers += ", "
	}
	p.layers += l.path[len(l.path)-1]
	return p
}

func (p picture) same(q picture) bool {
	p.layers, q.layers = "", ""
	return p == q
}

// resizing is to a fixed size, whatever the proportion.
func resizing(o *operation, in []value) (value, error) {
	x := in[0]
	if !x.isPicture() || !x.scaled.identity() || x.pad != (padding{}) {
		return value{}, errors.New("is supported as the first layer only")
	}
	size := preprocess.Size{H: o.config.integer("height", 0, 1, maxSide), W: o.config.integer("width", 0, 1, maxSide)}
	filters := map[string]string{"bilinear": preprocess.Bilinear, "bicubic": preprocess.Bicubic, "nearest": preprocess.Nearest}
	name := strings.ToLower(o.config.text("interpolation", "bilinear"))
	filter, ok := filters[name]
	if !ok {
		return value{}, fmt.Errorf("interpolation is %q, expected bilinear, bicubic or nearest", name)
	}
	if o.config.boolean("pad_to_aspect_ratio", false) {
		return value{}, errors.New("pad_to_aspect_ratio is not supported")
	}
	x.picture = x.picture.with(o.layer)
	x.picture.filter, x.picture.resize = filter, preprocess.Whole(size)
	if o.config.boolean("crop_to_aspect_ratio", false) {
		if size.H != size.W {
			return value{}, fmt.Errorf("crop_to_aspect_ratio to %v is supported for squares only", size)
		}
		x.picture.resize = preprocess.Short(size.H)
	}
	x.shape.H, x.shape.W = size.H, size.W
	return x, nil
}

// centerCrop cuts the middle out.
func centerCrop(o *operation, in []value) (value, error) {
	x := in[0]
	if !x.isPicture() || x.pad != (padding{}) {
		return value{}, errors.New("is supported before the first operation only")
	}
	size := preprocess.Size{H: o.config.integer("height", 0, 1, maxSide), W: o.config.integer("width", 0, 1, maxSide)}
	if x.shape.H != 0 && (size.H > x.shape.H || size.W > x.shape.W) {
		return value{}, fmt.Errorf("to %v of a picture of %dx%d", size, x.shape.W, x.shape.H)
	}
	if x.picture.resize == (preprocess.Resize{}) && x.shape.H != 0 {
		x.picture.resize = preprocess.Whole(preprocess.Size{H: x.shape.H, W: x.shape.W})
	}
	x.picture = x.picture.with(o.layer)
	x.shape.H, x.shape.W = size.H, size.W
	return x, nil
}

// getItem is x[..., ::-1], which makes BGR of RGB, or one channel, x[..., 2], of which
// stack puts three together.
func getItem(o *operation, in []value) (value, error) {
	x := in[0]
	channel, one := number(o.use.constant())
	if !x.isPicture() || !one && !reverses(o.use) || one && channel != 0 && channel != 1 && channel != 2 ||
		x.picture.channel != 0 || len(x.scaled.factor) > 1 || x.pad != (padding{}) {
		return value{}, errors.New("only the channels of the picture may be sliced, as [..., ::-1]")
	}
	if one {
		x.picture.channel = 1 + int(channel)
		return x, nil
	}
	x.picture = x.picture.with(o.layer)
	x.picture.reversed = !x.picture.reversed
	return x, nil
}

func stack(o *operation, in []value) (value, error) {
	x := in[0]
	for i, v := range in {
		if len(in) != 3 || v.picture.channel != 3-i {
			return value{}, errors.New("only the channels of the picture may be stacked, from the last to the first")
		}
	}
	x.picture = x.picture.with(o.layer)
	x.picture.channel, x.picture.reversed = 0, !x.picture.reversed
	return x, nil
}

// reverses tells whether a slice is [..., ::-1], as Keras 2 (slice_spec) and 3
// write it.
func reverses(u use) bool {
	list, _ := u.keys["slice_spec"].([]any)
	for _, v := range u.operands {
		if _, tensor := v.(reference); !tensor {
			list = append(list, v)
		}
	}
	for _, v := range list {
		o, _ := v.(object)
		if config, ok := o["config"].(object); ok {
			o = config
		}
		if args, ok := o["value"].([]any); ok && len(args) == 3 {
			o = object{"start": args[0], "stop": args[1], "step": args[2]}
		}
		if o["step"] == -1.0 && o["start"] == nil && o["stop"] == nil {
			return true
		}
	}
	return false
}

// preprocess is that of the layers at the input or, where none says how values are
// scaled, what is usual for networks with such layers.
func (b *builder) preprocess(n *network, to *models.Imported) (preprocess.Spec, error) {
	start := b.start
	spec, preset, because := guess(n)
	if start.scaled.name != "" {
		spec = preprocess.Raw()
		for c := range spec.Std {
			factor, summand := at(start.scaled.factor, c%start.shape.C, 1), at(start.scaled.summand, c%start.shape.C, 0)
			if !(factor > 0) {
				return spec, fmt.Errorf("layers %s multiply the picture by %v, expected a positive number", start.picture.layers, factor)
			}
			spec.Mean[c], spec.Std[c] = float32(0-summand/factor), float32(1/factor)
		}
		if start.picture.reversed {
			spec.Order = preprocess.BGR
		}
	} else {
		to.Guess = preset + ", " + because
	}
	if start.shape.C == 1 {
		spec.Order = preprocess.Grey
	}
	size := preprocess.Size{H: start.shape.H, W: start.shape.W}
	spec = spec.Sized(size)
	if p := start.picture; p.resize != (preprocess.Resize{}) {
		spec.Resize = p.resize
		if p.filter != "" {
			spec.Filter = p.filter
		}
	}
	if start.picture.layers != "" {
		to.PreprocessFrom = "layer " + start.picture.layers
	}
	return spec, spec.Validate()
}

// guess is the preprocessing that Keras' own networks are trained with, told by the
// names of model and layers.
func guess(n *network) (spec preprocess.Spec, preset, because string) {
	networks := []struct {
		models, layers []string // parts of their names
		spec           preprocess.Spec
		preset         string
	}{
		{[]string{"mobilenet", "inception", "xception", "nasnet", "resnet50v2", "resnet101v2", "resnet152v2"},
			[]string{"expanded_conv_", "block_1_expand", "conv_dw_1", "mixed10", "block1_conv1_act", "_preact_"}, preprocess.KerasTF(), "keras-tf"},
		{[]string{"densenet"}, []string{"_block1_concat"}, preprocess.KerasTorch(), "keras-torch"},
		{[]string{"resnet", "vgg"}, []string{"res2a_branch2a", "conv2_block1_", "block1_conv1"}, preprocess.Caffe(), "keras-caffe"},
	}
	models, layers := n.collect()
	for _, byModel := range []bool{true, false} {
		for _, k := range networks {
			names, marks := layers, k.layers
			if byModel {
				names, marks = models, k.models
			}
			for _, name := range names {
				if slices.ContainsFunc(marks, func(mark string) bool { return strings.Contains(strings.ToLower(name), mark) }) {
					return k.spec, k.preset, fmt.Sprintf("as networks with the name %q are trained", name)
				}
			}
		}
	}
	return preprocess.Unit(), "unit", "values from 0 to 1"
}

// collect returns the names of models and of layers.
func (n *network) collect() (models, layers []string) {
	models = append(models, n.name)
	for _, l := range n.layers {
		layers = append(layers, l.name)
		if l.inner != nil {
			m, inner := l.inner.collect()
			models, layers = append(models, m...), append(layers, inner...)
		}
	}
	return models, layers
}
