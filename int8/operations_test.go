package int8_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// operations is a network of two pixels with an operation of each kind behind two
// convolutions, which give the image and the image with zero point -10.
func operations() *int8.Network {
	activation := func(w, c int, zero int8.Value) int8.Tensor {
		return int8.Tensor{Shape: tensor.Shape{H: 1, W: w, C: c}, Type: int8.Int8, Scale: 0.5, Zero: []int8.Value{zero}}
	}
	conv := func(zero int32) *int8.Conv {
		return &int8.Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: 1, OutC: 1, Weight: []int8.Value{64}, Bias: []int32{64 * zero},
			Multiplier: []int32{1 << 26}, Shift: 5, Scale: []float32{1}}
	}
	table := make([]int8.Value, 256)
	for i := range table {
		table[i] = int8.Value(127 - i)
	}
	mean := int8.Tensor{Shape: tensor.Shape{H: 1, W: 1, C: 1}, Type: int8.Int16, Scale: 1, Bound: 1000}
	return &int8.Network{
		Name:  "operations",
		Input: int8.Tensor{Shape: tensor.Shape{H: 1, W: 2, C: 1}, Type: int8.Int8, Zero: []int8.Value{0}},
		Layers: []int8.Layer{
			{Name: "a", Inputs: []tensor.ID{0}, Op: conv(1), Out: activation(2, 1, 1)},
			{Name: "b", Inputs: []tensor.ID{0}, Op: conv(-10), Out: activation(2, 1, -10)},
			{Name: "sum", Inputs: []tensor.ID{1, 2}, Op: &int8.Add{RatioA: 3, RatioB: 5, Shift: 2}, Out: activation(2, 1, 7)},
			{Name: "product", Inputs: []tensor.ID{1, 2}, Op: &int8.Mul{Multiplier: 1 << 29}, Out: activation(2, 1, -4)},
			{Name: "table", Inputs: []tensor.ID{3}, Op: &int8.Lookup{Table: table}, Out: activation(2, 1, 0)},
			{Name: "mean", Inputs: []tensor.ID{1}, Op: &int8.Mean{Multiplier: 1 << 30, Shift: 5}, Out: mean},
			{Name: "both", Inputs: []tensor.ID{1, 1}, Op: int8.Concat{}, Out: activation(2, 2, 1)},
			{Name: "fc", Inputs: []tensor.ID{7}, Op: &int8.Dense{In: 4, Out: 1, Weight: []int8.Value{1, 2, 3, 4}, Bias: []int32{5}, Scale: []float32{1}},
				Out: int8.Tensor{Shape: tensor.Shape{H: 1, W: 1, C: 1}, Type: int8.Int32}},
		},
	}
}

// The values are computed by hand.
func TestReferenceOfOperations(t *testing.T) {
	n := operations()
	n, err := int8.NewNetwork(n.Name, n.Input, n.Layers)
	require.NoError(t, err)
	got := map[string][]int32{}
	_, err = n.Reference([]uint8{128 + 20, 128 + 100}, func(l *int8.Layer, values []int32) { got[l.Name] = values })
	require.NoError(t, err)
	require.Equal(t, map[string][]int32{
		"a": {21, 101}, "b": {10, 90},
		"sum":     {47, 127},          // (20*3 + 20*5 + 2) >> 2 = 40, and 200: saturated
		"product": {-2, 35},           // 400 / 4 = 100, 100 / 64 = 1.6; 10000 / 4 = 2500, 39.1
		"table":   {-48, -128},        // -1 - q
		"mean":    {30},               // 120 << 5 = 3840, half of it 1920, 1920 / 64
		"both":    {21, 21, 101, 101}, //
		"fc":      {3*21 + 7*101 + 5}, //
	}, got)
}

