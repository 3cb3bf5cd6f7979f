// Command gotest runs go test, prints what that prints, and ends with what was
// skipped and why, and with how many tests passed, failed and were skipped.
//
//	gotest RUN [-- RUN]...
//
// A RUN is [-need 'PROGRAM: HOW TO INSTALL IT'] [NAME=VALUE]... and arguments of
// go test. Without its program it is skipped as one test, or fails as one where
// the environment variable CI is "true". The exit code is that of the first run
// that fails, and 1 if no test passed at all. The environment variable GO may name
// another go.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

func main() { os.Exit(testAll(split(os.Args[1:]), newSummary(os.Stdout))) }

// run is one call of go test.
type run struct {
	need string   // a program and how to install it, or nothing
	env  []string // NAME=VALUE
	args []string
}

func split(words []string) (runs []run) {
	for len(words) > 0 {
		run, rest := words, []string(nil)
		if end := slices.Index(words, "--"); end >= 0 {
			run, rest = words[:end], words[end+1:]
		}
		if len(run) > 0 {
			runs = append(runs, parse(run))
		}
		words = rest
	}
	return runs
}

var assignment = regexp.MustCompile(`^\w+=`)

func parse(words []string) (r run) {
	if len(words) > 1 && words[0] == "-need" {
		r.need, words = words[1], words[2:]
	}
	n := 0
	for n < len(words) && assignment.MatchString(words[n]) {
		n++
	}
	r.env, r.args = words[:n], words[n:]
	return r
}

func (r run) String() string {
	return strings.Join(slices.Concat(r.env, []string{"go test"}, r.args), " ")
}

// testAll returns the exit code.
func testAll(runs []run, s *summary) (code int) {
	for _, r := range runs {
		fmt.Fprintf(s.out, "== %s\n", r)
		if c := r.test(s); code == 0 {
			code = c
		}
	}
	if code == 0 && s.passed == 0 {
		code = 1
		fmt.Fprintln(s.out, "FAIL: nothing was tested")
	}
	s.print()
	return code
}

// test returns the exit code.
func (r run) test(s *summary) int {
	if program, install, _ := strings.Cut(r.need, ":"); program != "" {
		if _, err := exec.LookPath(program); err != nil {
			return s.missing(r.String(), program+" is missing:"+install)
		}
	}
	cmd := exec.Command(cmp.Or(os.Getenv("GO"), "go"), append([]string{"test", "-json"}, r.args...)...)
	cmd.Env, cmd.Stderr = append(os.Environ(), r.env...), os.Stderr
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return s.fail(err)
	}
	before := s.failed
	err = errors.Join(s.read(events), cmd.Wait())
	if err != nil && s.failed == before { // no test tells of it
		s.fail(err)
	}
	if s.failed == before {
		return 0
	}
	return max(1, cmd.ProcessState.ExitCode())
}
