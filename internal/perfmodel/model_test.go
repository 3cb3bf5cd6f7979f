package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/arm64"
	"edgeclassify/int8"
	"edgeclassify/int8/tile"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/nettest"
	"edgeclassify/internal/testneed"
	"edgeclassify/q8"
)

// assemble makes a function as llvm-objdump would list it.
func assemble(t testing.TB, code ...string) *function {
	var listing strings.Builder
	fmt.Fprintf(&listing, "0000000000001000 <%sf%s>:\n", prefix, suffix)
	for i, c := range code {
		name, operands, _ := strings.Cut(c, " ")
		fmt.Fprintf(&listing, "    %x: 00000000     \t%s\t%s\n", 0x1000+4*i, name, operands)
	}
	functions, err := parseListing([]byte(listing.String()))
	require.NoError(t, err)
	require.Len(t, functions["f"].code, len(code))
	return functions["f"]
}

func TestTraceFollowsLoops(t *testing.T) {
	f := assemble(t,
		"ldr x1, [sp, #0x8]",
		"ldp x2, x3, [sp, #0x10]",
		"ldr q0, [x2], #0x10", // 0x1008
		"sdot v1.4s, v0.16b, v2.4b[3]",
		"subs x1, x1, #0x2",
		"b.ne 0x1008 <edgeclassify/arm64.f.abi0+0x8>",
		"cmp x2, x3",
		"b.eq 0x1024 <edgeclassify/arm64.f.abi0+0x24>",
		"udf #0x0",
		"ret") // 0x1024
	trace, err := f.trace([]uint64{6, 100, 148}, map[uint64]uint8{})
	require.NoError(t, err)
	require.Len(t, trace, 2+3*4+2+1)
	require.Equal(t, 3*16, macs(trace))

	_, err = f.trace([]uint64{6, 100, 149}, map[uint64]uint8{})
	require.NoError(t, err, "an instruction without general registers is passed over")
	_, err = f.trace([]uint64{5, 100, 148}, map[uint64]uint8{})
	require.ErrorContains(t, err, "does not end")
}

func TestTraceRefuses(t *testing.T) {
	for _, c := range []struct{ want, code string }{
		{"depends on data", "ldr x0, [sp, #0x8]; ldr w1, [x0]; cbz w1, 0x1000; ret"},
		{"depends on data", "fcmp s0, s1; b.eq 0x1000; ret"},
		{"does not know", "rbit x0, x1; ret"},
		{"not followed", "bl 0x2000; ret"},
		{"leaves the function", "b 0x2000; ret"},
		{"beyond its end", "mov x0, x1"},
	} {
		_, err := assemble(t, strings.Split(c.code, "; ")...).trace([]uint64{8}, map[uint64]uint8{})
		require.ErrorContains(t, err, c.want, c.code)
	}
}

func TestArithmetic(t *testing.T) {
	for _, c := range []struct {
		code string
		want uint64
	}{
		{"add x0, x1, x2, lsl #3", 7 + 3*8},
		{"sub w0, w2, w1", 0xfffffffc},
		{"sub x0, x2, x1", 0xfffffffffffffffc},
		{"mul x0, x1, x2", 21},
		{"mneg x0, x1, x2", 1<<64 - 21},
		{"madd x0, x1, x2, x1", 28},
		{"msub x0, x1, x2, x1", 1<<64 - 14},
		{"bic x0, x1, #0x2", 5},
		{"lsr x0, x1, #1", 3},
		{"lsl x0, x1, x2", 56},
		{"asr w0, w3, #4", 0xf8000000},
		{"mov x0, #-1", 1<<64 - 1},
		{"neg x0, x1, lsl #1", 1<<64 - 14},
		{"cmp x1, x2; csel x0, x1, x2, gt", 7},
		{"cmp x2, x1; csel x0, x1, x2, hs", 3},
		{"cmp w3, w2; cset x0, lt", 1},
		{"tst x1, #0x8; cset x0, eq", 1},
		{"str w1, [sp, #0x40]; ldrb w0, [sp, #0x40]", 7},
		{"stp x1, x2, [sp, #-0x10]!; ldr x0, [sp, #0x8]", 3},
		{"mov x4, sp; str x2, [x4], #0x10; sub x0, x4, #0; sub x0, x4, x0; add x0, x0, x1", 7},
	} {
		m := &machine{sp: known(stack), memory: map[uint64]uint8{}}
		m.registers[1], m.registers[2], m.registers[3] = known(7), known(3), known(0x80000000)
		for _, in := range assemble(t, strings.Split(c.code, "; ")...).code {
			_, err := m.step(&in)
			require.NoError(t, err, c.code)
		}
		require.Equal(t, known(c.want), m.registers[0], c.code)
	}
}

