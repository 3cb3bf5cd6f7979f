package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"edgeclassify/int8"
	"edgeclassify/internal/cli"
	"edgeclassify/labels"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/report"
	"edgeclassify/runtime"
	"edgeclassify/tensor"
)

const inspectUsage = `Usage: quantize inspect FILE.q8 [flags]

Shows what a model file holds: where it comes from, its layers with their
quantization, and with -plan how the runtime lays its tensors out in memory and
which layers it computes together, in chains.

With -json: name, sha256, file_bytes, weight_bytes, arena_bytes,
arena_lower_bound, scratch_bytes, macs, classes, activation, preprocess, provenance, selftest and
layers.`

func inspectCommand(_ context.Context, args []string, s cli.Streams) error {
	f := cli.Flags("quantize inspect", inspectUsage, s)
	asJSON := f.Bool("json", false, "print one JSON object")
	plan := f.Bool("plan", false, "draw the execution plan and its memory map")
	threads := f.Int("threads", 4, "plan for `N` threads")
	rest, err := cli.Parse(f, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return cli.Usagef("want one model file, not %d", len(rest))
	}
	if *threads < 1 || *threads > runtime.MaxThreads {
		return cli.Usagef("-threads %d: want 1 to %d", *threads, runtime.MaxThreads)
	}
	model, err := q8.Open(rest[0])
	if err != nil {
		return err
	}
	defer model.Close()
	p, err := runtime.Compile(model.Network, runtime.Options{Threads: *threads})
	if err != nil {
		return fmt.Errorf("%s: %w", rest[0], err)
	}
	r := inspect(model, p)
	switch {
	case *asJSON:
		e := json.NewEncoder(s.Out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case *plan:
		return p.WriteDiagram(s.Out)
	default:
		return r.print(s.Out)
	}
}

type inspection struct {
	Name string `json:"name"`
	report.Size
	ScratchBytes int `json:"scratch_bytes"` // of all threads
	Classes      int `json:"classes"`
	// Activation is that behind the logits.
	Activation labels.Activation `json:"activation"`
	Preprocess preprocess.Spec   `json:"preprocess"`
	Provenance q8.Provenance     `json:"provenance"`
	SelfTest   *q8.SelfTest      `json:"selftest,omitempty"`
	Layers     []layerInfo       `json:"layers"`

	labels      []labels.Class
	independent bool
}

type layerInfo struct {
	Name        string       `json:"name"`
	Op          string       `json:"op"`
	Inputs      []string     `json:"inputs"`
	Output      tensor.Shape `json:"output"`
	Type        int8.Type    `json:"type"`
	Scale       float32      `json:"scale"`
	Zero        *int         `json:"zero,omitempty"`
	Limits      []int32      `json:"limits,omitempty"` // of an int16 activation: least and greatest
	MACs        int64        `json:"macs"`
	WeightBytes int          `json:"weight_bytes"`
	// The residual's ratio to the output is Residual / 64 / 2^ResidualShift.
	Residual      int32 `json:"residual,omitempty"`
	ResidualShift uint8 `json:"residual_shift,omitempty"`
}

func inspect(m *q8.File, p *runtime.Plan) inspection {
	n := m.Model
	r := inspection{
		Name: n.Name, Size: report.SizeOf(p), ScratchBytes: p.ScratchBytes(), Classes: len(n.Classes), Activation: n.Activation,
		labels: n.Classes, independent: n.Independent(), Preprocess: n.Preprocess, Provenance: n.Provenance, SelfTest: n.SelfTest,
	}
	r.SHA256, r.FileBytes = m.SHA256, m.Size
	for i := range n.Layers {
		l := &n.Layers[i]
		info := layerInfo{
			Name: l.Name, Op: l.Op.Kind(), Inputs: n.Topology().Names(l.Inputs), Output: l.Out.Shape, Type: l.Out.Type,
			Scale: l.Out.Scale, MACs: l.MACs(), WeightBytes: l.WeightBytes(),
		}
		if len(l.Out.Zero) == 1 {
			zero := int(l.Out.Zero[0])
			info.Zero = &zero
		}
		if l.Out.Type == int8.Int16 && l.Activation() {
			low, high := l.Out.Limits()
			info.Limits = []int32{low, high}
		}
		if conv, ok := l.Op.(*int8.Conv); ok {
			info.Residual, info.ResidualShift = conv.Residual, conv.ResidualShift
		}
		r.Layers = append(r.Layers, info)
	}
	return r
}

func (r inspection) describeLabels() string {
	text := fmt.Sprintf("%s to %s, by %s", r.labels[0].Name, r.labels[len(r.labels)-1].Name, r.Activation)
	if r.independent {
		text += ": none or several in a picture"
	}
	if labels.Numbered(r.labels) {
		text += "; 'quantize label' gives them names"
	}
	return text
}

func (r inspection) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "network\t%s, %d layers, %d classes, %.2f GMAC\n", r.Name, len(r.Layers), r.Classes, float64(r.MACs)/1e9)
	fmt.Fprintf(t, "labels\t%s\n", r.describeLabels())
	fmt.Fprintf(t, "file\t%d bytes, SHA-256 %s\n", r.FileBytes, r.SHA256)
	fmt.Fprintf(t, "memory\tweights %d bytes, arena %d bytes (lower bound %d), threads' work %d bytes\n", r.WeightBytes, r.ArenaBytes, r.ArenaLowerBound, r.ScratchBytes)
	fmt.Fprintf(t, "input\tresize %v, crop %v, %s, order %s, mean %v, std %v\n",
		r.Preprocess.Resize, r.Preprocess.Crop, r.Preprocess.Filter, r.Preprocess.Order, r.Preprocess.Mean, r.Preprocess.Std)
	fmt.Fprintf(t, "source\t%s, SHA-256 %s\n", r.Provenance.Source, r.Provenance.SourceHash)
	how := "ranges"
	if r.Provenance.Base != "" {
		fmt.Fprintf(t, "base\tmodel file of SHA-256 %s\n", r.Provenance.Base)
		how = "taught"
	}
	fmt.Fprintf(t, "made by\t%s, %s by %s from %d pictures, seed %d\n", r.Provenance.Tool, how, r.Provenance.Method, r.Provenance.Images, r.Provenance.Seed)
	if r.SelfTest != nil {
		fmt.Fprintf(t, "self-test\tpicture %d gives logits of SHA-256 %s\n", r.SelfTest.Seed, r.SelfTest.LogitsSHA256)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "layer\top\toutput\ttype\tscale\tzero or limits\tMMAC\tweights\tresidual")
	for _, l := range r.Layers {
		zero, residual := "", ""
		if l.Zero != nil {
			zero = fmt.Sprint(*l.Zero)
		}
		if l.Limits != nil {
			zero = fmt.Sprintf("%d..%d", l.Limits[0], l.Limits[1])
		}
		if l.Residual != 0 {
			residual = fmt.Sprintf("%s * %d/%d", l.Inputs[1], l.Residual, int64(int8.OneOut)<<l.ResidualShift)
		}
		fmt.Fprintf(t, "%s\t%s\t%v\t%s\t%.6g\t%s\t%.1f\t%d\t%s\n",
			l.Name, l.Op, l.Output, l.Type, l.Scale, zero, float64(l.MACs)/1e6, l.WeightBytes, residual)
	}
	return t.Flush()
}
