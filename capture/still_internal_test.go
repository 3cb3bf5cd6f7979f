package capture

import (
	"image/color"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every sample of a picture whose samples all differ is where it belongs.
func TestEncoderPlacesSamples(t *testing.T) {
	const width, height, stride = 6, 4, 16
	data := make([]byte, stride*height*2)
	for i := range data {
		data[i] = uint8(i)
	}
	for format, want := range map[Format][3]int{ // where (4, 2) has its Y, Cb and Cr
		YUYV: {2*stride + 8, 2*stride + 9, 2*stride + 11},
		NV12: {2*stride + 4, 4*stride + stride + 4, 4*stride + stride + 5},
		I420: {2*stride + 4, 4*stride + 8 + 2, 4*stride + 16 + 8 + 2},
	} {
		var e Encoder
		_, err := e.image(&Frame{Format: format, Width: width, Height: height, Stride: stride, FullRange: true, Data: data})
		require.NoError(t, err)
		require.Equal(t, color.YCbCr{Y: uint8(want[0]), Cb: uint8(want[1]), Cr: uint8(want[2])}, e.img.YCbCrAt(4, 2), format)
	}
}

func TestEncoderStretchesLimitedRange(t *testing.T) {
	var e Encoder
	e.setRange(false)
	for in, out := range map[uint8]uint8{0: 0, 16: 0, 126: 128, 235: 255, 255: 255} {
		require.Equal(t, out, e.luma[in], "luma %d", in)
	}
	for in, out := range map[uint8]uint8{0: 0, 16: 1, 72: 64, 128: 128, 156: 160, 240: 255, 255: 255} {
		require.Equal(t, out, e.chroma[in], "chroma %d", in)
	}
	e.setRange(true)
	for i := range 256 {
		require.Equal(t, [2]uint8{uint8(i), uint8(i)}, [2]uint8{e.luma[i], e.chroma[i]})
	}
}
