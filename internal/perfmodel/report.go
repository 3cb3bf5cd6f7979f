package main

import (
	"fmt"
	"io"
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

func one(t tools, c core, wanted []board, functions map[string]*function, n *int8.Network) (coreReport, error) {
	p := &predictor{core: c, functions: functions, costs: map[any]cost{}, lists: map[listKey][]access{}}
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
	layers, err := p.frames(n, chosen)
	if err != nil {
		return r, err
	}
	for i, b := range chosen {
		r.Boards = append(r.Boards, p.on(b, layers[i]))
	}
	return r, nil
}

// example is a tile of a 1x1 convolution.
func (p *predictor) example(pixels int) tile.Args {
	return tile.Args{
		Panels: 1, Runs: 1, SrcStep: 256, SrcNext: 256 * pixels, SrcRow: 256 * 56,
		DstStep: 256, DstNext: 256 * pixels, ResStep: 256, ResNext: 256 * pixels,
	}
}

func (p *predictor) loops(r *coreReport) error {
	for _, s := range tiles(p.kernel) {
		routine, err := p.tile(s.Function, p.example(s.MR))
		if err != nil {
			return err
		}
		l, err := routine.innerLoop(p.model)
		if err != nil {
			return err
		}
		r.Loops = append(r.Loops, loopLine{s.Function, l, p.speed(float64(l.MACs), l.Cycles)})
	}
	dense, err := p.dense(2048)
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
			a := p.example(s.MR)
			if residual {
				a.Res = unsafe.Pointer(new(byte))
			}
			for _, k := range depths {
				routine, err := p.tile(s.Function, a)
				if err != nil {
					return err
				}
				c, err := routine.cost(p.model, k/p.kernel.KR)
				if err != nil {
					return err
				}
				macs := float64(s.MR * p.kernel.NR * k)
				r.Tiles = append(r.Tiles, tileLine{s.Function, k, residual, c.group, c.call, p.speed(macs, c.group)})
			}
		}
	}
	return nil
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "Static model of %s with %s: nothing here was measured on silicon.\n", r.Program, r.Network)
	for _, c := range r.Cores {
		c.print(w)
	}
	for _, k := range r.Absent {
		fmt.Fprintf(w, "\nThe program has no kernel %s.\n", k)
	}
	fmt.Fprint(w, howToCompare)
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
	for _, b := range r.Boards {
		b.print(w)
	}
}

func (p *prediction) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %.1f to %.1f ms a frame predicted (%.1f at peak), %d x %s at %g GHz\n", p.Name, p.Ms[best], p.Ms[worst], p.Bound, p.Threads, p.Core, p.GHz)
	var levels []string
	for _, l := range p.Levels {
		levels = append(levels, fmt.Sprintf("%d KB", l.KB))
	}
	fmt.Fprintf(w, "assumed: caches of %s; memory %g or %g GB/s, %g ns; %g us for a barrier;\n",
		strings.Join(levels, ", "), p.Stream[best], p.Stream[worst], p.DRAM, p.Barrier)
	fmt.Fprintf(w, "%g cycles of Go for a call, %g for a short copy, %g for a byte of image or pool\n", p.Call, p.Copy, p.Byte)
	m := p.Total
	fmt.Fprintf(w, "simulated: %.0f MB loaded, %.0f MB stored; %.2f M lines not in the first cache, %.0f %% of them in order; %.2f M prefetched;\n",
		m.LoadedMB, m.StoredMB, m.Misses, 100*m.Streams/m.Misses, m.Prefetched)
	fmt.Fprintf(w, "%.2f M not in the second; memory: %.1f MB read, %.1f MB written; waits %.1f to %.1f ms\n\n",
		m.Misses2, m.ReadMB, m.WrittenMB, p.Waits[best], p.Waits[worst])
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "layers\tnumber\tMMACs\tL1 misses k\tL2 misses k\tread MB\twritten MB\twaits ms\tms\t")
	for _, c := range p.Classes {
		fmt.Fprintf(t, "%s\t%d\t%.0f\t%.0f\t%.0f\t%.2f\t%.2f\t%v\t%v\t\n", c.Class, c.Layers, c.MMACs, 1e3*c.Memory.Misses, 1e3*c.Memory.Misses2,
			c.Memory.ReadMB, c.Memory.WrittenMB, c.Waits, c.Ms)
	}
	t.Flush()
}

func (s span) String() string { return fmt.Sprintf("%.2f-%.2f", s[best], s[worst]) }
