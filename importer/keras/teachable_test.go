package keras

import (
	"archive/zip"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/kerastest"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
)

// zipped packs a folder's files, below a folder of the archive.
func zipped(t *testing.T, dir, below string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "converted.zip")
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	z := zip.NewWriter(f)
	for _, name := range []string{"metadata.json", "model.json", "weights.bin"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		w, err := z.Create(below + name)
		require.NoError(t, err)
		_, err = w.Write(text)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return path
}

func TestTeachableMachine(t *testing.T) {
	dir := kerastest.TeachableMachine(t, 64, "Cat", "Dog", "Nobody")
	m, err := Import(dir, models.ImportOptions{})
	require.NoError(t, err)
	require.Equal(t, []labels.Class{{ID: "0", Name: "Cat"}, {ID: "1", Name: "Dog"}, {ID: "2", Name: "Nobody"}}, m.Classes)
	require.Equal(t, "metadata.json", m.ClassesFrom)
	require.Equal(t, preprocess.TeachableMachine().Sized(preprocess.Square(64)), m.Preprocess)
	require.Equal(t, "metadata.json of Teachable Machine", m.PreprocessFrom)
	require.Empty(t, m.Notes)
	require.Equal(t, labels.Softmax, m.Activation)

	kinds := map[string]int{}
	for _, n := range m.Nodes {
		kinds[n.Op.Kind()]++
	}
	require.Equal(t, map[string]int{"conv": 52, "batchnorm": 52, "clip": 35, "add": 10, "globalavgpool": 1, "dense": 2, "relu": 1, "softmax": 1}, kinds)
	require.Equal(t, "sequential_1/model1/Conv1", m.Nodes[0].Name)
	require.Equal(t, "sequential_3/dense_Dense2/softmax", m.Nodes[len(m.Nodes)-1].Name)

	for _, below := range []string{"", "my model/"} {
		z := zipped(t, dir, below)
		require.True(t, Is(z))
		packed, err := Import(z, models.ImportOptions{})
		require.NoError(t, err)
		require.Equal(t, m.Hash(), packed.Hash())
		require.Equal(t, m.Classes, packed.Classes)
	}
	smaller, err := Import(dir, models.ImportOptions{Input: preprocess.Size{H: 32, W: 48}})
	require.NoError(t, err)
	require.Equal(t, preprocess.Size{H: 32, W: 48}, smaller.Preprocess.Crop)
}

// A model that TensorFlow.js built gives what TensorFlow.js computes.
func TestModelMadeByTensorFlowJS(t *testing.T) {
	m, err := Import("testdata/teachable", models.ImportOptions{})
	require.NoError(t, err)
	require.Len(t, m.Classes, 3)
	text, err := os.ReadFile("testdata/teachable/expected.json")
	require.NoError(t, err)
	var want []float32
	require.NoError(t, json.Unmarshal(text, &want))
	require.InDeltaSlice(t, want, outputs(t, m.Graph), 1e-6)
}

func TestTeachableMachineMetadata(t *testing.T) {
	dir := kerastest.TeachableMachine(t, 32, "Cat", "Dog")
	for text, want := range map[string]string{
		`{"labels": ["Cat"]}`:    "metadata.json has 1 labels, the network tells 2 classes",
		`{"labels": ["Cat", 3]}`: "metadata.json: ",
		`{"labels": {}}`:         "metadata.json: ",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "metadata.json"), []byte(text), 0o644))
		_, err := Import(dir, models.ImportOptions{})
		require.ErrorContains(t, err, want, text)
	}
	for _, other := range []string{`{"owner": "somebody"}`, `[]`, `?`} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "metadata.json"), []byte(other), 0o644))
		m, err := Import(dir, models.ImportOptions{})
		require.NoError(t, err)
		require.Empty(t, m.ClassesFrom)
		require.Contains(t, m.Guess, `keras-tf, as networks with the name`)
	}
}

// A zip whose files inflate beyond all proportion is refused before any is read.
func TestZipBomb(t *testing.T) {
	dir := kerastest.TeachableMachine(t, 32, "Cat", "Dog")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "weights.bin"), make([]byte, 8<<20), 0o644))
	_, err := Import(zipped(t, dir, ""), models.ImportOptions{})
	require.ErrorContains(t, err, `file "weights.bin" in the archive has 8388608 bytes out of`)
}

// Models of other tools in zips and JSON are not Keras'.
func TestIsNot(t *testing.T) {
	dir := t.TempDir()
	text, err := json.Marshal(map[string]any{"metadata": map[string]any{}, "weight_map": map[string]any{"a": "b"}})
	require.NoError(t, err)
	index := filepath.Join(dir, "model.safetensors.index.json")
	require.NoError(t, os.WriteFile(index, text, 0o644))
	require.False(t, Is(index))
	require.False(t, Is(filepath.Join(dir, "nothing")))
	_, err = Import(index, models.ImportOptions{})
	require.ErrorContains(t, err, "no model of Keras: want .keras, .h5, or a folder or zip")
	_, err = Import(filepath.Join(dir, "nothing"), models.ImportOptions{})
	require.ErrorIs(t, err, os.ErrNotExist)
}
