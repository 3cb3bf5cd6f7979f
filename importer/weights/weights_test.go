package weights

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHalfToFloat(t *testing.T) {
	for h := range 1 << 16 {
		got := halfToFloat(uint16(h))
		exponent, fraction := h>>10&31, float64(h&1023)/1024
		if exponent == 31 && fraction != 0 {
			require.True(t, math.IsNaN(float64(got)), "%#04x", h)
			continue
		}
		want := math.Ldexp(1+fraction, exponent-15)
		switch exponent {
		case 0:
			want = math.Ldexp(fraction, -14)
		case 31:
			want = math.Inf(1)
		}
		if h>>15 == 1 {
			want = -want
		}
		require.Equal(t, math.Float32bits(float32(want)), math.Float32bits(got), "%#04x", h)
	}
}

// numbered is 0, 1, 2, ...
func numbered(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i)
	}
	return v
}

func TestLayouts(t *testing.T) {
	const O, H, W, I = 37, 3, 2, 35 // more than a tile, and none alike
	w := numbered(O * H * W * I)
	hwio, oihw := FromHWIO(w, O, H, W, I), FromOIHW(w, O, H, W, I)
	for o := range O {
		for h := range H {
			for x := range W {
				for i := range I {
					at := ((o*H+h)*W+x)*I + i
					require.Equal(t, w[((h*W+x)*I+i)*O+o], hwio[at])
					require.Equal(t, w[((o*I+i)*H+h)*W+x], oihw[at])
				}
			}
		}
	}
}

func TestElements(t *testing.T) {
	for _, c := range []struct {
		shape []int
		n     int
		ok    bool
	}{
		{nil, 1, true},
		{[]int{2, 3}, 6, true},
		{[]int{10}, 10, true},
		{[]int{11}, 0, false},
		{[]int{0, 5}, 0, true},
		{[]int{-1}, 0, false},
		{[]int{math.MaxInt, math.MaxInt}, 0, false},
	} {
		n, ok := Elements(c.shape, 10)
		require.Equal(t, c.ok, ok, "%v", c.shape)
		if ok {
			require.Equal(t, c.n, n, "%v", c.shape)
		}
	}
}

func TestElementTypes(t *testing.T) {
	for dtype, c := range map[DType]struct {
		data   string
		values []float32
	}{
		Float64:  {"\x00\x00\x00\x00\x00\x00\xf8\xbf", []float32{-1.5}},
		Float32:  {"\x00\x00\xc0\xbf", []float32{-1.5}},
		Float16:  {"\x00\xbe", []float32{-1.5}},
		BFloat16: {"\xc0\xbf", []float32{-1.5}},
		Int64:    {"\xfe\xff\xff\xff\xff\xff\xff\xff", []float32{-2}},
		Int32:    {"\xfe\xff\xff\xff\x01\x00\x00\x00", []float32{-2, 1}},
		Int16:    {"\xfe\xff", []float32{-2}},
		Int8:     {"\xfe\x7f", []float32{-2, 127}},
		Uint16:   {"\xfe\xff", []float32{65534}},
		Uint8:    {"\xfe", []float32{254}},
	} {
		values, err := Array{DType: dtype, Shape: []int{len(c.data) / dtype.Size()}, Data: []byte(c.data)}.Floats()
		require.NoError(t, err)
		require.Equal(t, c.values, values, "type %d", dtype)
	}
	_, err := Array{Stored: "F4", Shape: []int{1}, Data: []byte{1}}.Floats()
	require.EqualError(t, err, "elements are F4, which is not supported")
	_, err = NewFile(map[string]Array{"w": {DType: Int8, Stored: "I8", Shape: []int{1}, Data: []byte{1}}}).Tensor("w", []int{1})
	require.EqualError(t, err, `tensor "w": elements are I8, expected floats of 16 to 64 bits`)
}
