package onnx_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/fp32"
	"edgeclassify/importer/onnx"
	"edgeclassify/internal/testneed"
	"edgeclassify/models"
)

// TestExportedNetworks runs what scripts/export-onnx.py exports, beside ONNX Runtime's
// answers: what is in the folder EXPORTED_ONNX or, without it, a few networks.
func TestExportedNetworks(t *testing.T) {
	folder := os.Getenv("EXPORTED_ONNX")
	if folder == "" {
		testneed.Long(t, "exports networks by PyTorch")
		python := testneed.Python(t, "pip install torch torchvision timm onnx onnxruntime", "torch", "torchvision", "timm", "onnxruntime")
		folder = t.TempDir()
		out, err := exec.Command(python, "../../scripts/export-onnx.py", folder, "torchscript-torchvision-mobilenet_v", "torchscript-torchvision-squeezenet",
			"torchscript-torchvision-googlenet", "torchscript-torchvision-shufflenet", "torchscript-timm-efficientnet_lite0").CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.NotContains(t, string(out), "was not exported")
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.onnx"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	refused := map[string]string{"convnext_tiny": "ormalization"}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".onnx")
		t.Run(name, func(t *testing.T) {
			imported, err := onnx.Import(file, models.ImportOptions{})
			for network, reason := range refused {
				if strings.HasSuffix(name, network) {
					require.ErrorContains(t, err, reason)
					return
				}
			}
			require.NoError(t, err)
			g := imported.Logits()
			image := floats(t, strings.TrimSuffix(file, ".onnx")+".input")
			want := floats(t, strings.TrimSuffix(file, ".onnx")+".output")
			if imported.Nodes[len(imported.Nodes)-1].Op.Kind() == "softmax" {
				g = imported.Graph
			}
			if p := imported.Preprocess; imported.PreprocessFrom != "" {
				for i := range image {
					image[i] = (image[i] - p.Mean[i%3]) / p.Std[i%3]
				}
			}
			e, err := fp32.NewExecutor(g, 2)
			require.NoError(t, err)
			got, err := e.Run(image, nil)
			require.NoError(t, err)
			worst := distance(t, want, got)
			t.Logf("| %s | %d nodes | %.1e | %s |", name, len(g.Nodes), worst, imported.PreprocessFrom)
			require.Less(t, worst, 1e-3)
		})
	}
}

// distance is the largest difference, in the range of what is wanted.
func distance(t *testing.T, want, got []float32) float64 {
	require.Len(t, got, len(want))
	low, high, worst := want[0], want[0], float64(0)
	for i, w := range want {
		low, high = min(low, w), max(high, w)
		worst = max(worst, float64(w-got[i]), float64(got[i]-w))
	}
	require.Greater(t, high, low)
	return worst / float64(high-low)
}

func floats(t *testing.T, file string) []float32 {
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	out := make([]float32, len(raw)/4)
	require.NoError(t, binary.Read(bytes.NewReader(raw), binary.LittleEndian, out))
	return out
}
