package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// summary counts tests over all runs. One that passes with subtests counts as
// those alone: they may all have been skipped.
type summary struct {
	out            io.Writer
	passed, failed int
	skipped        map[string][]string // tests by the reason why
	packages       map[string]*tested  // that have not ended
}

// tested is a package under test.
type tested struct {
	output []string // its own, by line
	tests  []*test  // in order of their begin, without those that passed or were skipped

	parents map[string]bool // tests with subtests
}

type test struct {
	name   string
	output []string // by line
	ended  bool
}

// event is a line of go test -json (go doc test2json).
type event struct{ Action, Package, Test, Output string }

func newSummary(out io.Writer) *summary {
	return &summary{out: out, skipped: map[string][]string{}, packages: map[string]*tested{}}
}

// read takes the events of a go test and prints other lines.
func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		if json.Unmarshal(line, &e) == nil {
			s.take(e)
		} else {
			fmt.Fprintf(s.out, "%s", line)
		}
		if err != nil {
			for _, path := range slices.Sorted(maps.Keys(s.packages)) {
				s.end(path, "fail") // go test was killed
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

func (s *summary) take(e event) {
	if e.Action == "build-output" {
		fmt.Fprint(s.out, e.Output)
	}
	if e.Package == "" {
		return
	}
	p := s.packages[e.Package]
	if p == nil {
		p = &tested{parents: map[string]bool{}}
		s.packages[e.Package] = p
	}
	switch {
	case e.Action == "output" && e.Test == "":
		p.output = append(p.output, e.Output)
	case e.Action == "run" || e.Action == "output":
		if i := strings.LastIndex(e.Test, "/"); i > 0 {
			p.parents[e.Test[:i]] = true
		}
		p.test(e.Test).write(e.Output)
	case e.Action != "pass" && e.Action != "fail" && e.Action != "skip":
	case e.Test == "":
		s.end(e.Package, e.Action)
	case e.Action == "fail":
		p.test(e.Test).ended = true
	case e.Action == "pass":
		if !p.parents[e.Test] {
			s.passed++
		}
		p.remove(e.Test)
	case e.Action == "skip":
		why := reason(p.test(e.Test).output)
		s.skipped[why] = append(s.skipped[why], e.Package+"."+e.Test)
		p.remove(e.Test)
	}
}

func (p *tested) test(name string) *test {
	i := slices.IndexFunc(p.tests, func(t *test) bool { return t.name == name })
	if i < 0 {
		i, p.tests = len(p.tests), append(p.tests, &test{name: name})
	}
	return p.tests[i]
}

func (p *tested) remove(name string) {
	p.tests = slices.DeleteFunc(p.tests, func(t *test) bool { return t.name == name })
}

// write leaves out what go test prints with -v alone.
func (t *test) write(line string) {
	if line != "" && !strings.HasPrefix(line, "=== ") {
		t.output = append(t.output, line)
	}
}

// end prints the result of a package. If that failed, so did every test that
// has not ended; without one it fails for itself, as where it does not build.
func (s *summary) end(path, result string) {
	p := s.packages[path]
	delete(s.packages, path)
	if result != "fail" {
		p.output = p.output[max(0, len(p.output)-1):]
	} else {
		s.failed += max(1, len(p.tests))
	}
	for _, t := range p.tests {
		if !t.ended {
			fmt.Fprintf(s.out, "--- FAIL: %s did not end\n", t.name)
		}
		fmt.Fprint(s.out, strings.Join(t.output, ""))
	}
	fmt.Fprint(s.out, strings.Join(p.output, ""))
}

// entry begins what a test logs: the place in its file.
var entry = regexp.MustCompile(`^\s*\S+\.go:\d+: `)

// reason is the last entry of a skipped test's log, in one line.
func reason(log []string) string {
	var words []string
	for _, line := range log {
		if place := entry.FindString(line); place != "" {
			words, line = nil, line[len(place):]
		}
		if !strings.HasPrefix(strings.TrimSpace(line), "--- SKIP") {
			words = append(words, strings.Fields(line)...)
		}
	}
	return cmp.Or(strings.Join(words, " "), "no reason given")
}

// missing counts a run without its program, and returns its exit code.
func (s *summary) missing(run, why string) int {
	if os.Getenv("CI") == "true" {
		return s.fail(errors.New(why))
	}
	s.skipped[why] = append(s.skipped[why], run)
	return 0
}

// fail counts a run that failed as a whole, and returns its exit code.
func (s *summary) fail(err error) int {
	fmt.Fprintln(s.out, "FAIL:", err)
	s.failed++
	return 1
}

// print ends with a line of counts.
func (s *summary) print() {
	skipped := 0
	for _, why := range slices.Sorted(maps.Keys(s.skipped)) {
		tests := s.skipped[why]
		skipped += len(tests)
		fmt.Fprintf(s.out, "%d skipped: %s\n", len(tests), why)
		for _, name := range slices.Compact(slices.Sorted(slices.Values(tests))) {
			fmt.Fprintf(s.out, "\t%s\n", name)
		}
	}
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, skipped)
}
