package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"edgeclassify/int8"
	"edgeclassify/internal/board"
	"edgeclassify/runtime"
)

// report is what the subcommand bench prints. Speeds are in GMAC/s, 10^9
// multiply-accumulates per second; efficiencies are fractions of the peak.
type report struct {
	Model      string  `json:"model"`
	Network    string  `json:"network"`
	Board      string  `json:"board,omitempty"`
	CPU        string  `json:"cpu"`
	Kernel     string  `json:"kernel"`
	Threads    int     `json:"threads"`
	Frames     int     `json:"frames"`
	LoadMs     float64 `json:"load_ms"`
	MinMs      float64 `json:"min_ms"`
	P50Ms      float64 `json:"p50_ms"`
	P99Ms      float64 `json:"p99_ms"`
	MACs       int64   `json:"macs_per_frame"`
	GMACs      float64 `json:"gmacs"`
	PeakGMACs  float64 `json:"peak_gmacs,omitempty"`
	Efficiency float64 `json:"efficiency,omitempty"`
	// Heap objects; bytes.
	Allocations  uint64        `json:"allocs_per_frame"`
	ArenaBytes   int           `json:"arena_bytes"`
	WeightBytes  int           `json:"weight_bytes"`
	PackedBytes  int64         `json:"packed_bytes"`
	ScratchBytes int           `json:"scratch_bytes"`
	PeakRSS      int64         `json:"peak_rss_bytes,omitempty"`
	Before       conditions    `json:"before"`
	After        conditions    `json:"after"`
	Layers       []layerReport `json:"layers,omitempty"`
}

// layerReport is the median over the frames of the time of one layer or chain.
type layerReport struct {
	Name       string  `json:"name"`
	Op         string  `json:"op"`
	Out        string  `json:"output"`
	Ms         float64 `json:"ms"`
	Share      float64 `json:"share"` // of the sum over the layers
	GMACs      float64 `json:"gmacs,omitempty"`
	Efficiency float64 `json:"efficiency,omitempty"`
}

func newReport(plan *runtime.Plan, m *measurement) *report {
	root, n := os.DirFS("/"), plan.Network()
	cpu := board.ReadProcessor(root)
	r := &report{
		Network: n.Name, Board: board.Model(root), CPU: cpu.String(),
		Kernel: plan.Kernel(), Threads: plan.Threads(), Frames: len(m.frames),
		MinMs: ms(m.frames[0]), P50Ms: ms(percentile(m.frames, 50)), P99Ms: ms(percentile(m.frames, 99)),
		PeakGMACs:   peak(plan.Kernel(), cpu.Core, plan.Threads(), max(m.before.MHz, m.after.MHz)),
		Allocations: m.allocations, ArenaBytes: plan.ArenaBytes(), ScratchBytes: plan.ScratchBytes(), PeakRSS: board.PeakRSS(),
		WeightBytes: plan.WeightBytes(), PackedBytes: plan.PackedBytes(),
		Before: m.before, After: m.after,
	}
	r.MACs = macs(n.Layers)
	r.GMACs, r.Efficiency = r.speed(r.MACs, percentile(m.frames, 50))
	r.addLayers(plan, m.steps)
	return r
}

func macs(layers []int8.Layer) (sum int64) {
	for i := range layers {
		sum += layers[i].MACs()
	}
	return sum
}

// speed is GMAC/s and the fraction of the peak.
func (r *report) speed(macs int64, t time.Duration) (gmacs, efficiency float64) {
	gmacs = float64(macs) / float64(max(t, 1))
	if r.PeakGMACs > 0 {
		efficiency = gmacs / r.PeakGMACs
	}
	return gmacs, efficiency
}

// addLayers adds a row for each step: the image, layers and chains.
func (r *report) addLayers(plan *runtime.Plan, times []time.Duration) {
	n := plan.Network()
	var total time.Duration
	for _, t := range times {
		total += t
	}
	for i, t := range times {
		row := layerReport{Name: plan.Steps()[i], Op: plan.Kind(i), Out: n.Input.Shape.String(), Ms: ms(t), Share: float64(t) / float64(max(total, 1))}
		if layers := plan.Layers(i); len(layers) > 0 {
			row.Out = layers[len(layers)-1].Out.Shape.String()
			row.GMACs, row.Efficiency = r.speed(macs(layers), t)
		}
		r.Layers = append(r.Layers, row)
	}
}

// print writes the report for machines or for people.
func (r *report) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "network\t%s, %.2f GMAC a frame; loaded in %.0f ms\n", r.Network, float64(r.MACs)/1e9, r.LoadMs)
	if r.Board != "" {
		fmt.Fprintf(t, "board\t%s\n", r.Board)
	}
	fmt.Fprintf(t, "CPU\t%s\n", r.CPU)
	fmt.Fprintf(t, "kernel\t%s, %s\n", r.Kernel, count(r.Threads, "thread"))
	fmt.Fprintf(t, "time\tmin %.2f, p50 %.2f, p99 %.2f ms over %s\n", r.MinMs, r.P50Ms, r.P99Ms, count(r.Frames, "frame"))
	fmt.Fprintf(t, "speed\t%.1f GMAC/s, %s\n", r.GMACs, r.ofPeak())
	fmt.Fprintf(t, "memory\tarena %s, threads' work %s, weights %s, packed %s, peak of the process %s; %s a frame\n",
		megabytes(int64(r.ArenaBytes)), megabytes(int64(r.ScratchBytes)), megabytes(int64(r.WeightBytes)), megabytes(r.PackedBytes), megabytes(r.PeakRSS), count(int(r.Allocations), "allocation"))
	fmt.Fprintf(t, "before\t%v\nafter\t%v\n", r.Before, r.After)
	if err := t.Flush(); err != nil {
		return err
	}
	return r.printLayers(w)
}

func (r *report) ofPeak() string {
	if r.PeakGMACs == 0 {
		return "peak of this core not known"
	}
	return fmt.Sprintf("%.1f %% of the peak of %s", 100*r.Efficiency, count(r.Threads, "core"))
}

func (r *report) printLayers(w io.Writer) error {
	if len(r.Layers) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\nms\t%% of total\tGMAC/s\t%% of peak\toutput\top\t  layer\n")
	for _, l := range r.Layers {
		fmt.Fprintf(t, "%.3f\t%.1f\t%s\t%s\t%s\t%s\t  %s\n", l.Ms, 100*l.Share, known(l.GMACs), known(100*l.Efficiency), l.Out, l.Op, l.Name)
	}
	return t.Flush()
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// known is the number, or a dash for zero.
func known(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", v)
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// megabytes is a number of bytes for people; 0 stands for an unknown one.
func megabytes(n int64) string {
	if n == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// String is the conditions in one line.
func (c conditions) String() string {
	return strings.TrimSuffix(fmt.Sprintf("clock %.0f MHz, %v", c.MHz, c.State), ", ")
}
