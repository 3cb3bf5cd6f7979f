// Package resnet builds residual networks from the names and shapes of their
// tensors: ResNet, ResNeXt, Wide ResNet and SE-ResNet of any depth.
//
// Sources: He et al., "Deep Residual Learning for Image Recognition", 2015; Goyal
// et al., "Accurate, Large Minibatch SGD", 2017, section 5.1 (stride in the 3x3
// convolution); He et al., "Bag of Tricks for Image Classification", 2018 (C and D);
// Hu et al., "Squeeze-and-Excitation Networks", 2017. Names: resnet.py of
// torchvision and of timm, modeling_resnet.py of transformers.
package resnet

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"edgeclassify/importer/weights"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// Config says what tensor names leave open. Its keys are those of a config.json
// of timm or of transformers.
type Config struct {
	Architecture string `json:"architecture"` // timm's name
	ModelType    string `json:"model_type"`   // transformers' name
	// StrideInFirst is whether a bottleneck's first convolution halves the plane, as
	// in the paper (v1); otherwise the 3x3 one does (v1.5).
	StrideInFirst bool `json:"downsample_in_bottleneck"`
	// StrideInStage1 is whether the first stage halves the plane like the others.
	StrideInStage1 bool   `json:"downsample_in_first_stage"`
	HiddenAct      string `json:"hidden_act"`
}

// Matches tells whether the names are those of a residual network.
func Matches(arrays map[string]weights.Array) bool {
	n, err := find(arrays)
	return n != nil || err != nil
}

