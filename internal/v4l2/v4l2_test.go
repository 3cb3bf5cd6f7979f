package v4l2

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFourCC(t *testing.T) {
	require.Equal(t, "YUYV", YUYV.String())
	require.Equal(t, FourCC(0x47504a4d), MJPG) // V4L2_PIX_FMT_MJPEG
}

func TestCaptures(t *testing.T) {
	// As the kernel's drivers tell them.
	for name, c := range map[string]struct {
		caps uint32
		want bool
	}{
		"uvcvideo, pictures":       {0x04200001, true},
		"uvcvideo, metadata":       {0x04a00000, false},
		"vivid":                    {0x05200001, true},
		"bcm2835-codec, a decoder": {0x04204000, false},
		"reading by read() only":   {0x01200001, false},
	} {
		require.Equal(t, c.want, Capability{Caps: c.caps}.Captures(), name)
	}
}

func TestFullRange(t *testing.T) {
	for name, c := range map[string]struct {
		format PixFormat
		want   bool
	}{
		"sRGB camera":                   {PixFormat{FourCC: YUYV, Colorspace: 8}, false},
		"JPEG colours":                  {PixFormat{FourCC: YUYV, Colorspace: ColorspaceJPEG}, true},
		"JPEG colours, but told":        {PixFormat{FourCC: YUYV, Colorspace: ColorspaceJPEG, Quantization: 2}, false},
		"told":                          {PixFormat{FourCC: NV12, Colorspace: 8, Quantization: QuantizationFull}, true},
		"Motion JPEG of a wrong driver": {PixFormat{FourCC: MJPG, Colorspace: 8, Quantization: 2}, true},
	} {
		require.Equal(t, c.want, c.format.FullRange(), name)
	}
}

func TestRate(t *testing.T) {
	require.Equal(t, 30.0, Fraction{1, 30}.Rate())
	require.Equal(t, 7.5, Fraction{1000000, 7500000}.Rate())
	require.Zero(t, Fraction{0, 30}.Rate())
}
