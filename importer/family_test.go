package importer

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/fp32"
	"edgeclassify/internal/npy"
	"edgeclassify/internal/testneed"
	"edgeclassify/models"
)

// TestFamilyAgainstPyTorch compares logits with those of torchvision's, timm's and
// transformers' own definitions.
func TestFamilyAgainstPyTorch(t *testing.T) {
	testneed.Long(t, "it makes and runs networks of up to 500 MB")
	python := testneed.Python(t, "pip install torch torchvision timm transformers", "torchvision", "timm", "transformers", "safetensors")
	const script = "testdata/family.py"
	names, err := exec.Command(python, script, "--list").Output()
	require.NoError(t, err)
	folder := t.TempDir()
	out, err := exec.Command(python, append([]string{script, folder}, strings.Fields(string(names))...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for name := range strings.FieldsSeq(string(names)) {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(folder, name)
			_, image, err := npy.Read(filepath.Join(dir, "image.npy"))
			require.NoError(t, err)
			_, want, err := npy.Read(filepath.Join(dir, "logits.npy"))
			require.NoError(t, err)

			o := models.ImportOptions{}
			shape, _, err := npy.Read(filepath.Join(dir, "image.npy"))
			require.NoError(t, err)
			o.Input.H, o.Input.W = shape[0], shape[1]
			m, err := Import(filepath.Join(dir, "network"), o)
			require.NoError(t, err)
			folded, err := m.Fold()
			require.NoError(t, err)
			e, err := fp32.NewExecutor(folded, 2)
			require.NoError(t, err)
			got, err := e.Run(image, nil)
			require.NoError(t, err)
			require.Len(t, got, len(want))
			worst := float32(0)
			for i := range want {
				worst = max(worst, got[i]-want[i], want[i]-got[i])
			}
			relative := worst / (slices.Max(want) - slices.Min(want))
			t.Logf("%s: largest error of a logit is %.1e of their range; %v", m.Name, relative, m.Notes)
			require.Less(t, relative, float32(1e-3))
		})
	}
}