// Import builds the network that the tensors are of, for images of the size of
// o.Input or, without one, 224x224 (32x32 where the first convolution is 3x3).
// Tensors that have no place in it are errors, for a part left out gives a network
// that runs and is wrong.
func Import(arrays map[string]weights.Array, c Config, o models.ImportOptions) (*models.Imported, error) {
	n, err := find(arrays)
	if err != nil {
		return nil, err
	}
	if n == nil {
		return nil, fmt.Errorf("no tensor is named like %s", dialects[0].key)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	b := &builder{named: n, config: c, weights: weights.NewFile(arrays)}
	return b.build(o)
}

// aliased are timm's networks with average pooling against aliasing: same names and
// shapes, other function.
var aliased = regexp.MustCompile(`^(se)?resne[xt]+aa\d`)

func (c Config) check() error {
	if strings.Contains(c.Architecture, "blur") {
		return fmt.Errorf("%s has blurring layers, which have no integer form", c.Architecture)
	}
	if c.HiddenAct != "" && c.HiddenAct != "relu" {
		return fmt.Errorf("config.json names the activation %q, only relu is supported: export the network with torch.onnx.export", c.HiddenAct)
	}
	return nil
}

// builder adds nodes until the first error, after which it does nothing.
type builder struct {
	*named
	config  Config
	weights *weights.File
	graph   *models.Builder
	shape   tensor.Shape // of the last node
	notes   []string
	err     error
	traits  traits
}

// traits are what a network is named by.
type traits struct {
	convs         int // in blocks, shortcuts not counted
	bottleneck    bool
	groups        int
	width, out    int // of the first stage
	deep, average bool
	se            bool
}

func (b *builder) build(o models.ImportOptions) (*models.Imported, error) {
	spec, err := b.preprocess(o)
	if err != nil {
		return nil, err
	}
	b.graph = models.NewBuilder("input", spec.Input())
	b.shape = spec.Input()
	x := b.stem("input")
	for stage := 1; b.has(fmt.Sprintf("layer%d.0.conv1.weight", stage)); stage++ {
		for block := 0; b.has(fmt.Sprintf("layer%d.%d.conv1.weight", stage, block)); block++ {
			stride := 1
			if block == 0 && (stage > 1 || b.config.StrideInStage1) {
				stride = 2
			}
			x = b.block(fmt.Sprintf("layer%d.%d.", stage, block), x, stride)
		}
	}
	classes := b.head(x, b.shape.C)
	if b.err != nil {
		return nil, fmt.Errorf("%s: %w", b.traits.name(b.config), b.err)
	}
	if classes == 1 { // a sigmoid tells two classes apart
		classes = 2
	}
	g, err := b.graph.Graph(b.traits.name(b.config), spec, labels.Default(classes))
	if err != nil {
		return nil, err
	}
	return &models.Imported{Graph: g, Notes: b.notes}, b.weights.Unused(g.Name)
}

// preprocess is torchvision's for the size and number of channels.
func (b *builder) preprocess(o models.ImportOptions) (preprocess.Spec, error) {
	spec, size := preprocess.Torchvision(), preprocess.Square(224)
	first := b.named.shape("conv1.weight")
	if first == nil {
		first = b.named.shape("conv1.0.weight")
	} else if b.small() {
		size = preprocess.Square(32)
	}
	if len(first) != 4 {
		return spec, fmt.Errorf("tensor %q is missing, expected with shape [64 3 7 7]", "conv1.weight")
	}
	switch first[1] {
	case 3:
	case 1:
		spec.Order = preprocess.Grey
		for i := range spec.Mean { // what timm makes of colours
			spec.Mean[i], spec.Std[i] = 114.495, 57.63
		}
	default:
		return spec, fmt.Errorf("the first convolution takes %d channels, expected 3 (colours) or 1 (grey)", first[1])
	}
	if o.Input != (preprocess.Size{}) {
		size = o.Input
	}
	if size != spec.Crop {
		spec = spec.Sized(size)
	}
	return spec, nil
}

// small is whether the network is one for small images, as of CIFAR: its first
// convolution is 3x3, and no pooling follows.
func (b *builder) small() bool {
	s := b.named.shape("conv1.weight")
	return len(s) == 4 && s[2] == 3
}

// stem adds what comes before the stages.
func (b *builder) stem(x string) string {
	switch {
	case b.small():
		b.notes = append(b.notes, "The first convolution is 3x3: it is taken to have stride 1 and no pooling behind it, as in networks for CIFAR.")
		return b.convNorm("conv1", "bn1", "relu", x, 1)
	case b.has("conv1.0.weight"):
		b.traits.deep = true
		x = b.convNorm("conv1.0", "conv1.1", "conv1.2", x, 2)
		x = b.convNorm("conv1.3", "conv1.4", "conv1.5", x, 1)
		x = b.convNorm("conv1.6", "bn1", "relu", x, 1)
	default:
		x = b.convNorm("conv1", "bn1", "relu", x, 2)
	}
	switch {
	case b.has("maxpool.0.weight"):
		return b.convNorm("maxpool.0", "maxpool.1", "maxpool.2", x, 2)
	case aliased.MatchString(b.config.Architecture):
		return b.add("maxpool", &models.AveragePool{Window: tensor.Square(2, 2, 0)}, x)
	}
	return b.add("maxpool", &models.MaxPool{Window: tensor.Square(3, 2, 1)}, x)
}

// block adds a residual block: its convolutions, the shortcut, their sum.
func (b *builder) block(name, x string, stride int) string {
	input, inputShape, convs := x, b.shape, 2
	if b.has(name + "conv3.weight") {
		convs, b.traits.bottleneck = 3, true
	}
	strided := b.strided(name, convs)
	for i := 1; i <= convs; i++ {
		s := 1
		if i == strided {
			s = stride
		}
		aliased := s == 2 && aliased.MatchString(b.config.Architecture)
		if aliased {
			s = 1
		}
		at := func(kind string) string { return fmt.Sprintf("%s%s%d", name, kind, i) }
		relu := at("relu")
		if i == convs {
			relu = "" // behind the sum
		}
		x = b.convNorm(at("conv"), at("bn"), relu, x, s)
		if aliased {
			x = b.add(name+"aa", &models.AveragePool{Window: tensor.Square(2, 2, 0)}, x)
		}
	}
	b.traits.convs += convs
	if b.traits.out == 0 {
		b.traits.out = b.shape.C
	}
	for _, se := range []string{"se", "se_module"} {
		if b.has(name + se + ".fc1.weight") {
			x = b.squeeze(name+se, x)
		}
	}
	side := b.shortcut(name, input, inputShape, stride)
	x = b.add(name+"add", models.Add{}, x, side)
	return b.add(name+"relu", models.ReLU{}, x)
}

// strided is the number of the convolution that halves the plane: the first of
// 3x3.
func (b *builder) strided(name string, convs int) int {
	for i := 1; i <= convs && !b.config.StrideInFirst; i++ {
		if s := b.named.shape(fmt.Sprintf("%sconv%d.weight", name, i)); len(s) == 4 && s[2] > 1 {
			return i
		}
	}
	return 1
}

// shortcut adds the projection of a block's input, if it has one, and returns
// what is to be added. The node before stays the last one.
func (b *builder) shortcut(name, input string, shape tensor.Shape, stride int) string {
	last := b.shape
	defer func() { b.shape = last }()
	b.shape = shape
	switch name += "downsample."; {
	case b.has(name + "1.running_mean"):
		return b.convNorm(name+"0", name+"1", "", input, stride)
	case b.has(name + "2.running_mean"):
		b.traits.average = true
		if stride > 1 { // windows at odd borders are smaller
			w := tensor.Window{KH: 2, KW: 2, StrideH: 2, StrideW: 2, Bottom: shape.H % 2, Right: shape.W % 2}
			input = b.add(name+"0", &models.AveragePool{Window: w}, input)
		}
		return b.convNorm(name+"1", name+"2", "", input, 1)
	}
	return input
}

// squeeze adds squeeze-and-excitation.
func (b *builder) squeeze(name, x string) string {
	b.traits.se = true
	plane := b.shape
	gate := b.add(name+".avgpool", models.GlobalAveragePool{}, x)
	gate = b.conv(name+".fc1", gate, 1)
	gate = b.add(name+".relu", models.ReLU{}, gate)
	gate = b.conv(name+".fc2", gate, 1)
	gate = b.add(name+".sigmoid", models.Activation{Function: models.Sigmoid}, gate)
	b.shape = plane
	return b.add(name+".mul", models.Mul{}, x, gate)
}

// convNorm adds a convolution, its normalization and, if it has a name, a ReLU.
func (b *builder) convNorm(conv, norm, relu, x string, stride int) string {
	x = b.conv(conv, x, stride)
	if x = b.norm(norm, x, b.shape.C); relu == "" {
		return x
	}
	return b.add(relu, models.ReLU{}, x)
}

// conv adds a convolution of the kernel and channels of its weight.
func (b *builder) conv(name, x string, stride int) string {
	s := b.named.shape(name + ".weight")
	if b.err != nil {
		return ""
	}
	if len(s) != 4 || slices.Min(s) < 1 || s[2] != s[3] || s[2]%2 == 0 || b.shape.C%s[1] != 0 {
		b.err = fmt.Errorf("tensor %q: found shape %v, expected a square kernel over %d channels", name+".weight", s, b.shape.C)
		return ""
	}
	c := &models.Conv{Window: tensor.Square(s[2], stride, s[2]/2), Groups: b.shape.C / s[1], InC: b.shape.C, OutC: s[0]}
	if w := b.tensor(name+".weight", s); w != nil {
		c.Weight = weights.FromOIHW(w, s[0], s[2], s[3], s[1])
	}
	if b.has(name + ".bias") {
		c.Bias = b.tensor(name+".bias", s[:1])
	}
	if b.traits.width == 0 && s[2] == 3 && strings.HasPrefix(name, "layer1.") {
		b.traits.width, b.traits.groups = s[0], c.Groups
	}
	return b.add(name, c, x)
}

func (b *builder) norm(name, x string, channels int) string {
	if b.err == nil && b.has(name+".weight") && !b.has(name+".running_mean") {
		b.err = fmt.Errorf("%q has no running_mean: it is no batch normalization (GroupNorm?), export the network with torch.onnx.export", name)
	}
	n, s := &models.BatchNorm{Epsilon: 1e-5}, []int{channels}
	n.Gamma, n.Beta = b.tensor(name+".weight", s), b.tensor(name+".bias", s)
	n.Mean, n.Variance = b.tensor(name+".running_mean", s), b.tensor(name+".running_var", s)
	return b.add(name, n, x)
}

// tensor reads a tensor by torchvision's name.
func (b *builder) tensor(name string, shape []int) (v []float32) {
	if b.err != nil {
		return nil
	}
	stored, ok := b.file[name]
	if !ok {
		stored = name
	}
	v, b.err = b.weights.Tensor(stored, shape)
	return v
}

func (b *builder) add(name string, op models.Op, inputs ...string) string {
	if b.err == nil {
		b.shape, b.err = b.graph.Add(name, op, inputs...)
	}
	return name
}

// name is what people call the network.
func (t traits) name(c Config) string {
	name := "ResNet"
	if t.groups > 1 {
		name = "ResNeXt"
	}
	if t.se {
		name = "SE-" + name
	}
	wide := t.bottleneck && t.groups == 1 && t.width > t.out/4
	if wide {
		name = "Wide " + name
	}
	name += fmt.Sprint(t.convs + 2)
	switch {
	case t.groups > 1:
		name += fmt.Sprintf(" %dx%dd", t.groups, t.width/t.groups)
	case wide:
		name += fmt.Sprintf("-%d", 4*t.width/t.out)
	}
	switch {
	case t.deep && t.average:
		name += "-D"
	case t.deep:
		name += "-C"
	}
	switch {
	case aliased.MatchString(c.Architecture):
		name += " (average pooling against aliasing)"
	case t.bottleneck && c.StrideInFirst:
		name += " v1"
	case t.bottleneck && !t.deep:
		name += " v1.5"
	}
	return name
}