func TestInOrderRules(t *testing.T) {
	for _, c := range []struct {
		code string
		want float64
		why  string
	}{
		{"smull v0.8h, v1.8b, v2.8b; smull v3.8h, v1.8b, v2.8b; add v4.4s, v5.4s, v6.4s", 3, "one vector instruction a cycle"},
		{"smull v0.8h, v1.8b, v2.8b; ldr x0, [x1]; smull v3.8h, v1.8b, v2.8b; ldr x2, [x1]", 2, "beside it a general load"},
		{"smull v0.8h, v1.8b, v2.8b; ldr d3, [x1]; smull v4.8h, v1.8b, v2.8b", 3, "but no vector load"},
		{"ldr d0, [x1]; mov v2.d[1], x3; ldr d4, [x1]; mov v5.d[1], x3", 2, "a vector load beside an insertion"},
		{"ldr q0, [x1]; add x2, x2, #1; ldr q3, [x1]; add x4, x4, #1", 6, "a long load alone for two cycles"},
		{"ldr x0, [x1]; ldr x2, [x1]", 2, "one access to memory a cycle"},
		{"ldr x0, [x1]; add x2, x0, #1", 4, "3 cycles from load to use"},
		{"add x0, x0, #1; add x1, x1, #1; add x2, x2, #1; add x3, x3, #1", 2, "two integer instructions"},
		{"sadalp v0.4s, v1.8h; sadalp v0.4s, v2.8h", 5, "sums wait for each other"},
		{"smull v0.8h, v1.8b, v2.8b; smull v0.8h, v3.8b, v2.8b", 2, "products do not wait for what they overwrite"},
		{"sqrshrn2 v0.8h, v1.4s, #6; sqrshrn2 v0.8h, v2.4s, #6", 5, "a half is kept"},
	} {
		f := assemble(t, strings.Split(c.code, "; ")...)
		var trace []*instruction
		for i := range f.code {
			trace = append(trace, &f.code[i])
		}
		got, err := inOrder{}.cycles(trace)
		require.NoError(t, err)
		require.Equal(t, c.want, got, c.why)
	}
}

// A loop of steps inside a loop of groups.
func loops(t testing.TB) routine {
	f := assemble(t,
		"ldp x1, x2, [sp, #0x8]",
		"mov x3, x2",          // 0x1004
		"ldr q0, [x0], #0x10", // 0x1008
		"smull v1.8h, v0.8b, v2.8b",
		"sadalp v3.4s, v1.8h",
		"subs x3, x3, #0x1",
		"b.ne 0x1008",
		"sqxtn v3.4h, v3.4s",
		"subs x1, x1, #0x1",
		"b.ne 0x1004",
		"ret")
	return routine{function: f, call: &call{kernel: kernel{groups: count{0, 1}, steps: count{1, 1}, period: 4}, args: make([]uint64, 2)}}
}

func TestLongGroupsAreExtrapolated(t *testing.T) {
	r := loops(t)
	for _, steps := range []int{1, 8, 9, 63, 200} {
		want, err := r.simulate(inOrder{}, steps)
		require.NoError(t, err)
		got, err := r.cost(inOrder{}, steps)
		require.NoError(t, err)
		require.InDelta(t, want.group.cycles, got.group.cycles, 1e-9, "%d steps", steps)
		require.Equal(t, float64(3+5*steps), got.group.instructions+want.call.instructions-got.call.instructions-1, "%d steps", steps)
	}
}

func TestInnerLoop(t *testing.T) {
	l, err := loops(t).innerLoop(inOrder{})
	require.NoError(t, err)
	require.Equal(t, 5, l.Instructions)
	require.Equal(t, 8, l.MACs)
	// Load 2 cycles, its use 4 behind it, the sum 4 later, branch beside it.
	require.Equal(t, 10.0, l.Cycles)
}

// Tiles cover each layer: as many products as the layer has, and for channels
// and pixels that no tile fits, some more.
func TestRecordedTilesCoverTheLayer(t *testing.T) {
	for seed := range uint64(20) {
		for _, k := range []arm64.Description{arm64.I8MM(), arm64.NeonDot(), arm64.Neon(), arm64.NeonA53()} {
			checkCovered(t, nettest.Random(seed), k)
			checkCovered(t, nettest.Operations(2*seed), k) // without int16
			checkCovered(t, nettest.Taught(3*seed+1).Network, k)
			if k.Sums.Function != "" {
				checkCovered(t, nettest.Int16(seed), k)
			}
		}
	}
}

