//go:build !purego

package arm64

import (
	"reflect"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/kerneltest"
)

func TestKernels(t *testing.T) { kerneltest.Run(t, Kernels()) }

func FuzzKernels(f *testing.F) { kerneltest.Fuzz(f, Kernels()) }

func TestKernelsFitTheCPU(t *testing.T) {
	a53, a72, a76 := Core{MIDR: 0x410fd034, Fast: true}, Core{MIDR: 0x410fd083, Fast: true}, Core{MIDR: 0x414fd0b1, Fast: true}
	slow := a53
	slow.Fast = false
	for _, c := range []struct {
		cpu  CPU
		want []string
	}{
		{CPU{Cores: []Core{a53, a53}}, []string{"neon_a53", "neon"}},
		{CPU{Cores: []Core{a72}}, []string{"neon", "neon_a53"}},
		{CPU{Cores: []Core{slow, a72}}, []string{"neon", "neon_a53"}},
		{CPU{Cores: []Core{{}}}, []string{"neon", "neon_a53"}},
		{CPU{Cores: []Core{a76}, DotProduct: true}, []string{"neondot", "neon", "neon_a53"}},
		{CPU{Cores: []Core{{}}, DotProduct: true, Int8Matrix: true}, []string{"i8mm", "neondot", "neon", "neon_a53"}},
	} {
		var names []string
		for _, k := range kernels(c.cpu) {
			names = append(names, k.Name)
		}
		require.Equal(t, c.want, names, "%v", c.cpu)
	}
}

// The code of a kernel is that which its description names.
func TestDescriptionsNameTheCode(t *testing.T) {
	for _, d := range []Description{I8MM(), NeonDot(), Neon(), NeonA53()} {
		m := micro(d)
		require.Len(t, m.Shapes, len(d.Tiles))
		for i, s := range m.Shapes {
			require.Equal(t, "edgeclassify/arm64."+d.Tiles[i].Function, nameOf(s.Run))
		}
		require.Equal(t, "edgeclassify/arm64."+d.Dense, nameOf(m.Dense))
		require.Equal(t, "edgeclassify/arm64."+d.DenseInt8, nameOf(m.DenseInt8))
		require.Equal(t, "edgeclassify/arm64."+d.Max, nameOf(m.Max))
		require.Equal(t, "edgeclassify/arm64."+d.Depthwise.Function, nameOf(m.Depthwise.Run))
		if w := d.Winograd; w.Multiply != "" {
			require.Equal(t, "edgeclassify/arm64."+w.Input, nameOf(m.Winograd.Input))
			require.Equal(t, "edgeclassify/arm64."+w.Multiply, nameOf(m.Winograd.Multiply))
			require.Equal(t, "edgeclassify/arm64."+w.Output, nameOf(m.Winograd.Output))
		}
		if d.Sums.Function != "" {
			require.Equal(t, "edgeclassify/arm64."+d.Sums.Function, nameOf(m.Sums.Run))
			require.Equal(t, "edgeclassify/arm64."+d.Requantize, nameOf(m.Requantize))
		}
	}
}

func nameOf(function any) string {
	return runtime.FuncForPC(reflect.ValueOf(function).Pointer()).Name()
}
