package int8

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/tensor"
)

func TestAbsSum(t *testing.T) {
	require.EqualValues(t, 0, AbsSum(nil))
	require.EqualValues(t, 127+5+127+128, AbsSum([]Value{-127, 0, 5, 127, -128}))
	require.EqualValues(t, int64(1)<<31, abs64(math.MinInt32))
	random := rand.New(rand.NewPCG(1, 2))
	for n := 0; n < 5000; n += 1 + n/16 { // more than lanes have room for
		w, want, least := make([]Value, n), int64(0), Value(0)
		for i := range w {
			w[i] = []Value{-128, -127, Value(random.IntN(256) - 128)}[n%3]
			want, least = want+abs64(int32(w[i])), min(least, w[i])
		}
		sum, lowest := absSum(w)
		require.Equal(t, want, sum, n)
		require.Equal(t, least == -128, lowest, n)
	}
}

// chain is layers of one operation behind each other, and a classifier.
func chain(count int, shape tensor.Shape, op func() Op) []Layer {
	layers := make([]Layer, count+1)
	for i := range layers {
		layers[i] = Layer{Name: fmt.Sprint(i), Inputs: []tensor.ID{tensor.ID(i)}, Op: op(), Out: Tensor{Shape: shape, Type: Int8, Scale: 1, Zero: []Value{0}}}
	}
	in, last := shape.Elements(), &layers[count]
	last.Op = &Dense{In: in, Out: 1, Weight: make([]Value, in), Bias: []int32{0}, Scale: []float32{1}}
	last.Out = Tensor{Shape: tensor.Shape{H: 1, W: 1, C: 1}, Type: Int32}
	return layers
}

func TestLimits(t *testing.T) {
	create := func(layers []Layer) error {
		in := layers[0].Out
		in.Scale = 0
		first := layers[0]
		first.Op = &Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: 1, OutC: 1,
			Weight: []Value{1}, Bias: []int32{0}, Multiplier: []int32{1 << 20}, Scale: []float32{1}}
		_, err := NewNetwork("n", in, append([]Layer{first}, layers[1:]...))
		return err
	}
	lookup := func() Op { return &Lookup{Table: make([]Value, 256)} }
	one := tensor.Shape{H: 1, W: 1, C: 1}
	require.NoError(t, create(chain(maxLayers-1, one, lookup)))
	require.ErrorContains(t, create(chain(maxLayers, one, lookup)), "10001 layers, more than the limit of 10000")

	pool := func() Op {
		return &MaxPool{Window: tensor.Window{KH: 2047, KW: 2047, StrideH: 1, StrideW: 1, Top: 1023, Left: 1023, Bottom: 1023, Right: 1023}}
	}
	side := tensor.Shape{H: 200, W: 200, C: 1}
	require.NoError(t, create(chain(2, side, pool)))
	require.ErrorContains(t, create(chain(3, side, pool)), `int8: layer "2" (maxpool): up to here a picture takes 3.4e+11 products and reads of values, more than the limit of 2.7e+11`)
}
