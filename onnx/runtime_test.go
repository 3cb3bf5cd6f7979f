package onnx_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/fp32"
	"edgeclassify/int8"
	"edgeclassify/internal/graphtest"
	"edgeclassify/internal/nettest"
	"edgeclassify/internal/peers"
	"edgeclassify/internal/testneed"
	"edgeclassify/models"
	"edgeclassify/onnx"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/tensor"
)

// load writes a model and gives it to ONNX Runtime.
func load(t *testing.T, write func(io.Writer) error) *peers.Session {
	file := filepath.Join(t.TempDir(), "model.onnx")
	var b bytes.Buffer
	require.NoError(t, write(&b))
	require.NoError(t, os.WriteFile(file, b.Bytes(), 0o600))
	s, err := peers.ONNXRuntime("../build/peers", file, peers.Options{Threads: 1, Exact: true})
	if errors.Is(err, peers.ErrMissing) {
		testneed.Missing(t, "%v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestQuantizedRunsAsTheReference(t *testing.T) {
	networks, int16s := exportable(9, false), exportable(4, true)
	operations, taught := append(exportableOf(5, nettest.OperationsModel), exportableOf(6, nettest.Channels)...), exportableOf(12, nettest.Taught)
	for _, c := range []struct {
		name     string
		networks []*q8.Model
		options  onnx.Options
		sqnr     float64 // dB; what is lost is lost to rounding
	}{
		{"u8u8", networks, onnx.Options{}, 32},
		{"u8s8", networks, onnx.Options{Format: onnx.U8S8}, 32},
		{"s8s8", networks, onnx.Options{Format: onnx.S8S8}, 32},
		{"u8u8 exact", networks, onnx.Options{Exact: true}, 38},
		{"s8s8 exact", networks, onnx.Options{Format: onnx.S8S8, Exact: true}, 38},
		{"int16", int16s, onnx.Options{}, 28},
		{"int16 exact", int16s, onnx.Options{Format: onnx.S8S8, Exact: true}, 35},
		{"operations", operations, onnx.Options{}, 28},
		{"operations s8s8", operations, onnx.Options{Format: onnx.S8S8}, 28},
		{"operations exact", operations, onnx.Options{Exact: true}, 30},
		{"taught", taught, onnx.Options{}, 25},
		{"taught exact", taught, onnx.Options{Format: onnx.S8S8, Exact: true}, 30},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range c.networks {
				for _, l := range n.Layers { // their extremes would hide everything else
					if d, ok := l.Op.(*int8.Dense); ok {
						clear(d.Bias)
					}
				}
				s := load(t, func(w io.Writer) error { return onnx.WriteQuantized(w, n, c.options) })
				for picture := range uint64(2) {
					rgb := nettest.Image(n.Network, picture)
					q, err := n.Reference(rgb, nil)
					require.NoError(t, err)
					want := make([]float32, len(q))
					n.Classifier().Scaled(want, q)
					got, _, err := s.Run(codes(onnx.Planes(rgb, n.Input.Shape.C), c.options), 1)
					require.NoError(t, err)
					require.Greater(t, sqnr(want, got), c.sqnr, "%s, picture %d", n.Name, picture)
				}
			}
		})
	}
}

func TestFloatRunsAsTheExecutor(t *testing.T) {
	for _, g := range []*models.Graph{everyOperation(), globallyPooled(), activations(t)} {
		e, err := fp32.NewExecutor(g, 1)
		require.NoError(t, err)
		s := load(t, func(w io.Writer) error { return onnx.WriteFloat(w, g) })
		random := rand.New(rand.NewPCG(1, 1))
		for range 3 {
			image := normal(random, g.Input().Elements())
			want, err := e.Run(image, nil)
			require.NoError(t, err)
			got, _, err := s.Run(onnx.Planes(image, 3), 1)
			require.NoError(t, err)
			require.InDeltaSlice(t, want, got, 1e-5)
		}
	}
}

func TestRandomFloatNetworksRunAsTheExecutor(t *testing.T) {
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 3))
		g, err := graphtest.Random(t, random).Fold()
		require.NoError(t, err)
		var b bytes.Buffer
		if err := onnx.WriteFloat(&b, g); err != nil {
			require.ErrorContains(t, err, "dilation")
			continue
		}
		e, err := fp32.NewExecutor(g, 1)
		require.NoError(t, err)
		s := load(t, func(w io.Writer) error { return onnx.WriteFloat(w, g) })
		image := graphtest.Normal(random, g.Input().Elements())
		want, err := e.Run(image, nil)
		require.NoError(t, err)
		got, _, err := s.Run(onnx.Planes(image, 3), 1)
		require.NoError(t, err)
		graphtest.RequireClose(t, want64(want), got, 1e-4, g.Name)
	}
}

func want64(values []float32) []float64 {
	wide := make([]float64, len(values))
	for i, v := range values {
		wide[i] = float64(v)
	}
	return wide
}

