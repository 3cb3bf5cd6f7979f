package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/nettest"
)

// bench is a measurement of a network as edge-classify bench -json prints it.
func bench(change func(m map[string]any)) map[string]any {
	n := nettest.Model(1, false).Network
	macs := int64(0)
	for i := range n.Layers {
		macs += n.Layers[i].MACs()
	}
	m := map[string]any{
		"network": n.Name, "board": "Raspberry Pi 5 Model B Rev 1.0", "kernel": "neondot", "threads": 2, "p50_ms": 3.5,
		"macs_per_frame": macs, "before": map[string]any{"measured_mhz": 2398.5}, "after": map[string]any{"measured_mhz": 2000},
		"layers": []map[string]any{{"name": "a", "ms": 1.5}, {"name": "gone", "ms": 1}},
	}
	change(m)
	return m
}

func TestMeasurementsAreRead(t *testing.T) {
	n := nettest.Model(1, false).Network
	for _, c := range []struct {
		key   string
		value any
		want  string
	}{
		{"board", "Raspberry Pi 2", "none that the model has: Raspberry Pi 5,"},
		{"kernel", "i8mm", "bench without -kernel"},
		{"threads", 5, "1 to 4"},
		{"macs_per_frame", 12, "of 12 multiply-accumulates"},
		{"p50_ms", 0, "0.00 ms"},
		{"p50_ms", "3", "want what 'edge-classify bench -json' prints"},
		{"board", "Raspberry Pi 5", ""},
	} {
		file := filepath.Join(t.TempDir(), "bench.json")
		data, err := json.Marshal(bench(func(m map[string]any) { m[c.key] = c.value }))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, data, 0o600))
		m, b, err := readMeasured(file, n)
		if c.want != "" {
			require.ErrorContains(t, err, file)
			require.ErrorContains(t, err, c.want)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, 3.5, m.P50Ms)
		require.Equal(t, 2, b.Threads)
		require.InDelta(t, 2.3985, b.GHz, 1e-9, "the clock that was measured")
	}
	_, _, err := readMeasured(filepath.Join(t.TempDir(), "none"), n)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestComparison(t *testing.T) {
	data, err := json.Marshal(bench(func(map[string]any) {}))
	require.NoError(t, err)
	var m measured
	require.NoError(t, json.Unmarshal(data, &m))
	c := m.compare(&prediction{Ms: span{2, 3}, Layers: []layerPredicted{{Name: "a", Ms: span{1, 2}}, {Name: "b", Ms: span{1, 1}}}})
	require.Equal(t, &comparison{Ms: 3.5, Model: span{2, 3}, Layers: []layerComparison{{"a", 1.5, span{1, 2}}}}, c)
	var out bytes.Buffer
	b := boards()[0]
	c.print(&out, b)
	require.Equal(t, `
Pi 5, 4 threads at 2.40 GHz: measured 3.50 ms, model 2.0 to 3.0: 17 % above the range

  layer  measured ms     model ms                  
      a        1.500  1.000-2.000  within the range
`, out.String())
	require.Equal(t, "50 % below the range", span{2, 3}.verdict(1))
	require.True(t, span{2, 3}.contains(3))
}
