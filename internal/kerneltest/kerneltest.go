// Package kerneltest tests int8 kernels against the arithmetic contract
// written as plain loops. It calls a kernel's functions directly, on memory
// between inaccessible pages, and compares every byte in reach: the right
// bits, and nothing else touched.
package kerneltest

import (
	"fmt"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
)

// Run tests every kernel on sweeps of geometries and random values. With
// -short it takes a fifth of them.
func Run(t *testing.T, kernels []int8.Kernel) {
	if len(kernels) == 0 {
		t.Skip("this CPU can run none of the kernels")
	}
	for _, k := range kernels {
		t.Run(k.Name, func(t *testing.T) {
			require.NotEmpty(t, k.Name)
			require.Positive(t, k.NR)
			b := newBench(t, k)
			for _, s := range sweeps(k.NR) {
				t.Run("convolution/"+s.name, func(t *testing.T) {
					for i, g := range s.geometries {
						if seed := uint64(i); !thin(i) {
							require.NoError(t, b.convolution(g, seed), "%+v with seed %d", g, seed)
						}
					}
				})
				if s.name == transformed {
					continue // transforms are for int8 tensors alone
				}
				t.Run("int16/"+s.name, func(t *testing.T) {
					for i, g := range s.geometries {
						if seed := uint64(i); !thin(i) {
							require.NoError(t, b.convInt16(g, seed), "%+v with seed %d", g, seed)
						}
					}
				})
			}
			t.Run("dense", func(t *testing.T) { b.sweep(t, b.dense, 400) })
			t.Run("max", func(t *testing.T) { b.sweep(t, b.max, 1000) })
			t.Run("lookup", func(t *testing.T) { b.sweep(t, b.lookup, 1000) })
			t.Run("lookup of channels", func(t *testing.T) { b.sweep(t, b.lookupChannels, 1000) })
			t.Run("mul", func(t *testing.T) { b.sweep(t, b.mul, 2000) })
			t.Run("add", func(t *testing.T) { b.sweep(t, b.add, 2000) })
			t.Run("sum", func(t *testing.T) { b.sweep(t, b.sum, 1000) })
			t.Run("mean", func(t *testing.T) { b.sweep(t, b.mean, 1000) })
		})
	}
}

// thin leaves out test i of a sweep. Five is prime to the sizes of tiles, so
// that every rest of a division by them stays.
func thin(i int) bool { return testing.Short() && i%5 != 0 }

// Fuzz tests every kernel on a geometry made of the fuzzer's numbers.
func Fuzz(f *testing.F, kernels []int8.Kernel) {
	var benches []*bench
	for _, k := range kernels {
		benches = append(benches, newBench(f, k))
	}
	f.Add(uint64(1), byte(2), byte(6), byte(0), byte(0), byte(0), byte(0), byte(0), byte(15), byte(32))
	f.Add(uint64(2), byte(1), byte(8), byte(2), byte(2), byte(1), byte(1), byte(0), byte(4), byte(8))
	f.Add(uint64(3), byte(3), byte(4), byte(2), byte(4), byte(0), byte(2), byte(6), byte(0), byte(0))
	f.Add(uint64(4), byte(2), byte(20), byte(4), byte(4), byte(0), byte(0), byte(39), byte(0), byte(0))
	f.Fuzz(func(t *testing.T, seed uint64, oh, ow, kh, kw, strideH, strideW, groups, in, out byte) {
		g := geometry{
			OH: 1 + int(oh)%8, OW: 1 + int(ow)%64,
			KH: 1 + int(kh)%8, KW: 1 + int(kw)%8, StrideH: 1 + int(strideH)%4, StrideW: 1 + int(strideW)%4,
			Groups: 1 + int(groups)%64, In: 1 + int(in), Out: 1 + int(out),
		}
		if g.products() > 1<<20 {
			t.Skip("too large for the plain loops")
		}
		for _, b := range benches {
			require.NoError(t, b.convolution(g, seed), "kernel %s, %+v with seed %d", b.kernel.Name, g, seed)
			require.NoError(t, b.convInt16(g, seed), "kernel %s, int16, %+v with seed %d", b.kernel.Name, g, seed)
		}
	})
}

// bench is a kernel and the memory that its tests share.
type bench struct {
	kernel int8.Kernel
	flip   int8.Value // what a stored activation is to be XORed with for its value

	src, dst, res, srcLow, dstLow, resLow, weights, scratch region
}

func newBench(t testing.TB, k int8.Kernel) *bench {
	b := &bench{kernel: k}
	if k.Unsigned {
		b.flip = -128
	}
	for _, r := range []*region{&b.src, &b.dst, &b.res, &b.srcLow, &b.dstLow, &b.resLow, &b.weights, &b.scratch} {
		*r = newRegion(t)
	}
	return b
}

// sweep runs a test of one seed for n seeds.
func (b *bench) sweep(t *testing.T, test func(seed uint64) error, n int) {
	for i := range n {
		if seed := uint64(i); !thin(i) {
			require.NoError(t, test(seed), "seed %d", seed)
		}
	}
}

// caught calls f and returns its panic as an error. An access to an
// inaccessible page is one.
func caught(f func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the kernel panicked: %v", r)
		}
	}()
	f()
	return nil
}
