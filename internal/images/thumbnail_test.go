package images

import (
	"bytes"
	"image"
	"image/jpeg"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/tensor"
)

func TestThumbnailShowsThePicture(t *testing.T) {
	const size = 224
	rgb := make([]uint8, 3*size*size)
	for i := range size * size {
		rgb[3*i], rgb[3*i+2] = 200, 60 // red above blue
		if i >= size*size/2 {
			rgb[3*i], rgb[3*i+2] = 20, 240
		}
	}
	data, err := Thumbnail(rgb, tensor.Shape{H: size, W: size, C: 3})
	require.NoError(t, err)
	img, err := jpeg.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	require.Equal(t, image.Pt(thumbnail, thumbnail), img.Bounds().Size())
	for y, want := range map[int][3]int{20: {200, 0, 60}, 140: {20, 0, 240}} {
		r, g, b, _ := img.At(80, y).RGBA()
		require.InDelta(t, want[0], r>>8, 6)
		require.InDelta(t, want[1], g>>8, 6)
		require.InDelta(t, want[2], b>>8, 6)
	}
}
