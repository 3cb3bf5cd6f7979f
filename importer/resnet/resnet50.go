// Package resnet builds residual networks by the names of their tensors.
package resnet

import (
	"fmt"

	"edgeclassify/importer/weights"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// ResNetVersion tells the two published forms of ResNet50 apart. They differ
// in which convolution of a block that halves the plane does so, and each
// comes with its own names and layout of weights.
type ResNetVersion int

const (
	// V1 has stride 2 on the first 1x1 convolution, and weights as Keras 2
	// names them: res2a_branch2a/kernel in HWIO, bn2a_branch2a/gamma, ...
	// Convolutions have a bias, and a softmax ends the network.
	//
	// Source: He et al., "Deep Residual Learning for Image Recognition", 2015.
	V1 ResNetVersion = iota
	// V15 has stride 2 on the 3x3 convolution, and weights as torchvision
	// names them: layer1.0.conv1.weight in OIHW, layer1.0.bn1.weight, ...
	// It ends with logits.
	//
	// Source: Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 5.1.
	V15
)

// String is the version as people write it.
func (v ResNetVersion) String() string {
	if v == V1 {
		return "v1"
	}
	return "v1.5"
}

// ResNet50 builds the network for 224x224x3 pictures and the given number of
// classes with weights from t. Errors name the tensor.
func ResNet50(version ResNetVersion, classes int, t weights.Tensors) (*models.Graph, error) {
	g, err := build50(version, classes, t)
	if err != nil {
		return nil, fmt.Errorf("importer: %w", err)
	}
	return g, nil
}

func build50(version ResNetVersion, classes int, t weights.Tensors) (*models.Graph, error) {
	if classes < 1 {
		return nil, fmt.Errorf("ResNet50: %d classes, want at least one", classes)
	}
	name, spec := "ResNet50 "+version.String(), preprocess.Torchvision()
	b := resNetBuilder{
		dialect: torchDialect{},
		weights: t,
		graph:   models.NewBuilder("input", tensor.Shape{H: 224, W: 224, C: 3}),
	}
	if version == V1 {
		b.dialect, spec = kerasDialect{}, preprocess.Caffe()
	}
	b.build(version, classes)
	if b.err != nil {
		return nil, fmt.Errorf("%s: %w", name, b.err)
	}
	return b.graph.Graph(name, spec, labels.Default(classes))
}

// place is where a convolution stands: in which block of which stage, both
// from 0, and as which of the block's three, or shortcut. The stem's is the
// one before the stages.
type place struct{ stage, block, conv int }

const shortcut = 3

// dialect is a framework's way of naming and storing weights.
type dialect interface {
	conv(p place) string
	norm(p place) string
	block(p place) string
	dense() string
	// convWeights returns OHWI weights and a bias, nil where there is none.
	convWeights(t weights.Tensors, name string, outC, k, inC int) (weight, bias []float32, err error)
	// denseWeights returns [out][in] weights.
	denseWeights(t weights.Tensors, name string, in, out int) (weight, bias []float32, err error)
	// normParameters are the names' last parts of gamma, beta, mean and
	// variance, behind the layer's name.
	normParameters() [4]string
	epsilon() float32
}

// resNetBuilder adds nodes until the first error, after which it does nothing.
type resNetBuilder struct {
	dialect
	weights weights.Tensors
	graph   *models.Builder
	err     error
}

func (b *resNetBuilder) build(version ResNetVersion, classes int) {
	stem := place{stage: -1}
	x := b.convNorm(stem, "input", 3, 64, tensor.Square(7, 2, 3))
	x = b.add(b.block(stem)+"relu", models.ReLU{}, x)
	x = b.add(b.block(stem)+"maxpool", &models.MaxPool{Window: tensor.Square(3, 2, 1)}, x)
	inC := 64
	for stage, blocks := range [4]int{3, 4, 6, 3} {
		for block := range blocks {
			x = b.bottleneck(version, place{stage: stage, block: block}, x, inC)
			inC = 256 << stage
		}
	}
	x = b.add("avgpool", models.GlobalAveragePool{}, x)
	x = b.denseLayer(x, inC, classes)
	if version == V1 {
		b.add("softmax", models.Softmax{}, x)
	}
}

// bottleneck adds the convolutions 1x1, 3x3 and 1x1 and their shortcut, a
// projection in the first block of every stage.
func (b *resNetBuilder) bottleneck(version ResNetVersion, p place, x string, inC int) string {
	width, stride := 64<<p.stage, 1
	if p.stage > 0 && p.block == 0 {
		stride = 2
	}
	strides := [3]int{1, stride, 1}
	if version == V1 {
		strides = [3]int{stride, 1, 1}
	}
	at := func(conv int) place { return place{p.stage, p.block, conv} }

	y := b.convNorm(at(0), x, inC, width, tensor.Square(1, strides[0], 0))
	y = b.add(b.block(p)+"relu1", models.ReLU{}, y)
	y = b.convNorm(at(1), y, width, width, tensor.Square(3, strides[1], 1))
	y = b.add(b.block(p)+"relu2", models.ReLU{}, y)
	y = b.convNorm(at(2), y, width, 4*width, tensor.Square(1, strides[2], 0))
	if p.block == 0 {
		x = b.convNorm(at(shortcut), x, inC, 4*width, tensor.Square(1, stride, 0))
	}
	y = b.add(b.block(p)+"add", models.Add{}, y, x)
	return b.add(b.block(p)+"relu", models.ReLU{}, y)
}

func (b *resNetBuilder) convNorm(p place, x string, inC, outC int, w tensor.Window) string {
	if b.err != nil {
		return ""
	}
	conv := &models.Conv{Window: w, Groups: 1, InC: inC, OutC: outC}
	conv.Weight, conv.Bias, b.err = b.convWeights(b.weights, b.conv(p), outC, w.KH, inC)
	x = b.add(b.conv(p), conv, x)

	norm := &models.BatchNorm{Epsilon: b.epsilon()}
	parameters := b.normParameters()
	for i, dst := range []*[]float32{&norm.Gamma, &norm.Beta, &norm.Mean, &norm.Variance} {
		if b.err == nil {
			*dst, b.err = b.weights.Tensor(b.norm(p)+parameters[i], []int{outC})
		}
	}
	return b.add(b.norm(p), norm, x)
}

func (b *resNetBuilder) denseLayer(x string, in, out int) string {
	if b.err != nil {
		return ""
	}
	dense := &models.Dense{In: in, Out: out}
	dense.Weight, dense.Bias, b.err = b.denseWeights(b.weights, b.dense(), in, out)
	return b.add(b.dense(), dense, x)
}

func (b *resNetBuilder) add(name string, op models.Op, inputs ...string) string {
	if b.err == nil {
		_, b.err = b.graph.Add(name, op, inputs...)
	}
	return name
}

// both returns a weight and its bias.
func both(t weights.Tensors, weight string, shape []int, bias string, n int) (w, b []float32, err error) {
	if w, err = t.Tensor(weight, shape); err != nil {
		return nil, nil, err
	}
	b, err = t.Tensor(bias, []int{n})
	return w, b, err
}

type kerasDialect struct{}

func (kerasDialect) layer(prefix, stem string, p place) string {
	if p.stage < 0 {
		return stem
	}
	branch := "1"
	if p.conv != shortcut {
		branch = "2" + string(rune('a'+p.conv))
	}
	return fmt.Sprintf("%s%d%c_branch%s", prefix, p.stage+2, 'a'+p.block, branch)
}

func (d kerasDialect) conv(p place) string { return d.layer("res", "conv1", p) }
func (d kerasDialect) norm(p place) string { return d.layer("bn", "bn_conv1", p) }

func (kerasDialect) block(p place) string {
	if p.stage < 0 {
		return "conv1_"
	}
	return fmt.Sprintf("res%d%c_", p.stage+2, 'a'+p.block)
}

func (kerasDialect) dense() string { return "fc1000" }

func (kerasDialect) normParameters() [4]string {
	return [4]string{"/gamma", "/beta", "/moving_mean", "/moving_variance"}
}

func (kerasDialect) epsilon() float32 { return 1e-3 }

func (kerasDialect) convWeights(t weights.Tensors, name string, outC, k, inC int) (weight, bias []float32, err error) {
	weight, bias, err = both(t, name+"/kernel", []int{k, k, inC, outC}, name+"/bias", outC)
	if err != nil {
		return nil, nil, err
	}
	return weights.FromHWIO(weight, outC, k, k, inC), bias, nil
}

func (kerasDialect) denseWeights(t weights.Tensors, name string, in, out int) (weight, bias []float32, err error) {
	weight, bias, err = both(t, name+"/kernel", []int{in, out}, name+"/bias", out)
	if err != nil {
		return nil, nil, err
	}
	return weights.Transpose(weight, in, out), bias, nil
}

type torchDialect struct{}

func (d torchDialect) layer(kind, downsample string, p place) string {
	if p.conv == shortcut {
		return d.block(p) + downsample
	}
	return fmt.Sprintf("%s%s%d", d.block(p), kind, p.conv+1)
}

func (d torchDialect) conv(p place) string { return d.layer("conv", "downsample.0", p) }
func (d torchDialect) norm(p place) string { return d.layer("bn", "downsample.1", p) }

func (torchDialect) block(p place) string {
	if p.stage < 0 {
		return ""
	}
	return fmt.Sprintf("layer%d.%d.", p.stage+1, p.block)
}

func (torchDialect) dense() string { return "fc" }

func (torchDialect) normParameters() [4]string {
	return [4]string{".weight", ".bias", ".running_mean", ".running_var"}
}

func (torchDialect) epsilon() float32 { return 1e-5 }

func (torchDialect) convWeights(t weights.Tensors, name string, outC, k, inC int) (weight, bias []float32, err error) {
	weight, err = t.Tensor(name+".weight", []int{outC, inC, k, k})
	if err != nil {
		return nil, nil, err
	}
	return weights.FromOIHW(weight, outC, k, k, inC), nil, nil
}

func (torchDialect) denseWeights(t weights.Tensors, name string, in, out int) (weight, bias []float32, err error) {
	return both(t, name+".weight", []int{out, in}, name+".bias", out)
}
