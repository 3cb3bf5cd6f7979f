package q8_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
	"edgeclassify/internal/testneed"
	"edgeclassify/q8"
)

// script reads a model as a Python user would, checks the checksum as the
// package documentation says, and prints everything.
const script = `
import hashlib, json, sys
import safetensors
from safetensors.numpy import load_file
path = sys.argv[1]
with safetensors.safe_open(path, "numpy") as f:
    metadata = f.metadata()
digest = metadata["sha256"].encode()
data = open(path, "rb").read().replace(digest, b"0" * 64, 1)
assert hashlib.sha256(data).hexdigest().encode() == digest
graph = json.loads(metadata["graph"])
print(json.dumps({
    "sha256": metadata["sha256"],
    "layers": [(l["name"], l["op"]) for l in graph["layers"]],
    "labels": [c["name"] for c in json.loads(metadata["labels"])],
    "tensors": {k: {"dtype": str(v.dtype), "shape": v.shape, "values": v.flatten().tolist()} for k, v in load_file(path).items()},
}))
`

type pythonTensor struct {
	DType  string    `json:"dtype"`
	Shape  []int     `json:"shape"`
	Values []float64 `json:"values"`
}

func TestPythonReads(t *testing.T) {
	python := testneed.Python(t, "pip install safetensors numpy", "safetensors.numpy")
	for _, n := range []*q8.Model{tiny(), taught(), nettest.Model(3, false), nettest.Taught(2)} {
		m := open(t, write(t, encode(t, n)))
		cmd := exec.Command(python, "-c", script, write(t, encode(t, n)))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		require.NoError(t, err)
		var got struct {
			SHA256  string                  `json:"sha256"`
			Layers  [][2]string             `json:"layers"`
			Labels  []string                `json:"labels"`
			Tensors map[string]pythonTensor `json:"tensors"`
		}
		require.NoError(t, json.Unmarshal(out, &got))
		require.Equal(t, m.SHA256, got.SHA256)
		for i, c := range n.Classes {
			require.Equal(t, c.Name, got.Labels[i])
		}
		require.Len(t, got.Layers, len(n.Layers))
		want := map[string]pythonTensor{}
		for i, l := range n.Layers {
			require.Equal(t, [2]string{l.Name, l.Op.Kind()}, got.Layers[i])
			switch op := l.Op.(type) {
			case *int8.Conv:
				want[l.Name+".weight"] = pythonTensor{"int8", []int{op.OutC, op.KH, op.KW, op.InC / op.Groups}, numbers(op.Weight)}
				want[l.Name+".bias"] = pythonTensor{"int32", []int{op.OutC}, numbers(op.Bias)}
				want[l.Name+".multiplier"] = pythonTensor{"int32", []int{op.OutC}, numbers(op.Multiplier)}
				want[l.Name+".scale"] = pythonTensor{"float32", []int{op.OutC}, numbers(op.Scale)}
			case *int8.Embedding:
				want[l.Name+".scale"] = pythonTensor{"float32", []int{len(op.Scale)}, numbers(op.Scale)}
			case *int8.Dense:
				want[l.Name+".weight"] = pythonTensor{"int8", []int{op.Out, op.In}, numbers(op.Weight)}
				want[l.Name+".bias"] = pythonTensor{"int32", []int{op.Out}, numbers(op.Bias)}
				want[l.Name+".scale"] = pythonTensor{"float32", []int{op.Out}, numbers(op.Scale)}
			}
		}
		require.Equal(t, want, got.Tensors)
	}
}

func numbers[T int8.Value | int32 | float32](v []T) []float64 {
	f := make([]float64, len(v))
	for i, x := range v {
		f[i] = float64(x)
	}
	return f
}
