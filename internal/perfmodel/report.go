package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unsafe"

	"edgeclassify/int8"
	"edgeclassify/int8/tile"
)

// loopLine is an inner loop's speed.
type loopLine struct {
	Function string `json:"function"`
	loop
	speed
}

// tileLine is the speed of a whole tile between others of its row: loading of
// biases, products, requantization and stores.
type tileLine struct {
	Function string  `json:"function"`
	K        int     `json:"k"`
	Residual bool    `json:"residual"`
	Cycles   float64 `json:"cycles"`
	Call     float64 `json:"cycles_per_call"`
	speed
}

type speed struct {
	PerCycle float64 `json:"mac_per_cycle"`
	Percent  float64 `json:"percent_of_peak"`
}

func (c core) speed(macs, cycles float64) speed {
	return speed{macs / cycles, 100 * macs / cycles / c.peak()}
}

// depths are the values of a window for which tiles are shown: the smallest
// and other frequent ones of ResNet50.
var depths = []int{64, 128, 256, 512, 1024, 2048}

func one(t tools, c core, wanted []board, functions map[string]*function, networks []*int8.Network) (coreReport, error) {
	p := &predictor{core: c, functions: functions, costs: map[listKey]cost{}, lists: map[listKey][]access{}}
	r := coreReport{Core: c.name, Kernel: c.kernel.Name, Peak: c.peak()}
	if p.model, r.Model = model(inOrder{}), "in-order model"; c.cpu != "" {
		p.model, r.Model = outOfOrder{t, c.cpu, map[string]float64{}}, t.version()+" "+c.cpu
	}
	if err := p.loops(&r); err != nil {
		return r, err
	}
	if err := p.tileLines(&r); err != nil {
		return r, err
	}
	var chosen []board
	for _, b := range wanted {
		if b.Core == c.name {
			chosen = append(chosen, b)
		}
	}
	if len(chosen) == 0 {
		return r, nil
	}
	for _, n := range networks {
		layers, kernels, err := p.frames(n, chosen)
		if err != nil {
			return r, fmt.Errorf("%s: %w", n.Name, err)
		}
		for i, b := range chosen {
			r.Boards = append(r.Boards, boardReport{n.Name, p.on(b, layers[i], kernels)})
		}
	}
	return r, nil
}

// example is a tile of a 1x1 convolution.
func (p *predictor) example(pixels, steps int) tile.Args {
	return tile.Args{
		Panels: 1, Tiles: 1, Runs: 1, Steps: steps, SrcStep: 256, SrcNext: 256 * pixels, SrcRow: 256 * 56,
		DstStep: 256, DstNext: 256 * pixels, ResStep: 256, ResNext: 256 * pixels,
	}
}

func (p *predictor) loops(r *coreReport) error {
	for _, s := range tiles(p.kernel) {
		routine, err := p.routine(tileCall(s, p.kernel.NR, p.kernel.KR, p.example(s.MR, 1)))
		if err != nil {
			return err
		}
		l, err := routine.innerLoop(p.model)
		if err != nil {
			return err
		}
		r.Loops = append(r.Loops, loopLine{s.Function, l, p.speed(float64(l.MACs), l.Cycles)})
	}
	dense, err := p.routine(newCall(denseKernel(p.kernel.Dense), tile.DenseArgs{Rows: denseRows, Length: 2048, Stride: 2048}))
	if err != nil {
		return err
	}
	l, err := dense.innerLoop(p.model)
	r.Loops = append(r.Loops, loopLine{dense.name, l, p.speed(float64(l.MACs), l.Cycles)})
	return err
}

func (p *predictor) tileLines(r *coreReport) error {
	for _, s := range tiles(p.kernel) {
		for _, residual := range []bool{false, true} {
			if residual && s == p.kernel.Sums {
				continue // sums are stored without
			}
			for _, k := range depths {
				a := p.example(s.MR, k/p.kernel.KR)
				if residual {
					a.Res = unsafe.Pointer(new(byte))
				}
				routine, err := p.routine(tileCall(s, p.kernel.NR, p.kernel.KR, a))
				if err != nil {
					return err
				}
				c, err := p.cost(routine)
				if err != nil {
					return err
				}
				macs := float64(s.MR * p.kernel.NR * k)
				r.Tiles = append(r.Tiles, tileLine{s.Function, k, residual, c.group.cycles, c.call.cycles, p.speed(macs, c.group.cycles)})
			}
		}
	}
	return nil
}

// print prints all of a single network, else a table; and each layer if asked for.
func (r *report) print(w io.Writer, single, layers bool) {
	fmt.Fprintf(w, "Static model of %s: nothing here was measured on silicon.\n", r.Program)
	for _, c := range r.Cores {
		c.print(w)
		for i := range c.Boards {
			if single || layers {
				c.Boards[i].print(w, layers)
			}
		}
	}
	for _, k := range r.Absent {
		fmt.Fprintf(w, "\nThe program has no kernel %s.\n", k)
	}
	if !single {
		r.table(w)
	}
	fmt.Fprint(w, howToCompare)
}

