package peers_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
	"edgeclassify/internal/peers"
	"edgeclassify/internal/testneed"
	"edgeclassify/onnx"
	"edgeclassify/q8"
)

// unwritable matches errors about networks that a format has no room for.
var unwritable = regexp.MustCompile("has no .*form|beyond int32")

const folder = "../../build/peers"

// What is compared has to be the same network: engines differ by their roundings alone.
func TestPeersRunAsTheReference(t *testing.T) {
	for name, run := range map[string]func(file string, m *q8.Model, rgb []uint8) ([]float32, error){
		"LiteRT": liteRT, "OpenVINO": openVINO,
	} {
		t.Run(name, func(t *testing.T) {
			ran := 0
			for seed := range uint64(7) {
				m := nettest.Model(seed, false)
				if d, ok := m.Layers[len(m.Layers)-1].Op.(*int8.Dense); ok {
					clear(d.Bias) // its extremes would hide everything else
				}
				rgb := nettest.Image(m.Network, seed)
				got, err := run(filepath.Join(t.TempDir(), "model"), m, rgb)
				switch {
				case errors.Is(err, peers.ErrMissing):
					testneed.Missing(t, "%v", err)
				case err != nil && unwritable.MatchString(err.Error()):
					continue
				}
				require.NoError(t, err, "seed %d", seed)
				q, err := m.Reference(rgb, nil)
				require.NoError(t, err)
				want := make([]float32, len(q))
				m.Classifier().Scaled(want, q)
				require.Greater(t, sqnr(want, got), 35.0, "seed %d", seed)
				ran++
			}
			require.Greater(t, ran, 2)
		})
	}
}

func liteRT(file string, m *q8.Model, rgb []uint8) ([]float32, error) {
	if err := errors.Join(q8.Write(file, m), peers.WriteTFLite(folder, file, file+".tflite")); err != nil {
		return nil, err
	}
	s, err := peers.LiteRT(folder, file+".tflite", 1)
	return once(s, err, peers.TFLiteInput(m.Network, rgb))
}

func openVINO(file string, m *q8.Model, rgb []uint8) ([]float32, error) {
	var b bytes.Buffer
	if err := onnx.WriteQuantized(&b, m, onnx.Options{}); err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		return nil, err
	}
	s, err := peers.OpenVINO(folder, file, 1)
	return once(s, err, onnx.Planes(rgb, m.Input.Shape.C))
}

func once(s *peers.Session, err error, input []uint8) ([]float32, error) {
	if err != nil {
		return nil, err
	}
	logits, _, err := s.Run(input, 1)
	return logits, errors.Join(err, s.Close())
}

// sqnr is the ratio of signal to noise in dB.
func sqnr(want, got []float32) float64 {
	var signal, noise float64
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		signal += float64(float64(w) * float64(w))
		noise += float64(d * d)
	}
	return 10 * math.Log10(signal/noise)
}