func TestValidateOperations(t *testing.T) {
	op := func(n *int8.Network, layer int) int8.Op { return n.Layers[layer].Op }
	for name, test := range map[string]struct {
		edit func(*int8.Network)
		want string
	}{
		"sum of one":           {func(n *int8.Network) { n.Layers[2].Inputs = []tensor.ID{1} }, `layer "sum" (add): has 1 inputs, want 2`},
		"sum with the image":   {func(n *int8.Network) { n.Layers[2].Inputs[0] = 0 }, `layer "sum" (add): first input scale 0 is not positive`},
		"sum of other shapes":  {func(n *int8.Network) { n.Layers[2].Out.Shape.W = 1 }, `inputs are 1x2x1 and 1x2x1, the output is 1x1x1: want one shape`},
		"ratio of zero":        {func(n *int8.Network) { op(n, 2).(*int8.Add).RatioB = 0 }, `ratios 3 and 0 are not positive`},
		"shift of a sum":       {func(n *int8.Network) { op(n, 2).(*int8.Add).Shift = 31 }, `shift 31 is not in 0..30`},
		"sum beyond int32":     {func(n *int8.Network) { op(n, 2).(*int8.Add).RatioA = 1 << 24 }, `layer "sum" (add): the sum can reach 2164261679, beyond int32`},
		"product of one":       {func(n *int8.Network) { n.Layers[3].Inputs = []tensor.ID{1} }, `layer "product" (mul): has 1 inputs, want 2`},
		"product of int16":     {func(n *int8.Network) { n.Layers[5], n.Layers[3] = n.Layers[3], n.Layers[5]; n.Layers[5].Inputs[0] = 4 }, `layer "product" (mul): first input is int16, want int8`},
		"product to int16":     {func(n *int8.Network) { n.Layers[3].Out = n.Layers[5].Out }, `layer "product" (mul): output is int16, want int8`},
		"product of shapes":    {func(n *int8.Network) { n.Layers[3].Out.Shape.C = 2 }, `want one shape, or 1x1x2 second`},
		"multiplier of zero":   {func(n *int8.Network) { op(n, 3).(*int8.Mul).Multiplier = 0 }, `multiplier 0 is not positive`},
		"product beyond int32": {func(n *int8.Network) { op(n, 3).(*int8.Mul).Shift = 17 }, `layer "product" (mul): the accumulator can reach 17673 << 17, beyond int32`},
		"requantized beyond":   {func(n *int8.Network) { *op(n, 5).(*int8.Mean) = int8.Mean{Multiplier: math.MaxInt32, Shift: 24} }, `layer "mean" (mean): the accumulator can reach 258 << 24, beyond int32`},
		"shift of a mean":      {func(n *int8.Network) { op(n, 5).(*int8.Mean).Shift = 25 }, `shift 25 is not in 0..24`},
		"mean of a plane":      {func(n *int8.Network) { n.Layers[5].Out.Shape.W = 2 }, `layer "mean" (mean): output is 1x2x1, want 1x1x1`},
		"half a table": {func(n *int8.Network) {
			*op(n, 4).(*int8.Lookup) = int8.Lookup{Table: make([]int8.Value, 300), Channel: []int32{0}}
		}, `table has 300 values, want 256`},
		"tables of channels": {func(n *int8.Network) { op(n, 4).(*int8.Lookup).Channel = []int32{0, 0} }, `tables of channels has 2 values, want 1`},
		"no such table":      {func(n *int8.Network) { op(n, 4).(*int8.Lookup).Channel = []int32{1} }, `channel 0 has table 1 of 1`},
		"short table":        {func(n *int8.Network) { op(n, 4).(*int8.Lookup).Table = make([]int8.Value, 255) }, `layer "table" (lookup): table has 255 values, want 256`},
		"table to int16":     {func(n *int8.Network) { n.Layers[4].Out = n.Layers[5].Out }, `output is int16, want int8`},
		"table to a shape":   {func(n *int8.Network) { n.Layers[4].Out.Shape.W = 1 }, `input is 1x2x1, the output 1x1x1`},
		"nothing joined":     {func(n *int8.Network) { n.Layers[6].Inputs = nil }, `layer "both" (concat): has no inputs`},
		"zero points joined": {func(n *int8.Network) { n.Layers[6].Inputs[1] = 2 }, `layer "both" (concat): input 1: input and output differ in scale or zero point`},
		"types joined":       {func(n *int8.Network) { n.Layers[6].Inputs[1] = 6 }, `input 1: input and output differ in type or bound`},
		"channels joined":    {func(n *int8.Network) { n.Layers[6].Inputs = append(n.Layers[6].Inputs, 1) }, `inputs have 3 channels, the output has 2`},
		"image joined":       {func(n *int8.Network) { n.Layers[6].Inputs[0] = 0 }, `layer "both" (concat): input 0: input 0 scale 0 is not positive`},
		"logits too large":   {func(n *int8.Network) { op(n, 7).(*int8.Dense).Bias[0] = math.MaxInt32 - 1279 }, `layer "fc" (dense): class 0: the accumulator can reach 2147483648, beyond int32`},
		"window of padding": {func(n *int8.Network) {
			n.Layers[4].Op = &int8.MaxPool{Window: tensor.Window{KH: 1, KW: 2, StrideH: 1, StrideW: 1, Left: 1, Right: 2, DilationW: 3}}
			n.Layers[4].Out.Zero, n.Layers[4].Inputs[0] = []int8.Value{1}, 1
		}, `the windows of output column 0 hold nothing but padding`},
		"average too large": {func(n *int8.Network) {
			n.Layers[4].Op = &int8.AveragePool{Window: tensor.Square(12, 1, 11)}
		}, `window 12x12 has more than 128 pixels; a mean over the whole plane is an operation of its own`},
	} {
		t.Run(name, func(t *testing.T) {
			n := operations()
			test.edit(n)
			require.ErrorContains(t, valid(n), test.want)
		})
	}
}

