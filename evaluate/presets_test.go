package evaluate

import (
	"context"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// colours are pictures of which one channel is the strongest: its number is the class.
func colours(t *testing.T, spec preprocess.Spec) (ImageSet, []int) {
	dir, set, truth := t.TempDir(), ImageSet{Spec: spec}, []int(nil)
	for i := range 60 {
		c := color.RGBA{R: 100, G: 100, B: 100, A: 255}
		*[]*uint8{&c.R, &c.G, &c.B}[i%3] += uint8(30 + i)
		img := image.NewRGBA(image.Rect(0, 0, 20, 16))
		draw.Draw(img, img.Rect, image.NewUniform(c), image.Point{}, draw.Src)
		file := filepath.Join(dir, strconv.Itoa(i)+".png")
		f, err := os.Create(file)
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, img))
		require.NoError(t, f.Close())
		set.Files, truth = append(set.Files, file), append(truth, i%3)
	}
	truth[7] = -1
	return set, truth
}

// The network names the strongest channel of red, green, blue.
func TestFitPreprocessing(t *testing.T) {
	g := graphtest.Chain(t, tensor.Shape{H: 16, W: 16, C: 3}, models.GlobalAveragePool{},
		&models.Dense{In: 3, Out: 3, Weight: []float32{1, 0, 0, 0, 1, 0, 0, 0, 1}, Bias: make([]float32, 3)})
	right := preprocess.KerasTF().Sized(preprocess.Square(16))
	swapped, shifted := right.Ordered(preprocess.BGR), right
	shifted.Mean[0] = -1000
	for _, c := range []struct {
		own   preprocess.Spec
		right int
		flags string
	}{{right, 50, ""}, {swapped, 17, "-order rgb"}, {shifted, 17, "-preprocess torchvision"}} {
		images, truth := colours(t, c.own)
		own, better, err := FitPreprocessing(context.Background(), 2, g.With(c.own, nil, g.Activation), images, truth)
		require.NoError(t, err)
		require.Equal(t, 50, own.Of)
		require.InDelta(t, c.right, own.Right, 1)
		if c.flags == "" {
			require.Nil(t, better)
			continue
		}
		require.Equal(t, c.flags, better.Flags)
		require.Equal(t, [2]int{50, 50}, [2]int{better.Right, better.Of})
		require.Equal(t, c.own.Resize, better.Spec.Resize)
	}
}

func TestFitPreprocessingNeedsPicturesOfKnownClass(t *testing.T) {
	g := graphtest.Chain(t, tensor.Shape{H: 16, W: 16, C: 3}, models.GlobalAveragePool{})
	spec := preprocess.Unit().Sized(preprocess.Square(16))
	images, truth := colours(t, spec)
	for i := range truth {
		truth[i] = -1
	}
	own, better, err := FitPreprocessing(context.Background(), 1, g.With(spec, nil, g.Activation), images, truth)
	require.NoError(t, err)
	require.Zero(t, own.Of)
	require.Nil(t, better)

	images, truth = colours(t, spec)
	for i := range truth { // and where no way is ever right
		truth[i] = 9
	}
	own, better, err = FitPreprocessing(context.Background(), 1, g.With(spec, nil, g.Activation), images, truth)
	require.NoError(t, err)
	require.Zero(t, own.Right)
	require.Nil(t, better)
}
