package kerneltest

import (
	"math"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
)

// mutant is the portable kernel with a mistake in its convolution.
type mutant struct {
	int8.Convolution
	run func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64)
}

func (m mutant) Run(t *int8.ConvTask, part int8.Part, scratch []int64) {
	copied := *t
	m.run(m.Convolution, &copied, part, scratch)
}

// beyond reads or writes the byte n bytes behind the start of a slice.
func beyond(s []int8.Value, n int) *int8.Value {
	return (*int8.Value)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(s)), n))
}

func TestMistakesOfConvolutionsAreFound(t *testing.T) {
	var sink int8.Value
	for name, run := range map[string]func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64){
		"bias one too large": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			conv := *t.Conv
			conv.Bias = append([]int32{conv.Bias[0] + 1}, conv.Bias[1:]...)
			t.Conv = &conv
			c.Run(t, part, scratch)
		},
		"source one byte too late": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			t.Src = t.Src[1:]
			c.Run(t, part, scratch)
		},
		"pixels of the source side by side": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			t.SrcStep = t.InC
			c.Run(t, part, scratch)
		},
		"pixels of the residual side by side": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			t.ResStep = t.OutC
			c.Run(t, part, scratch)
		},
		"last byte missing": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			last := (part.Y1-1)*t.DstRow + t.OW*t.OutC - 1
			before := t.Dst[last]
			c.Run(t, part, scratch)
			t.Dst[last] = before
		},
		"channels of other parts": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			part.C1 = t.OutC
			c.Run(t, part, scratch)
		},
		"rows of other parts": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			part.Y0 = 0
			c.Run(t, part, scratch)
		},
		"residual read after the output is stored": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			c.Run(t, part, scratch)
			c.Run(t, part, scratch)
		},
		"gap between rows written": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			c.Run(t, part, scratch)
			if end := (part.Y1-1)*t.DstRow + t.OW*t.OutC; end < len(t.Dst) {
				t.Dst[end]++
			}
		},
		"byte before the output written": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			c.Run(t, part, scratch)
			*beyond(t.Dst, -1)++
		},
		"byte behind the output written": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			c.Run(t, part, scratch)
			*beyond(t.Dst, len(t.Dst))++
		},
		"scratch exceeded": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			c.Run(t, part, scratch)
			*(*int64)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(scratch)), 8*len(scratch))) = 1
		},
		"source changed": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			c.Run(t, part, scratch)
			t.Src[0] ^= 1
		},
		"read before the source": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			sink += *beyond(t.Src, -1)
			c.Run(t, part, scratch)
		},
		"read too far ahead": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			sink += *beyond(t.Src, len(t.Src)+int8.ReadAhead)
			c.Run(t, part, scratch)
		},
		"read behind the residual": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			if t.Res != nil {
				sink += *beyond(t.Res, len(t.Res))
			}
			c.Run(t, part, scratch)
		},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(name, "read") && runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
				t.Skip("reads are caught by inaccessible pages, which the harness makes on Linux and macOS only")
			}
			k := int8.Generic()
			k.Convolution = func(l *int8.Layer) int8.Convolution { return mutant{int8.Generic().Convolution(l), run} }
			b := newBench(t, k)
			found := 0
			for seed := range uint64(100) {
				if b.convolution(geometry{3, 9, 3, 3, 1, 1, 1, 3, 19}, seed) != nil {
					found++
				}
			}
			require.Greater(t, found, 2, "trials of 100 that found it")
		})
	}
}

