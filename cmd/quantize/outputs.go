package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"edgeclassify/internal/atomicfile"
	"edgeclassify/internal/cli"
)

// place is a file that the command line names.
type place struct{ flag, path string }

// checkOutputs finds files that cannot be written, before the work that they are to
// hold, and those that would replace what is read or each other.
func checkOutputs(inputs []place, outputs ...place) error {
	for i, out := range outputs {
		if out.path == "" {
			continue
		}
		for _, other := range slices.Concat(inputs, outputs[:i]) {
			if sameFile(out.path, other.path) {
				return cli.Usagef("%s %s is the file of %s, too: give it another name", out.flag, out.path, other.flag)
			}
		}
		if err := atomicfile.Check(out.path); err != nil {
			return fmt.Errorf("%s: %w", out.flag, err)
		}
	}
	return nil
}

// sameFile tells whether two paths, the second of which may be empty, lead to one file.
func sameFile(a, b string) bool {
	if b == "" {
		return false
	}
	first, err1 := os.Stat(a)
	second, err2 := os.Stat(b)
	if err1 == nil && err2 == nil {
		return os.SameFile(first, second)
	}
	a, err1 = filepath.Abs(a)
	b, err2 = filepath.Abs(b)
	return err1 == nil && err2 == nil && a == b
}
