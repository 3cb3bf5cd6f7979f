package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// A model tells how many cycles a core takes for instructions in this order,
// with all data in the first cache and all branches predicted.
type model interface {
	cycles(trace []*instruction) (float64, error)
}

// tools are LLVM's programs.
type tools struct{ objdump, mca string }

// find looks for LLVM's programs, with and without a version in their names.
func find() (tools, error) {
	var t tools
	for _, tool := range []struct {
		path *string
		name string
	}{{&t.objdump, "llvm-objdump"}, {&t.mca, "llvm-mca"}} {
		for _, name := range []string{tool.name + "-19", tool.name} {
			if path, err := exec.LookPath(name); err == nil {
				*tool.path = path
				break
			}
		}
		if *tool.path == "" {
			return t, fmt.Errorf("%s is not installed (Debian: apt-get install llvm-19; version 19 gave the figures in the documentation)", tool.name)
		}
	}
	return t, nil
}

// run runs a tool and returns what it prints.
func (t tools) run(path string, input []byte, args ...string) ([]byte, error) {
	command := exec.Command(path, args...)
	command.Stdin = bytes.NewReader(input)
	out, err := command.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("%s: %w: %s", path, err, bytes.TrimSpace(exit.Stderr[:min(len(exit.Stderr), 500)]))
	}
	return out, err
}

// version is the first line of llvm-mca's version that names one.
func (t tools) version() string {
	out, err := t.run(t.mca, nil, "--version")
	if err != nil {
		return "llvm-mca"
	}
	for l := range strings.Lines(string(out)) {
		if _, v, ok := strings.Cut(l, "version "); ok {
			return "llvm-mca " + strings.TrimSpace(v)
		}
	}
	return "llvm-mca"
}

// outOfOrder is a core as LLVM's scheduling tables describe it: llvm-mca
// simulates dispatch, issue to ports, latencies and retirement.
type outOfOrder struct {
	tools
	cpu  string             // such as neoverse-n1
	seen map[string]float64 // cycles of the traces that were simulated, by their text
}

func (o outOfOrder) cycles(trace []*instruction) (float64, error) {
	var text bytes.Buffer
	text.WriteString("target:\n")
	for _, in := range trace {
		text.WriteString(in.name)
		for i, operand := range in.operands {
			if strings.HasPrefix(operand, "0x") {
				operand = "target"
			}
			text.WriteString([]string{" ", ", "}[min(i, 1)] + operand)
		}
		text.WriteByte('\n')
	}
	if cycles, ok := o.seen[text.String()]; ok {
		return cycles, nil
	}
	out, err := o.run(o.mca, text.Bytes(), "-mtriple=aarch64", "-mcpu="+o.cpu, "-mattr=+dotprod,+i8mm",
		"-iterations=1", "-json", "-instruction-info=false", "-resource-pressure=false")
	if err != nil {
		return 0, err
	}
	var report struct {
		CodeRegions []struct {
			SummaryView struct{ TotalCycles float64 }
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return 0, fmt.Errorf("%s: %w", o.mca, err)
	}
	if len(report.CodeRegions) != 1 {
		return 0, fmt.Errorf("%s: %d code regions in its output, want 1", o.mca, len(report.CodeRegions))
	}
	o.seen[text.String()] = report.CodeRegions[0].SummaryView.TotalCycles
	return o.seen[text.String()], nil
}
