package nettest

import (
	"slices"

	"edgeclassify/int8"
	"edgeclassify/labels"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/tensor"
)

// Colours is a model that tells the mean colour of a picture: red, green or
// blue. It is small and its answers are known.
func Colours() *q8.Model {
	return colours("colours", labels.Softmax, []int8.Value{100, 0, 0, 0, 100, 0, 0, 0, 100}, 0,
		labels.Class{ID: "n00000001", Name: "red"}, labels.Class{ID: "n00000002", Name: "green"}, labels.Class{ID: "n00000003", Name: "blue"})
}

// Lights is a model that tells which of a picture's colours are above the middle,
// each by a sigmoid: none, some or all.
func Lights() *q8.Model {
	return colours("lights", labels.Sigmoid, []int8.Value{100, 0, 0, 0, 100, 0, 0, 0, 100}, -128,
		labels.Class{ID: "0", Name: "red light"}, labels.Class{ID: "1", Name: "green light"}, labels.Class{ID: "2", Name: "blue light"})
}

// Day is a model of one logit and a sigmoid, that tells night from day by green.
func Day() *q8.Model {
	return colours("day", labels.Sigmoid, []int8.Value{0, 100, 0}, -128,
		labels.Class{ID: "0", Name: "night"}, labels.Class{ID: "1", Name: "day"})
}

// colours has a logit for each three weights of a picture's mean colour, plus
// level of 255.
func colours(name string, a labels.Activation, weight []int8.Value, level int32, classes ...labels.Class) *q8.Model {
	const side = 8
	logits := len(weight) / 3
	image := tensor.Shape{H: side, W: side, C: 3}
	vector := tensor.Shape{H: 1, W: 1, C: 3}
	// Multiplier and shift make one of the weight 64: activations are pixels.
	same := &int8.Conv{
		Window: tensor.Square(1, 1, 0), Groups: 1, InC: 3, OutC: 3, Shift: 1,
		Weight: []int8.Value{64, 0, 0, 0, 64, 0, 0, 0, 64}, Bias: make([]int32, 3),
		Multiplier: []int32{1 << 30, 1 << 30, 1 << 30}, Scale: []float32{1, 1, 1},
	}
	// 10 levels of the mean are a logit of 1.
	const scale = 1.0 / (10 * side * side * 100)
	mean := &int8.Dense{
		In: 3, Out: logits, Weight: weight,
		Bias:  slices.Repeat([]int32{level * side * side * 100}, logits),
		Scale: slices.Repeat([]float32{scale}, logits),
	}
	n, err := int8.NewNetwork(name, int8.Tensor{Shape: image, Type: int8.Int8, Zero: []int8.Value{0, 0, 0}}, []int8.Layer{
		{Name: "same", Inputs: []tensor.ID{tensor.Input}, Op: same,
			Out: int8.Tensor{Shape: image, Type: int8.Int8, Scale: 1, Zero: []int8.Value{-128}}},
		{Name: "sum", Inputs: []tensor.ID{1}, Op: int8.GlobalAveragePool{},
			Out: int8.Tensor{Shape: vector, Type: int8.Int16, Scale: 1, Bound: 255 * side * side}},
		{Name: "mean", Inputs: []tensor.ID{2}, Op: mean, Out: int8.Tensor{Shape: tensor.Shape{H: 1, W: 1, C: logits}, Type: int8.Int32}},
	})
	if err != nil {
		panic(err)
	}
	spec := preprocess.Caffe()
	spec.Resize, spec.Crop = preprocess.Short(side), preprocess.Square(side)
	m, err := q8.New(n, spec, classes, a, q8.Provenance{Tool: "nettest", Source: name, Method: "by hand"}, nil)
	if err != nil {
		panic(err)
	}
	return m
}
