package int8_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// withInt16 is a network whose convolutions have every combination of types, on a
// single pixel.
func withInt16() *int8.Network {
	pixel := tensor.Shape{H: 1, W: 1, C: 1}
	narrow := int8.Tensor{Shape: pixel, Type: int8.Int8, Scale: 1, Zero: []int8.Value{-128}}
	wide := int8.Tensor{Shape: pixel, Type: int8.Int16, Scale: 1. / 128, Bound: 30_000}
	relu := wide
	relu.NonNegative = true
	sums := int8.Tensor{Shape: pixel, Type: int8.Int16, Scale: 1. / 128, Bound: 30_000}
	conv := func(in int, residual int32, shift uint8, bias int32) *int8.Conv {
		weight := make([]int8.Value, in)
		weight[0] = 100
		return &int8.Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: in, OutC: 1, Weight: weight, Bias: []int32{bias},
			Multiplier: []int32{1 << 25}, Shift: 5, Scale: []float32{1}, Residual: residual, ResidualShift: shift}
	}
	last := conv(1, 1<<14, 0, 0)
	last.Multiplier, last.Shift = []int32{1 << 30}, 0
	return &int8.Network{
		Name:  "int16",
		Input: int8.Tensor{Shape: tensor.Shape{H: 1, W: 1, C: 3}, Type: int8.Int8, Zero: []int8.Value{0, 0, 0}},
		Layers: []int8.Layer{
			{Name: "up", Inputs: []tensor.ID{0}, Op: conv(3, 0, 0, 7), Out: wide},         // int8 to int16
			{Name: "flat", Inputs: []tensor.ID{0}, Op: conv(3, 0, 0, -300), Out: narrow},  // int8 to int8
			{Name: "sum", Inputs: []tensor.ID{2, 1}, Op: conv(1, 1<<14, 8, 0), Out: relu}, // int8 + int16 to int16
			{Name: "down", Inputs: []tensor.ID{3, 2}, Op: last, Out: wide},                // int16 + int8 to int16
			{Name: "pool", Inputs: []tensor.ID{4}, Op: &int8.MaxPool{Window: tensor.Square(1, 1, 0)}, Out: wide},
			{Name: "add", Inputs: []tensor.ID{5}, Op: int8.GlobalAveragePool{}, Out: sums},
			{Name: "fc", Inputs: []tensor.ID{6}, Op: &int8.Dense{In: 1, Out: 1, Weight: []int8.Value{1}, Bias: []int32{0}, Scale: []float32{1}},
				Out: int8.Tensor{Shape: pixel, Type: int8.Int32}},
		},
	}
}

// valid tells why these parts of a network make none.
func valid(n *int8.Network) error {
	_, err := int8.NewNetwork(n.Name, n.Input, n.Layers)
	return err
}

// The values are computed by hand.
func TestInt16Reference(t *testing.T) {
	n := withInt16()
	n, err := int8.NewNetwork(n.Name, n.Input, n.Layers)
	require.NoError(t, err)
	got := map[string]int32{}
	_, err = n.Reference([]uint8{128 + 11, 0, 0}, func(l *int8.Layer, values []int32) { got[l.Name] = values[0] })
	require.NoError(t, err)
	// A step of the accumulator is 2^25 * 2^5 / 2^31 = 1/2 of v, 1/128 of the output.
	require.Equal(t, map[string]int32{
		"up":   9,  // (1100 + 7) / 128 = 8.65
		"flat": 6,  // (1100 - 300) / 128 = 6.25
		"sum":  14, // 600 / 2 = 300; 9 * 2^14 / 2^8 = 576; 876 / 64 = 13.7
		// 1400 / 2 = 700, and 6 * 2^14: (700 + 98304) / 64 = 1546.9
		"down": 1547, "pool": 1547, "add": 1547, "fc": 1547,
	}, got)
	_, err = n.Reference([]uint8{0, 0, 0}, func(l *int8.Layer, values []int32) { got[l.Name] = values[0] })
	require.NoError(t, err)
	require.EqualValues(t, -100, got["up"], "an int16 output has both signs")
	require.Zero(t, got["sum"], "but not behind a ReLU")
}

