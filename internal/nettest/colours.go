package nettest

import (
	"edgeclassify/int8"
	"edgeclassify/labels"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/tensor"
)

// Colours is a model that tells the mean colour of a picture: red, green or
// blue. It is small and its answers are known.
func Colours() *q8.Model {
	const side = 8
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
		In: 3, Out: 3, Weight: []int8.Value{100, 0, 0, 0, 100, 0, 0, 0, 100},
		Bias: make([]int32, 3), Scale: []float32{scale, scale, scale},
	}
	n, err := int8.NewNetwork("colours", int8.Tensor{Shape: image, Type: int8.Int8, Zero: []int8.Value{0, 0, 0}}, []int8.Layer{
		{Name: "same", Inputs: []tensor.ID{tensor.Input}, Op: same,
			Out: int8.Tensor{Shape: image, Type: int8.Int8, Scale: 1, Zero: []int8.Value{-128}}},
		{Name: "sum", Inputs: []tensor.ID{1}, Op: int8.GlobalAveragePool{},
			Out: int8.Tensor{Shape: vector, Type: int8.Int16, Scale: 1, Bound: 255 * side * side}},
		{Name: "mean", Inputs: []tensor.ID{2}, Op: mean, Out: int8.Tensor{Shape: vector, Type: int8.Int32}},
	})
	if err != nil {
		panic(err)
	}
	spec := preprocess.Caffe()
	spec.Resize, spec.Crop = preprocess.Short(side), preprocess.Square(side)
	classes := []labels.Class{{ID: "n00000001", Name: "red"}, {ID: "n00000002", Name: "green"}, {ID: "n00000003", Name: "blue"}}
	m, err := q8.New(n, spec, classes, labels.Softmax, q8.Provenance{Tool: "nettest", Source: "colours", Method: "by hand"}, nil)
	if err != nil {
		panic(err)
	}
	return m
}
