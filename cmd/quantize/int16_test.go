package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/nettest"
	"edgeclassify/q8"
)

func TestMaxDrop(t *testing.T) {
	model, pictures, out := smallModel().write(t), filepath.Dir(nettest.Images(t, 24, smallCrop)[0]), filepath.Join(t.TempDir(), "m.q8")
	build := func(more ...string) (code int, stdout, stderr string) {
		return execute(append([]string{"build", "-model", model, "-images", pictures, "-method", "minmax", "-out", out}, more...)...)
	}
	code, stdout, errs := build("-max-drop", "100")
	require.Zero(t, code, errs)
	require.Contains(t, stdout, "int16 outputs: 0; measured on 24 pictures")

	code, stdout, errs = build("-max-drop", "1e-9")
	require.Equal(t, cli.ExitFailure, code)
	require.Contains(t, errs, "-max-drop 1e-09 is out of reach")
	require.Regexp(t, `first .* second |second .*\n +first `, stdout)

	code, _, errs = build("-max-drop", "1e-9", "-force")
	require.Zero(t, code, errs)
	require.Contains(t, errs, "out of reach")
	m, err := q8.Open(out)
	require.NoError(t, err)
	defer m.Close()
	require.Contains(t, m.Provenance.Method, "2 int16 outputs")
}

func TestPrintInt16(t *testing.T) {
	n, chosen := nettest.Random(1), nettest.Int16(1)
	var b bytes.Buffer
	require.NoError(t, printInt16(&b, &calibrate.Int16Choice{
		Layers: []calibrate.Int16Layer{
			{Layer: "stem", Gain: 0.5, Drop: 0.02, Bytes: 4096, Microseconds: 71.4}, {Layer: "head", Gain: 0.75, Drop: 0.015, Bytes: 128, Microseconds: -1},
		},
		Rounds: []calibrate.Int16Round{{Network: n, Drop: 0.03}, {Network: chosen, Drop: 0.012}},
		Logits: make([][]float32, 64),
	}))
	before, err := arenaBytes(n)
	require.NoError(t, err)
	after, err := arenaBytes(chosen)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf(`  int16 output  gain so far dB  expected drop so far  bytes  A76 us
          stem            0.50                2.00 %%   4096     +71
          head            0.75                1.50 %%    128      -1
int16 outputs: 2; measured on 64 pictures, first class expected to differ in 1.20 %% instead of 3.00 %%
arena %d bytes instead of %d; one Cortex-A76 at 2.4 GHz predicted to take 70 us more for a frame
`, after, before), b.String())
}