func TestValidateInt16(t *testing.T) {
	conv := func(n *int8.Network, i int) *int8.Conv { return n.Layers[i].Op.(*int8.Conv) }
	for name, test := range map[string]struct {
		edit func(*int8.Network)
		want string
	}{
		"no bound":               {func(n *int8.Network) { n.Layers[0].Out.Bound = 0 }, `layer "up" (conv): output has bound 0, want 1..32767`},
		"bound beyond int16":     {func(n *int8.Network) { n.Layers[0].Out.Bound = 1 << 15 }, `output has bound 32768, want 1..32767`},
		"zero point":             {func(n *int8.Network) { n.Layers[0].Out.Zero = []int8.Value{0} }, `output is int16 and has 1 zero points, want none`},
		"int8 with a bound":      {func(n *int8.Network) { n.Layers[1].Out.Bound = 5 }, `layer "flat" (conv): output is int8, which has no bound of its own`},
		"int8 not negative":      {func(n *int8.Network) { n.Layers[1].Out.NonNegative = true }, `output is int8, which has no bound of its own`},
		"int32 activation":       {func(n *int8.Network) { n.Layers[0].Out.Type = int8.Int32 }, `output is int32, want int8 or int16`},
		"scale of zero":          {func(n *int8.Network) { n.Layers[0].Out.Scale = 0 }, `output scale 0 is not positive`},
		"shift of int8 residual": {func(n *int8.Network) { conv(n, 3).ResidualShift = 15 }, `layer "down" (conv): residual shift 15 is not in 0..0`},
		"shift beyond int32":     {func(n *int8.Network) { conv(n, 2).ResidualShift = 31 }, `layer "sum" (conv): residual shift 31 is not in 0..30`},
		"shift without residual": {func(n *int8.Network) { conv(n, 0).ResidualShift = 1 }, `layer "up" (conv): residual shift 1 is not in 0..0`},
		"accumulator too large":  {func(n *int8.Network) { conv(n, 3).Shift = 10 }, `layer "down" (conv): channel 0: the accumulator can reach 3000000 << 10, beyond int32`},
		"requantized too large": {func(n *int8.Network) {
			c := conv(n, 2)
			c.Multiplier[0], c.Shift, c.Bias[0] = math.MaxInt32, 0, math.MaxInt32-12800
		}, `layer "sum" (conv): channel 0: the requantized value can reach 2149403679, beyond int32`},
		"pool of another bound": {func(n *int8.Network) { n.Layers[4].Out.Bound-- }, `layer "pool" (maxpool): input and output differ in type or bound`},
		"pool of another sign":  {func(n *int8.Network) { n.Layers[4].Out.NonNegative = true }, `input and output differ in type or bound`},
		"pool of another type":  {func(n *int8.Network) { n.Layers[4].Out = n.Layers[1].Out }, `input and output differ in type or bound`},
		"sums of another bound": {func(n *int8.Network) { n.Layers[5].Out.Bound = 255 }, `layer "add" (globalsum): bound of the sums is 255, want 30000`},
		"sums not negative":     {func(n *int8.Network) { n.Layers[5].Out.NonNegative = true }, `output is 1x1x1 int16, want 1x1x1 int16 without zero point`},
		"convolution of sums": {func(n *int8.Network) {
			n.Layers[4], n.Layers[5] = n.Layers[5], n.Layers[4]
			n.Layers[4].Inputs[0], n.Layers[5].Inputs[0] = 4, 5
		}, `layer "pool" (maxpool): input "add": sums are for a dense layer or an embedding only`},
		"no layers":             {func(n *int8.Network) { n.Layers = nil }, `network "int16": no layers`},
		"no classifier":         {func(n *int8.Network) { n.Layers = n.Layers[:6] }, `the last layer is not a dense classifier`},
		"image of two channels": {func(n *int8.Network) { n.Input.Shape.C = 2 }, `input is 1x1x2 int8, want an int8 image of 1 or 3 channels`},
		"image without zeros":   {func(n *int8.Network) { n.Input.Zero = nil }, `input has 0 zero points, want 3`},
		"name used twice":       {func(n *int8.Network) { n.Layers[1].Name = "up" }, `layer "up" (conv): the name is used twice`},
		"no operation":          {func(n *int8.Network) { n.Layers[1].Op = nil }, `layer "flat" has no operation`},
		"input behind it":       {func(n *int8.Network) { n.Layers[1].Inputs[0] = 3 }, `layer "flat" (conv): input 3 is no tensor before it`},
		"reader of logits": {func(n *int8.Network) {
			n.Layers = append(n.Layers, n.Layers[6])
			n.Layers[7].Name, n.Layers[7].Inputs = "more", []tensor.ID{7}
		}, `layer "more" (dense): input "fc": only an embedding can read the logits of a dense layer`},
		"classifier of two inputs": {func(n *int8.Network) { n.Layers[6].Inputs = []tensor.ID{5, 6} }, `layer "fc" (dense): has 2 inputs, want 1`},
		"classifier too large":     {func(n *int8.Network) { n.Layers[6].Op.(*int8.Dense).In = 2 }, `layer "fc" (dense): 2 inputs and 1 outputs do not fit input 1x1x1`},
	} {
		t.Run(name, func(t *testing.T) {
			n := withInt16()
			test.edit(n)
			require.ErrorContains(t, valid(n), test.want)
		})
	}
}

func TestSumsOfInt16MustFit(t *testing.T) {
	n := withInt16()
	n.Input.Shape.H, n.Input.Shape.W = 2, 2
	for i := range 5 {
		n.Layers[i].Out.Shape.H, n.Layers[i].Out.Shape.W = 2, 2
	}
	require.ErrorContains(t, valid(n), `layer "add" (globalsum): the sum over 2x2 pixels reaches 120000 and does not fit int16; at most 1 pixels do`)
	for _, i := range []int{3, 4} {
		n.Layers[i].Out.Bound = math.MaxInt16 / 4
	}
	n.Layers[5].Out.Bound = math.MaxInt16 / 4 * 4
	require.NoError(t, valid(n))
}