func TestMistakesOfVectorsAreFound(t *testing.T) {
	good := int8.Generic()
	k := good
	k.Dense = func(d *int8.Dense, dst []int32, src []int16, lo, hi int) {
		good.Dense(d, dst, src, lo, hi)
		dst[hi-1] -= int32(src[d.In-1]) * int32(d.Weight[hi*d.In-1])
	}
	k.Max = func(dst, src []int8.Value, n, count, dstStep, srcStep int) {
		good.Max(dst, src, n-n%2, count, dstStep, srcStep)
	}
	k.Lookup = func(dst, src []int8.Value, table *[256]int8.Value, r int8.Runs) {
		changed := *table
		changed[7]++
		good.Lookup(dst, src, &changed, r)
	}
	k.LookupChannels = func(dst, src []int8.Value, tables []*[256]int8.Value, r int8.Runs) {
		tables[0] = tables[r.Length-1]
		good.LookupChannels(dst, src, tables, r)
	}
	k.Mul = func(dst, x, y []int8.Value, m *int8.Mul, z int8.Zeros, r int8.Runs) {
		z.Dst ^= 1
		good.Mul(dst, x, y, m, z, r)
	}
	k.Add = func(dst, x, y []int8.Value, a *int8.Add, z int8.Zeros, r int8.Runs) {
		r.Length -= r.Length % 2
		good.Add(dst, x, y, a, z, r)
	}
	k.Sum = func(sums []int32, src []int8.Value, count, step int) {
		good.Sum(sums, src, count, step)
		*beyond(src, len(src)) ^= 1
	}
	k.Mean = func(dst []int8.Value, sums []int32, m *int8.Mean, zero int8.Value) {
		sums[0] += 1 << 20
		good.Mean(dst, sums, m, zero)
		sums[0] -= 1 << 20
	}
	b := newBench(t, k)
	for name, test := range map[string]func(seed uint64) error{
		"dense": b.dense, "max": b.max, "lookup": b.lookup, "lookup of channels": b.lookupChannels, "mul": b.mul, "add": b.add, "sum": b.sum, "mean": b.mean,
	} {
		found := 0
		for seed := range uint64(100) {
			if test(seed) != nil {
				found++
			}
		}
		require.Greater(t, found, 10, name)
	}
}

// The trials obey the contract and reach its corners.
func TestTrialsCoverTheContract(t *testing.T) {
	b := newBench(t, int8.Kernel{NR: 32})
	shifts, multipliers, ratios := map[uint8]int{}, map[int32]int{}, map[int32]int{}
	outputs, inPlace, split, gaps := map[int32]int{}, 0, 0, 0
	var accumulators, requantized int64
	for _, s := range sweeps(32) {
		for i, g := range s.geometries {
			trial, err := b.trial(newSource(uint64(i)), g, narrow())
			require.NoError(t, err)
			c := trial.task.Conv
			for o, m := range c.Multiplier {
				require.Positive(t, m)
				reach := 128*magnitude(c.Weight[o*g.depth():][:g.depth()]) + max(int64(c.Bias[o]), -int64(c.Bias[o]))
				v := (reach<<c.Shift*int64(m))>>31 + 1 + 128*int64(c.Residual) + int8.OneOut/2
				require.LessOrEqual(t, reach<<c.Shift, int64(math.MaxInt32), "%s: %+v", s.name, g)
				require.LessOrEqual(t, v, int64(math.MaxInt32), "%s: %+v", s.name, g)
				accumulators, requantized = max(accumulators, reach<<c.Shift), max(requantized, v)
				multipliers[m]++
			}
			shifts[c.Shift]++
			ratios[c.Residual]++
			if c.Residual != 0 && &trial.task.Res[0] == &trial.task.Dst[0] {
				inPlace++
			}
			split += min(len(trial.parts)-1, 1)
			gaps += trial.task.DstRow - g.OW*c.OutC
			if s.name == "values" {
				for _, q := range reference(&trial.task, &trial.out, 0) {
					outputs[q]++
				}
			}
		}
	}
	for shift := range uint8(25) {
		require.NotZero(t, shifts[shift], "shift %d in %v", shift, shifts)
	}
	for _, ratio := range []int32{1, 64, math.MaxInt16} {
		require.NotZero(t, ratios[ratio], "residual ratio %d", ratio)
	}
	require.NotZero(t, multipliers[1])
	require.NotZero(t, multipliers[math.MaxInt32])
	require.Len(t, outputs, 256)
	require.EqualValues(t, math.MaxInt32, accumulators)
	require.EqualValues(t, math.MaxInt32, requantized)
	require.Greater(t, inPlace, 100)
	require.Greater(t, split, 500)
	require.NotZero(t, gaps)
}
