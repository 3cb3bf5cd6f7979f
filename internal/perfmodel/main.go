// Command perfmodel predicts the speed of the arm64 kernels from the program
// as built, without a board: see usage.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"

	"edgeclassify/int8"
	"edgeclassify/internal/cli"
	"edgeclassify/q8"
)

const usage = `Usage: perfmodel [flags]

A static model of the arm64 kernels' speed: nothing is measured on silicon.

The assembly is disassembled from the program as built. Its control flow is
followed for the arguments that the driver passes for each layer of the model,
and the instructions go, in the order in which they would be executed, through
llvm-mca (neoverse-n1 stands for the Cortex-A76, from which it derives) or
through an in-order model of the Cortex-A53: cycles with all data near. All that
they load, store and prefetch goes, call by call, through a simulation of each
board's caches and memory with its four cores, which adds what these wait.

A board's time is a range. Its lower end takes the model's cycles, and memory at
its best; the upper end takes products at the best rate that was published for
a kernel on that core, other assembly at that share of its speed, and memory at its
worst. Cycles of Go code are assumed. The output lists what it assumes.
Not simulated: write streaming, TLBs, other programs, heat.

Needs llvm-objdump and llvm-mca (Debian: apt-get install llvm-19).`

func main() { os.Exit(cli.Main("perfmodel", run)) }

// coreReport is one core's part of the report.
type coreReport struct {
	Core   string        `json:"core"`
	Kernel string        `json:"kernel"`
	Model  string        `json:"model"`
	Peak   float64       `json:"peak_mac_per_cycle"`
	Loops  []loopLine    `json:"inner_loops"`
	Tiles  []tileLine    `json:"tiles"`
	Boards []boardReport `json:"boards,omitempty"`
}

// boardReport is a network's frame on a board.
type boardReport struct {
	Network string `json:"network"`
	prediction
}

type report struct {
	What    string       `json:"what"`
	Program string       `json:"program"`
	Cores   []coreReport `json:"cores"`
	Absent  []string     `json:"absent_kernels,omitempty"` // not in the program
	// Compared is the prediction beside what -compare names.
	Compared *comparison `json:"compared,omitempty"`
}

func run(_ context.Context, args []string, s cli.Streams) error {
	f := cli.Flags("perfmodel", usage, s)
	program := f.String("program", "bin/edge-classify-arm64", "the program, a `FILE`")
	var files []string
	f.Func("model", "a quantized network, a `FILE`, build/resnet50.q8 without; given again, all of them in a table", func(file string) error {
		files = append(files, file)
		return nil
	})
	only := f.String("core", "", "report on the core `NAME` only, such as A76")
	perLayer := f.Bool("layers", false, "print each layer, too")
	asJSON := f.Bool("json", false, "print JSON")
	compare := f.String("compare", "", "compare with a board's time, a `FILE` that edge-classify bench -json wrote, best with -layers")
	if rest, err := cli.Parse(f, args); err != nil {
		return err
	} else if len(rest) > 0 {
		return cli.Usagef("unexpected argument %q", rest[0])
	} else if *only != "" && *compare != "" {
		return cli.Usagef("-core and -compare exclude each other: the measurement says which core it is of")
	} else if len(files) > 1 && *compare != "" {
		return cli.Usagef("-compare is for one -model")
	}
	if files == nil {
		files = []string{"build/resnet50.q8"}
	}
	t, err := find()
	if err != nil {
		return err
	}
	functions, err := disassemble(t, *program)
	if err != nil {
		return err
	}
	var networks []*int8.Network
	for _, file := range files {
		m, err := q8.Open(file)
		if err != nil {
			return err
		}
		defer m.Close()
		networks = append(networks, m.Network)
	}
	wanted, asked := boards(), *only
	var told *measured
	if *compare != "" {
		var b board
		if told, b, err = readMeasured(*compare, networks[0]); err != nil {
			return err
		}
		wanted, asked = []board{b}, b.Core
	}
	r := report{What: "static model, not measured on silicon", Program: *program}
	cores, err := r.choose(asked, functions)
	if err != nil {
		return err
	}
	if r.Cores, err = all(t, cores, wanted, functions, networks); err != nil {
		return err
	}
	if told != nil && len(r.Cores) > 0 {
		r.Compared = told.compare(&r.Cores[0].Boards[0].prediction)
	}
	if *asJSON {
		e := json.NewEncoder(s.Out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	if told != nil && r.Compared != nil {
		r.Compared.print(s.Out, wanted[0])
		return nil
	}
	r.print(s.Out, len(files) == 1, *perLayer)
	return nil
}

// choose returns the wanted cores, an empty name meaning all, and notes those
// whose kernel is not in the program.
func (r *report) choose(name string, functions map[string]*function) ([]core, error) {
	var chosen []core
	var names []string
	for _, c := range modelled() {
		names = append(names, c.name)
		switch {
		case name != "" && c.name != name:
		case functions[c.kernel.Tiles[0].Function] == nil:
			r.Absent = append(r.Absent, c.kernel.Name)
		default:
			chosen = append(chosen, c)
		}
	}
	if len(chosen)+len(r.Absent) == 0 {
		return nil, cli.Usagef("unknown core %q; the model has %s", name, strings.Join(names, ", "))
	}
	return chosen, nil
}

// all reports on each core, at the same time.
func all(t tools, cores []core, wanted []board, functions map[string]*function, networks []*int8.Network) ([]coreReport, error) {
	reports, errs := make([]coreReport, len(cores)), make([]error, len(cores))
	var group sync.WaitGroup
	for i, c := range cores {
		group.Go(func() { reports[i], errs[i] = one(t, c, wanted, functions, networks) })
	}
	group.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("%s on %s: %w", cores[i].kernel.Name, cores[i].name, err)
		}
	}
	return reports, nil
}
