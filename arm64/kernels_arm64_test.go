//go:build !purego

package arm64

import (
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
