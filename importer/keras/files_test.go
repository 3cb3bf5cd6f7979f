package keras

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/preprocess"
)

// unpacked is the path of a file of testdata, without its .gz.
func unpacked(t testing.TB, name string) string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".gz"))
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	b, err := io.ReadAll(z)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, b, 0o644))
	return path
}

// outputs computes the network for the pixels that make.py gives to Keras.
func outputs(t testing.TB, g *models.Graph) []float32 {
	t.Helper()
	pixels := make([]uint8, g.Input().Elements())
	for i := range pixels {
		pixels[i] = uint8(37 * i)
	}
	image := make([]float32, len(pixels))
	require.NoError(t, g.Preprocess.Float(image, pixels))
	values := graphtest.Reference(t, g, image)[g.Topology().Name(g.Output())]
	narrow := make([]float32, len(values))
	for i, v := range values {
		narrow[i] = float32(v)
	}
	return narrow
}

// TestFilesOfKeras compares with what Keras 3, Keras 2 and TensorFlow.js's converter
// computed for files that they wrote.
func TestFilesOfKeras(t *testing.T) {
	text, err := os.ReadFile("testdata/expected.json")
	require.NoError(t, err)
	var expected map[string][]float32
	require.NoError(t, json.Unmarshal(text, &expected))
	seen := 0
	entries, err := os.ReadDir("testdata")
	require.NoError(t, err)
	for _, e := range entries {
		file := strings.TrimSuffix(e.Name(), ".gz")
		want, ok := expected[strings.TrimSuffix(strings.TrimSuffix(file, ".h5"), ".keras")]
		if !ok {
			continue
		}
		seen++
		t.Run(file, func(t *testing.T) {
			path := filepath.Join("testdata", file)
			if !e.IsDir() {
				path = unpacked(t, file)
			}
			require.True(t, Is(path))
			m, err := Import(path, models.ImportOptions{})
			require.NoError(t, err)
			got := outputs(t, m.Graph)
			require.Len(t, got, len(want))
			for i, v := range want {
				require.InDelta(t, v, got[i], 2e-6)
			}
			require.Equal(t, preprocess.Square(16), m.Preprocess.Crop)
			require.Regexp(t, `^layer (re|n)(scal|ormaliz)`, m.PreprocessFrom)
			require.Empty(t, m.Notes)
		})
	}
	require.Equal(t, 13, seen)
}

func TestWeightsAloneAreNoModel(t *testing.T) {
	path := unpacked(t, "weights2.h5")
	require.True(t, Is(path))
	_, err := Import(path, models.ImportOptions{})
	require.EqualError(t, err, "importer: "+path+": it holds weights without the network (save_weights): save the whole model with model.save(\"model.keras\")")
}

func TestSavedModel(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "saved_model.pb"), nil, 0o644))
	require.True(t, Is(dir))
	_, err := Import(dir, models.ImportOptions{})
	require.ErrorContains(t, err, "it is a TensorFlow SavedModel: save the model with model.save(\"model.keras\")")
	require.False(t, Is(t.TempDir()))
}
