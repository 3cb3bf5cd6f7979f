package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/classify"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/nettest"
	"edgeclassify/q8"
	"edgeclassify/runtime"
)

// described is a line with -features list.
type described struct {
	Features []int16 `json:"features"`
	Scale    float32 `json:"feature_scale"`
}

// withoutFeatures is a model whose classifier reads a plane.
func withoutFeatures() *q8.Model {
	for seed := uint64(0); ; seed++ {
		m := nettest.OperationsModel(seed)
		if _, ok := m.Features(); !ok {
			return m
		}
	}
}

func TestFeatures(t *testing.T) {
	for _, m := range []*q8.Model{nettest.Colours(), nettest.Taught(1), nettest.Taught(3)} {
		model, dir := write(t, "model.q8", m), photoDir(t, "cat.jpg")
		lib, err := classify.Open(model, classify.Options{})
		require.NoError(t, err)
		defer lib.Close()
		require.Nil(t, lib.Features(), "before the first picture")
		_, err = lib.ClassifyFile(photoDir(t, "cat.jpg") + "/cat.jpg")
		require.NoError(t, err)
		want := described{lib.Features(), lib.FeatureScale()}
		require.NotEmpty(t, want.Features)
		require.Positive(t, want.Scale)

		code, out, errs := classifyHere(t, nil, "-model", model, "-json", "-features", "list", dir)
		require.Zero(t, code, errs)
		var got described
		require.NoError(t, json.Unmarshal([]byte(out), &got))
		require.Equal(t, want, got)
		c := watch(t, "-model", model, "-camera", "file:"+dir, "-json", "-features", "list")
		require.NoError(t, json.Unmarshal([]byte(c.line()), &got))
		require.Equal(t, want, got)
		require.Zero(t, c.end())

		code, out, errs = classifyHere(t, nil, "-model", model, "-json", "-features", "base64", dir)
		require.Zero(t, code, errs)
		var packed struct{ Features string }
		require.NoError(t, json.Unmarshal([]byte(out), &packed))
		b, err := base64.StdEncoding.DecodeString(packed.Features)
		require.NoError(t, err)
		require.Len(t, b, 2*len(want.Features))
		for i, v := range want.Features {
			require.Equal(t, uint16(v), binary.LittleEndian.Uint16(b[2*i:]))
		}
		_, out, _ = classifyHere(t, nil, "-model", model, "-json", dir)
		require.NotContains(t, out, "feature")
	}
}

// Whatever reads a model file takes a taught one.
func TestTaughtModel(t *testing.T) {
	path := write(t, "taught.q8", tested(t, nettest.Taught(4)))
	for _, kernel := range runtime.Kernels() {
		_, _, checks := diagnose(t, "-model", path, "-kernel", kernel.Name)
		require.Equal(t, fine("self-test", "all logits are right to the bit"), checks["self-test"], kernel.Name)
	}
	code, out, errs := classifyHere(t, nil, "bench", "-model", path, "-layers", "-n", "5")
	require.Zero(t, code, errs)
	require.Contains(t, out, ".embedding")
	require.Contains(t, out, "0 allocations a frame")
}

func TestFeaturesThatThereAreNot(t *testing.T) {
	none, colours, dir := write(t, "none.q8", withoutFeatures()), write(t, "colours.q8", nettest.Colours()), photoDir(t, "cat.jpg")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-model", none, "-json", "-features", "list", dir}, cli.ExitFailure, none + ": -features: the model has none: its classifier reads "},
		{[]string{"-model", none, "-json", "-features", "list", "-camera", "test"}, cli.ExitFailure, "take a network with a global average before the classifier"},
		{[]string{"-model", colours, "-features", "list", dir}, cli.ExitUsage, "-features is of use with -json only"},
		{[]string{"-model", colours, "-json", "-features", dir}, cli.ExitUsage, "want list or base64"},
	} {
		code, _, errs := classifyHere(t, nil, c.args...)
		require.Equal(t, c.code, code, c.args)
		require.Contains(t, errs, c.want, c.args)
	}
	m, err := classify.Open(none, classify.Options{})
	require.NoError(t, err)
	defer m.Close()
	_, err = m.ClassifyFile(dir + "/cat.jpg")
	require.NoError(t, err)
	require.Nil(t, m.Features())
	require.Zero(t, m.FeatureScale())
	r := reloader{out: &outputs{}}
	require.NoError(t, r.check(m))
	r.options.features = "list"
	require.ErrorContains(t, r.check(m), "-features: the model has none")
}
