package device

import (
	"image"
	"image/color"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/classify"
	"edgeclassify/device/internal/machine"
	"edgeclassify/int8"
	"edgeclassify/labels"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/tensor"
)

const modelPath = "/model.q8"

// side of the colour network's picture, in pixels.
const side = 8

// colours are the classes of the colour network, and of the plain pictures.
func colours() map[string]color.RGBA {
	return map[string]color.RGBA{
		"red": {R: 255, A: 255}, "green": {G: 255, A: 255}, "blue": {B: 255, A: 255}, "gray": {128, 128, 128, 255},
	}
}

// colourNetwork tells which colour a picture has most of, or that it is gray.
// The convolution passes its input on; the classifier compares the sums. threshold
// is the excess of a pixel from which on it is not gray; red is the name of red.
func colourNetwork(t testing.TB, threshold int32, red string) *q8.Model {
	const unit = 64 // a weight, such that the multiplier below is exact
	same := &int8.Conv{
		Window: tensor.Square(1, 1, 0), Groups: 1, InC: 3, OutC: 3,
		Weight:     []int8.Value{unit, 0, 0, 0, unit, 0, 0, 0, unit},
		Bias:       make([]int32, 3),
		Multiplier: []int32{1 << 21, 1 << 21, 1 << 21}, // 2^37-10 / unit
		Scale:      []float32{1, 1, 1}, Shift: 10,
	}
	plane := tensor.Shape{H: side, W: side, C: 3}
	gray := threshold * side * side
	step := 2 / float32(gray) // of logits, such that the classifier is sure enough
	compare := &int8.Dense{
		In: 3, Out: 4,
		Weight: []int8.Value{2, -1, -1, -1, 2, -1, -1, -1, 2, 0, 0, 0},
		Bias:   []int32{0, 0, 0, gray},
		Scale:  []float32{step, step, step, step},
	}
	spec := preprocess.Torchvision()
	spec.Resize, spec.Crop = preprocess.Short(side), preprocess.Square(side)
	colours := int8.Tensor{Shape: plane, Type: int8.Int8, Scale: 1, Zero: []int8.Value{0}}
	n, err := int8.NewNetwork("colours", int8.Tensor{Shape: plane, Type: int8.Int8, Zero: []int8.Value{0, 0, 0}}, []int8.Layer{
		{Name: "same", Inputs: []tensor.ID{tensor.Input}, Op: same, Out: colours},
		{Name: "sum", Inputs: []tensor.ID{1}, Op: int8.GlobalAveragePool{}, Out: int8.Tensor{
			Shape: tensor.Shape{H: 1, W: 1, C: 3}, Type: int8.Int16, Scale: 1. / (side * side), Bound: int32(colours.SumBound())}},
		{Name: "compare", Inputs: []tensor.ID{2}, Op: compare, Out: int8.Tensor{Shape: tensor.Shape{H: 1, W: 1, C: 4}, Type: int8.Int32}},
	})
	require.NoError(t, err)
	test := &q8.SelfTest{Seed: 1}
	logits, err := n.Reference(test.Image(n), nil)
	require.NoError(t, err)
	test.LogitsSHA256 = int8.HashLogits(logits)
	m, err := q8.New(n, spec,
		[]labels.Class{{ID: "n00000001", Name: red}, {ID: "n00000002", Name: "green"}, {ID: "n00000003", Name: "blue"}, {ID: "n00000004", Name: "gray"}},
		labels.Softmax, q8.Provenance{Tool: "device tests", Source: "colours", Method: "by hand"}, test)
	require.NoError(t, err)
	return m
}

// colourFile writes the colour network.
func colourFile(t testing.TB) string { return writeNetwork(t, colourNetwork(t, 100, "red")) }

// otherColourFile writes one that answers differently to any picture.
func otherColourFile(t testing.TB) string { return writeNetwork(t, colourNetwork(t, 90, "scarlet")) }

func writeNetwork(t testing.TB, m *q8.Model) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "colours.q8")
	require.NoError(t, q8.Write(path, m))
	return path
}

// colourModel is the colour network as a file for the machine.
func colourModel(t testing.TB) machine.Files { return machine.Files{modelPath: colourFile(t)} }

// plain is a picture of one colour.
func plain(c color.Color, width, height int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			m.Set(x, y, c)
		}
	}
	return m
}

func TestColourNetwork(t *testing.T) {
	m, err := classify.Open(colourFile(t), classify.Options{})
	require.NoError(t, err)
	defer m.Close()
	for name, c := range colours() {
		top, err := m.Classify(plain(c, 2*side, 2*side))
		require.NoError(t, err)
		require.Equal(t, name, top[0].Label)
		require.Greater(t, top[0].Probability, 0.5)
	}
}
