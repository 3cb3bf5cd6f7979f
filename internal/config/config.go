// Package config reads a program's flags from a file:
//
//	# A comment has its own line.
//	model  = /var/lib/edge-classify/resnet50.q8
//	camera = auto
//	json   = true
//
// Keys are the names of flags, without the hyphen. A value is the rest of its
// line, without the space around it; there are no quotes and no escapes. A key
// may be repeated where its flag may be.
package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"

	"edgeclassify/internal/cli"
)

// maxBytes is far above any configuration, and far below a model given by
// mistake.
const maxBytes = 1 << 20

// Apply sets the flags that the file at path names. Call it after f.Parse:
// flags of the command line override the file, and those that may be repeated
// replace the file's list. except are flags that make no sense in a file, such
// as the one that names it. Errors tell the line.
func Apply(f *flag.FlagSet, path string, except ...string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if len(text) > maxBytes || !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return fmt.Errorf("configuration: %s is not a text of lines 'key = value' of at most %d bytes", path, maxBytes)
	}
	a := newAssignment(f, except)
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		if err := a.line(line); err != nil {
			return fmt.Errorf("%s:%d: %w", path, number, err)
		}
	}
	return nil
}

// assignment sets flags, line by line.
type assignment struct {
	flags   *flag.FlagSet
	given   map[string]bool // on the command line
	seen    map[string]bool // in the file
	refused map[string]bool
}

func newAssignment(f *flag.FlagSet, except []string) *assignment {
	a := &assignment{flags: f, given: map[string]bool{}, seen: map[string]bool{}, refused: map[string]bool{}}
	f.Visit(func(f *flag.Flag) { a.given[f.Name] = true })
	for _, name := range except {
		a.refused[name] = true
	}
	return a
}

func (a *assignment) line(line string) error {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return nil
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return fmt.Errorf("%q: want 'key = value', or # before a comment", line)
	}
	return a.set(strings.TrimSpace(key), strings.TrimSpace(value))
}

func (a *assignment) set(key, value string) error {
	f := a.flags.Lookup(key)
	switch {
	case f == nil:
		return a.unknown(key)
	case a.refused[key]:
		return fmt.Errorf("%s belongs on the command line, not into a file", key)
	case a.seen[key] && !repeatable(f.Value):
		return fmt.Errorf("%s is given a second time", key)
	}
	a.seen[key] = true
	if a.given[key] {
		return nil
	}
	if err := a.flags.Set(key, value); err != nil {
		return fmt.Errorf("%s: invalid value %q: %w", key, value, cli.Wanted(f.Value, err))
	}
	return nil
}

// repeatable reports whether a flag collects values: those of package flag
// that hold one tell it by Get.
func repeatable(v flag.Value) bool {
	getter, ok := v.(flag.Getter)
	if !ok {
		return true
	}
	kind := reflect.TypeOf(getter.Get())
	return kind != nil && kind.Kind() == reflect.Slice
}

// unknown names the flag that was probably meant.
func (a *assignment) unknown(key string) error {
	if key == "" {
		return errors.New("no key before '='")
	}
	nearest, least := "", len(key)/2+2
	a.flags.VisitAll(func(f *flag.Flag) {
		if d := levenshtein.ComputeDistance(key, f.Name); d < least && !a.refused[f.Name] {
			nearest, least = f.Name, d
		}
	})
	if nearest == "" {
		return fmt.Errorf("unknown key %q", key)
	}
	return fmt.Errorf("unknown key %q, did you mean %q?", key, nearest)
}
