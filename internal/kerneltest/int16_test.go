package kerneltest

import (
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
)

func TestMistakesOfInt16ConvolutionsAreFound(t *testing.T) {
	var sink int8.Value
	for name, run := range map[string]func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64){
		"low bytes of the source one too late": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			if t.SrcLow != nil {
				t.SrcLow = append(t.SrcLow[1:len(t.SrcLow):len(t.SrcLow)], 0)
			}
			c.Run(t, part, scratch)
		},
		"low bytes of the source left out": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			t.SrcLow = nil
			c.Run(t, part, scratch)
		},
		"low bytes of the residual left out": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			t.ResLow = nil
			c.Run(t, part, scratch)
		},
		"residual one fraction bit too large": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			conv := *t.Conv
			if conv.ResidualShift > 0 {
				conv.ResidualShift--
			}
			t.Conv = &conv
			c.Run(t, part, scratch)
		},
		"last low byte missing": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			if t.DstLow == nil {
				c.Run(t, part, scratch)
				return
			}
			last := (part.Y1-1)*t.DstRow + t.OW*t.OutC - 1
			before := t.DstLow[last]
			c.Run(t, part, scratch)
			t.DstLow[last] = before
		},
		"byte behind the low output written": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			c.Run(t, part, scratch)
			if t.DstLow != nil {
				*beyond(t.DstLow, len(t.DstLow))++
			}
		},
		"low source changed": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			c.Run(t, part, scratch)
			if t.SrcLow != nil {
				t.SrcLow[0] ^= 1
			}
		},
		"read before the low source": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			if t.SrcLow != nil {
				sink += *beyond(t.SrcLow, -1)
			}
			c.Run(t, part, scratch)
		},
		"read behind the low residual": func(c int8.Convolution, t *int8.ConvTask, part int8.Part, scratch []int64) {
			if t.ResLow != nil {
				sink += *beyond(t.ResLow, len(t.ResLow))
			}
			c.Run(t, part, scratch)
		},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(name, "read") && runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
				t.Skip("reads are caught by inaccessible pages, which the harness makes on Linux and macOS only")
			}
			k := int8.Generic()
			k.ConvolutionInt16 = func(l *int8.Layer, in *int8.Tensor) int8.Convolution {
				return mutant{int8.Generic().ConvolutionInt16(l, in), run}
			}
			b := newBench(t, k)
			found := 0
			for seed := range uint64(100) {
				if b.convInt16(geometry{3, 9, 3, 3, 1, 1, 1, 3, 19}, seed) != nil {
					found++
				}
			}
			require.Greater(t, found, 2, "trials of 100 that found it")
		})
	}
}

// The trials obey the contract and reach its corners.
func TestInt16TrialsCoverTheContract(t *testing.T) {
	b := newBench(t, int8.Kernel{NR: 8})
	types, shifts := map[[3]int8.Type]int{}, map[uint8]int{}
	var accumulators, requantized int64
	inputs, outputs, inPlace := map[int32]bool{}, map[int32]bool{}, 0
	for i, g := range values(8) {
		random := newSource(uint64(i))
		trial, err := b.trial(random, g, random.formats())
		require.NoError(t, err)
		c := trial.task.Conv
		residual := int64(0)
		if c.Residual != 0 {
			residual = int64(int8.ScaleResidual(int32(highest(&trial.res)), c.Residual, c.ResidualShift))
			shifts[c.ResidualShift]++
			types[[3]int8.Type{trial.in.Type, trial.res.Type, trial.out.Type}]++
			if len(trial.task.ResLow) > 0 && len(trial.task.DstLow) > 0 && &trial.task.ResLow[0] == &trial.task.DstLow[0] {
				inPlace++
			}
		}
		for o, m := range c.Multiplier {
			reach := highest(&trial.in)*magnitude(c.Weight[o*g.depth():][:g.depth()]) + max(int64(c.Bias[o]), -int64(c.Bias[o]))
			v := (reach<<c.Shift*int64(m))>>31 + 1 + residual + int8.OneOut/2
			require.LessOrEqual(t, reach<<c.Shift, int64(math.MaxInt32), "%+v", g)
			require.LessOrEqual(t, v, int64(math.MaxInt32), "%+v", g)
			accumulators, requantized = max(accumulators, reach<<c.Shift), max(requantized, v)
		}
		if trial.in.Type == int8.Int16 {
			inputs[planes{trial.task.Src, trial.task.SrcLow, 0}.at(0)] = true
		}
		if trial.out.Type == int8.Int16 {
			for _, q := range reference(&trial.task, &trial.out, 0) {
				outputs[q] = true
			}
		}
	}
	require.Len(t, types, 7, "%v", types)
	require.Len(t, shifts, 31, "%v", shifts)
	require.EqualValues(t, math.MaxInt32, accumulators)
	require.EqualValues(t, math.MaxInt32, requantized)
	for _, end := range []int32{math.MaxInt16, -math.MaxInt16} {
		require.True(t, inputs[end], "input %d", end)
		require.True(t, outputs[end], "output %d", end)
	}
	require.Greater(t, len(outputs), 5000, "of 65535")
	require.Greater(t, inPlace, 20)
}

// The stored form is that of package int8.
func TestPlanesAreSplitValues(t *testing.T) {
	p := planes{make([]int8.Value, 1), make([]int8.Value, 1), 0}
	for q := int32(math.MinInt16); q <= math.MaxInt16; q++ {
		p.set(0, q)
		require.Equal(t, q, p.at(0))
		high, low := int8.Split(q)
		require.Equal(t, []int8.Value{high, low}, []int8.Value{p.data[0], p.low[0]})
		require.Equal(t, q, int8.Join(high, low))
	}
}
