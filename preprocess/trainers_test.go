package preprocess

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/testneed"
)

// The files of timm and transformers, and torchvision's preset, give the input that
// these frameworks give their networks.
func TestTrainersInputs(t *testing.T) {
	testneed.Long(t, "makes network inputs with torch")
	python := testneed.Python(t, "pip install torch torchvision timm transformers", "torch", "torchvision", "timm", "transformers")
	folder := t.TempDir()
	photos, err := filepath.Glob(filepath.Join(testdata, "photos", "*.jpg"))
	require.NoError(t, err)
	out, err := exec.Command(python, append([]string{filepath.Join(testdata, "make_inputs.py"), folder}, photos...)...).CombinedOutput()
	require.NoError(t, err, string(out))
	inputs, err := filepath.Glob(filepath.Join(folder, "*.f32"))
	require.NoError(t, err)
	require.Len(t, inputs, 12)
	for _, input := range inputs {
		name := strings.TrimSuffix(filepath.Base(input), ".f32")
		t.Run(name, func(t *testing.T) {
			spec, ok := Preset(name)
			if text, err := os.ReadFile(strings.TrimSuffix(input, "f32") + "json"); err == nil {
				spec, err = Parse(text)
				require.NoError(t, err)
			} else {
				require.True(t, ok)
			}
			data, err := os.ReadFile(input)
			require.NoError(t, err)
			want := make([]float32, len(data)/4)
			require.NoError(t, binary.Read(bytes.NewReader(data), binary.LittleEndian, want))
			require.Len(t, want, len(photos)*spec.Input().Elements())
			compareInputs(t, spec, photos, want)
		})
	}
}

// compareInputs wants a mean difference below one level of 255 for each photograph,
// or what a shift by a pixel makes where the margins of the crop are odd: transformers
// rounds half of them down, others to even.
func compareInputs(t *testing.T, spec Spec, photos []string, want []float32) {
	got := make([]float32, spec.Input().Elements())
	for i, photo := range photos {
		picture, err := DecodeFile(photo)
		require.NoError(t, err)
		pix, limit := resize(t, spec, picture), 1.0
		if w, h := spec.Resize.size(picture.Width, picture.Height); (w-spec.Crop.W)%2+(h-spec.Crop.H)%2 > 0 {
			limit = 4
		}
		require.NoError(t, spec.Float(got, pix))
		sum := 0.0
		for k, v := range want[i*len(got):][:len(got)] {
			sum += math.Abs(float64(v-got[k])) * float64(spec.Std[k%3])
		}
		require.Less(t, sum/float64(len(got)), limit, photo)
		t.Logf("%s: %.3f levels", filepath.Base(photo), sum/float64(len(got)))
	}
}