// TestQuantizeAdd compares sums with real ones: they differ by the rounding alone,
// and by what the ratios leave out.
func TestQuantizeAdd(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		draw := func() *int8.Tensor {
			scale := float32(math.Exp(random.NormFloat64()))
			if random.IntN(2) == 0 {
				return &int8.Tensor{Type: int8.Int8, Scale: scale, Zero: []int8.Value{int8.Value(random.IntN(256) - 128)}}
			}
			return &int8.Tensor{Type: int8.Int16, Scale: scale / 256, Bound: int32(1 + random.IntN(math.MaxInt16))}
		}
		a, b, out := draw(), draw(), draw()
		add, err := int8.QuantizeAdd(a, b, out)
		require.NoError(t, err)
		value := func(in *int8.Tensor) (q int32, real float64) {
			r := in.Range()
			q = r.Low + random.Int32N(r.High-r.Low+1) - r.Zero
			return q, float64(in.Scale) * float64(q)
		}
		x, realX := value(a)
		y, realY := value(b)
		got, r := add.At(x, y, out.Range()), out.Range()
		want := (realX + realY) / float64(out.Scale)
		slack := 0.5 + float64(max(x, -x)+max(y, -y))/math.Ldexp(2, int(add.Shift))
		require.InDelta(t, max(float64(r.Low), min(float64(r.High), want+float64(r.Zero))), float64(got), slack+1e-6)
		require.Greater(t, max(add.RatioA, add.RatioB), int32(1<<13), "%+v", add)
	}
	_, err := int8.QuantizeAdd(&int8.Tensor{Type: int8.Int8, Scale: 1e20, Zero: []int8.Value{0}},
		&int8.Tensor{Type: int8.Int8, Scale: 1, Zero: []int8.Value{0}}, &int8.Tensor{Type: int8.Int8, Scale: 1, Zero: []int8.Value{0}})
	require.ErrorContains(t, err, "inputs of scales 1e+20 and 1 cannot be added to an output of scale 1")
}