func TestRuntimeRefusesDamage(t *testing.T) {
	load(t, func(w io.Writer) error { return onnx.WriteFloat(w, everyOperation()) }) // or skip
	file := filepath.Join(t.TempDir(), "text.onnx")
	require.NoError(t, os.WriteFile(file, []byte("not a model"), 0o600))
	_, err := peers.ONNXRuntime("../build/peers", file, peers.Options{Threads: 1, Exact: true})
	require.ErrorContains(t, err, "text.onnx")
}

// globallyPooled is a float network with a global average pool.
func globallyPooled() *models.Graph { return everyOperationBut("ijkh", true) }

// everyOperation is a float network of every other operation.
func everyOperation() *models.Graph { return everyOperationBut("", false) }

// everyOperationBut leaves nodes out and may end in a global average pool.
func everyOperationBut(without string, pooled bool) *models.Graph {
	random := rand.New(rand.NewPCG(2, 2))
	values := func(n int) []float32 { return normal(random, n) }
	positive := values(6)
	for i := range positive {
		positive[i] = 0.5 + positive[i]*positive[i]
	}
	lopsided := tensor.Window{KH: 3, KW: 2, StrideH: 2, StrideW: 1, Top: 1, Right: 1}
	b := models.NewBuilder("picture", tensor.Shape{H: 9, W: 9, C: 3})
	add := func(name string, op models.Op, inputs ...string) {
		if !strings.Contains(without, name) {
			b.Add(name, op, inputs...)
		}
	}
	add("a", &models.Conv{Window: tensor.Square(3, 1, 1), Groups: 1, InC: 3, OutC: 6, Weight: values(162)}, "picture")
	add("b", &models.BatchNorm{Gamma: values(6), Beta: values(6), Mean: values(6), Variance: positive, Epsilon: 0.01}, "a")
	add("c", models.ReLU{}, "b")
	add("d", &models.Conv{Window: lopsided, Groups: 2, InC: 6, OutC: 4, Weight: values(72), Bias: values(4)}, "c")
	add("e", &models.Conv{Window: lopsided, Groups: 1, InC: 6, OutC: 4, Weight: values(144), Bias: values(4)}, "c")
	add("f", models.Add{}, "d", "e")
	add("g", &models.MaxPool{Window: tensor.Square(3, 1, 1)}, "f")
	add("h", &models.AveragePool{Window: tensor.Square(2, 2, 1), CountPad: true}, "g")
	add("i", &models.AveragePool{Window: tensor.Square(2, 1, 1)}, "h")
	add("j", &models.Dense{In: 96, Out: 4, Weight: values(384), Bias: values(4)}, "i")
	add("k", models.Softmax{}, "j")
	if pooled {
		add("pooled", models.GlobalAveragePool{}, "g")
	}
	g, err := b.Graph("every operation", preprocess.Caffe(), nil)
	if err != nil {
		panic(err)
	}
	return g
}

func normal(random *rand.Rand, n int) []float32 {
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(random.NormFloat64() / 3)
	}
	return values
}

// activations has all functions, behind a pad, and behind a dense layer that gates.
func activations(t *testing.T) *models.Graph {
	random := rand.New(rand.NewPCG(4, 4))
	b := models.NewBuilder("picture", tensor.Shape{H: 3, W: 4, C: 3})
	add := func(name string, op models.Op, inputs ...string) string { b.Add(name, op, inputs...); return name }
	x := add("pad", models.Pad{Top: 1, Right: 2}, "picture")
	gate := add("dense", graphtest.Dense(random, 72, 3), x)
	all := []string{x, add("scaled", models.Mul{}, x, add("sigmoid", models.Activation{Function: models.Sigmoid}, gate))}
	for _, a := range graphtest.Activations() {
		name := string(a.Function)
		all = append(all, add(name, a, "scaled"), add("gate"+name, a, gate))
		gate = "gate" + name
	}
	planes := slices.DeleteFunc(all, func(name string) bool { return strings.HasPrefix(name, "gate") })
	add("clip", models.Clip{Min: -0.4, Max: 0.3}, add("planes", models.Concat{}, planes...))
	add("both", models.Concat{}, add("average", models.GlobalAveragePool{}, "clip"), gate)
	return graphtest.Graph(t, b, "activations")
}

// exportable makes that many random networks whose biases fit.
func exportable(n int, withInt16 bool) []*q8.Model {
	return exportableOf(n, func(seed uint64) *q8.Model { return nettest.Model(seed, withInt16) })
}

func exportableOf(n int, make func(seed uint64) *q8.Model) []*q8.Model {
	var networks []*q8.Model
	for seed := uint64(0); len(networks) < n; seed++ {
		if made := make(seed); onnx.WriteQuantized(io.Discard, made, onnx.Options{}) == nil {
			networks = append(networks, made)
		}
	}
	return networks
}

// codes is the picture as the model's input.
func codes(rgb []uint8, o onnx.Options) []uint8 {
	if o.Format == onnx.S8S8 {
		for i := range rgb {
			rgb[i] ^= 0x80
		}
	}
	return rgb
}

// sqnr is the ratio of signal to noise in dB.
func sqnr(want, got []float32) float64 {
	var signal, noise float64
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		signal += float64(float64(w) * float64(w))
		noise += float64(d * d)
	}
	if noise == 0 {
		return math.Inf(1)
	}
	return 10 * math.Log10(signal/noise)
}