func checkCovered(t *testing.T, n *int8.Network, k arm64.Description) {
	r := newRecorder(k)
	plan, steps, err := r.steps(n, 3, 1)
	require.NoError(t, err)
	next, covered := 0, 0
	for _, step := range steps {
		require.Equal(t, next, step)
		next++
		require.Len(t, r.chunks, len(plan.Parts(step)))
		layers := plan.Layers(step)
		covered += len(layers)
		if len(layers) != 1 {
			continue
		}
		l := &layers[0]
		products, pixels, outputs, rows, maxima := 0, 0, 0, 0, 0
		for _, chunk := range r.chunks {
			for _, c := range chunk.calls {
				groups := c.times()
				products += int(groups) * c.products
				switch c.function {
				case k.Requantize:
					outputs += int(groups * tile.RequantizeVector)
				case k.Depthwise.Function:
					pixels += int(groups * c.steps.of(c.args))
				case k.Dense:
					rows += int(groups * denseRows)
				case k.Max:
					maxima += int(groups)
				}
			}
		}
		switch op := l.Op.(type) {
		case *int8.Conv:
			require.Positive(t, r.packed)
			in := n.Inputs(l)
			halves := 1
			if in[0].Type == int8.Int16 {
				halves = 2
			}
			if op.Depthwise() && !hasInt16(l, in) {
				require.GreaterOrEqual(t, pixels*k.Depthwise.NR, l.Out.Shape.Elements(), "%s, %v, kernel %s", n.Name, l, k.Name)
				break
			}
			require.GreaterOrEqual(t, products, halves*int(l.MACs()), "%s, %v, kernel %s", n.Name, l, k.Name)
			c := l.Out.Shape.C / op.Groups
			if hasInt16(l, in) && c < k.NR { // a single panel, less than which is left to Go
				require.Equal(t, l.Out.Shape.Elements()/c*(c/tile.RequantizeVector*tile.RequantizeVector), outputs, "%s, %v", n.Name, l)
			}
			if !hasInt16(l, in) {
				require.Zero(t, outputs)
			}
		case *int8.MaxPool:
			if l.Out.Type == int8.Int8 && l.Out.Shape.C >= tile.Vector {
				require.Positive(t, maxima)
			}
		case *int8.Dense:
			if op.In >= tile.Vector {
				require.Equal(t, op.Out, rows)
			}
		}
	}
	require.Equal(t, len(n.Layers), covered)
}

func TestCoresAreKnown(t *testing.T) {
	names := map[string]bool{}
	for _, c := range modelled() {
		require.Positive(t, c.peak(), c.name)
		names[c.name] = true
	}
	for _, b := range boards() {
		require.True(t, names[b.Core], b.Name)
	}
}

// work is chunks of so many cycles.
func work(cycles ...float64) (chunks [][]op) {
	for _, c := range cycles {
		chunks = append(chunks, []op{{cycles: span{c, c}}})
	}
	return chunks
}

func TestThreadsTakeChunksFromEachOther(t *testing.T) {
	for _, c := range []struct {
		chunks  []float64
		threads int
		want    float64
	}{
		{[]float64{1, 2, 3}, 1, 6},
		{[]float64{1, 1, 1, 1}, 2, 2},
		{[]float64{9, 1, 1, 1, 1, 1, 1, 1}, 2, 9},  // the first thread's others are taken
		{[]float64{1, 1, 1, 1, 1, 1, 1, 9}, 2, 12}, // nobody can help with the last
		{[]float64{5}, 4, 5},
	} {
		b := boards()[0]
		b.Threads = c.threads
		cycles, waited, _ := newSimulation(b, modelled()[0], best).step(work(c.chunks...))
		require.Equal(t, c.want, cycles, "%v", c.chunks)
		require.Zero(t, waited)
	}
}

// The whole program, on the kernels as they are.
func TestReport(t *testing.T) {
	goTool := testneed.Program(t, "go", "see https://go.dev/dl")
	if _, err := find(); err != nil {
		testneed.Missing(t, "%v", err)
	}
	program := filepath.Join(t.TempDir(), "edge-classify")
	build := exec.Command(goTool, "build", "-o", program, "edgeclassify/cmd/edge-classify")
	build.Env = append(build.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	network := filepath.Join(t.TempDir(), "network.q8")
	require.NoError(t, q8.Write(network, nettest.Model(1, false)))

	var stdout, stderr bytes.Buffer
	code := cli.Run(t.Context(), "perfmodel", []string{"-program", program, "-model", network, "-core", "A76"},
		cli.Streams{Out: &stdout, Err: &stderr}, run)
	require.Equal(t, cli.ExitOK, code, "%s", &stderr)
	require.Contains(t, stdout.String(), "nothing here was measured on silicon")
	require.Contains(t, stdout.String(), "Pi 5, model-1: ")
}