// table prints each network's frame on the boards.
func (r *report) table(w io.Writer) {
	var networks, names []string
	cells := map[[2]string]string{}
	for _, c := range r.Cores {
		for _, b := range c.Boards {
			if !slices.Contains(networks, b.Network) {
				networks = append(networks, b.Network)
			}
			if !slices.Contains(names, b.Name) {
				names = append(names, b.Name)
			}
			cells[[2]string{b.Network, b.Name}] = b.Ms.String()
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\nms a frame\t%s\t\n", strings.Join(names, "\t"))
	for _, n := range networks {
		fmt.Fprint(t, n, "\t")
		for _, b := range names {
			fmt.Fprint(t, cells[[2]string{n, b}], "\t")
		}
		fmt.Fprintln(t)
	}
	t.Flush()
}

func (r *coreReport) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s, kernel %s, by %s; peak %g MAC/cycle\n\n", r.Core, r.Kernel, r.Model, r.Peak)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "inner loop\tinstructions\tMACs\tcycles\tMAC/cycle\t% of peak\t")
	for _, l := range r.Loops {
		fmt.Fprintf(t, "%s\t%d\t%d\t%.1f\t%.2f\t%.1f\t\n", l.Function, l.Instructions, l.MACs, l.Cycles, l.PerCycle, l.Percent)
	}
	t.Flush()
	fmt.Fprintln(t, "\ntile\tK\tresidual\tcycles\tMAC/cycle\t% of peak\tcycles a call\t")
	for _, l := range r.Tiles {
		residual := map[bool]string{true: "yes", false: "no"}[l.Residual]
		fmt.Fprintf(t, "%s\t%d\t%s\t%.1f\t%.2f\t%.1f\t%.0f\t\n", l.Function, l.K, residual, l.Cycles, l.PerCycle, l.Percent, l.Call)
	}
	t.Flush()
}

func (p *boardReport) print(w io.Writer, layers bool) {
	fmt.Fprintf(w, "\n%s, %s: %.1f to %.1f ms a frame predicted (%.1f at peak), %d x %s at %g GHz\n",
		p.Name, p.Network, p.Ms[best], p.Ms[worst], p.Bound, p.Threads, p.Core, p.GHz)
	var levels []string
	for _, l := range p.Levels {
		levels = append(levels, fmt.Sprintf("%d KB", l.KB))
	}
	fmt.Fprintf(w, "assumed: caches of %s; memory %g or %g GB/s, %g ns; %g us for a barrier;\n",
		strings.Join(levels, ", "), p.Stream[best], p.Stream[worst], p.DRAM, p.Barrier)
	fmt.Fprintf(w, "%g cycles of Go for a row of tiles, %g for a short copy, %g for a byte of the image and of what no kernel does\n", p.Call, p.Copy, p.Byte)
	m := p.Total
	fmt.Fprintf(w, "simulated: %.0f MB loaded, %.0f MB stored; %.2f M lines not in the first cache, %.0f %% of them in order; %.2f M prefetched;\n",
		m.LoadedMB, m.StoredMB, m.Misses, 100*m.Streams/m.Misses, m.Prefetched)
	fmt.Fprintf(w, "%.2f M not in the second; memory: %.1f MB read, %.1f MB written; waits %.1f to %.1f ms\n\n",
		m.Misses2, m.ReadMB, m.WrittenMB, p.Waits[best], p.Waits[worst])
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	perCycle := func(mmacs float64, ms span) float64 { return mmacs / ms[best] / p.GHz / float64(p.Threads) }
	fmt.Fprintln(t, "layers\tnumber\tMMACs\tMAC/cycle\tL1 misses k\tL2 misses k\tread MB\twritten MB\twaits ms\tms\t")
	for _, c := range p.Classes {
		fmt.Fprintf(t, "%s\t%d\t%.0f\t%.1f\t%.0f\t%.0f\t%.2f\t%.2f\t%v\t%v\t\n", c.Class, c.Layers, c.MMACs, perCycle(c.MMACs, c.Ms),
			1e3*c.Memory.Misses, 1e3*c.Memory.Misses2, c.Memory.ReadMB, c.Memory.WrittenMB, c.Waits, c.Ms)
	}
	t.Flush()
	fmt.Fprintln(t, "\nkernel\tcalls\tM instructions\tM cycles\tms of all cores\t")
	for _, k := range p.Kernels {
		var ms span
		for s := range ms {
			ms[s] = k.Cycles[s] / p.GHz / float64(p.Threads)
		}
		fmt.Fprintf(t, "%s\t%d\t%.2f\t%v\t%v\t\n", k.Function, k.Calls, k.Instructions, k.Cycles, ms)
	}
	t.Flush()
	if !layers {
		return
	}
	fmt.Fprintln(t, "\nlayer\tkind\tMMACs\tMAC/cycle\twaits ms\tms\t")
	for _, l := range p.Layers {
		fmt.Fprintf(t, "%s\t%s\t%.1f\t%.1f\t%v\t%v\t\n", l.Name, l.Class, l.MMACs, perCycle(l.MMACs, l.Ms), l.Waits, l.Ms)
	}
	t.Flush()
}

func (s span) String() string { return fmt.Sprintf("%.2f-%.2f", s[best], s[worst]) }
