package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"edgeclassify/internal/atomicfile"
	"edgeclassify/internal/printable"
)

// reporter is a report of any kind.
type reporter interface {
	WriteHTML(w io.Writer) error
	WriteJSON(w io.Writer) error
}

// reportWriters write a report by the suffix of its file.
func reportWriters() map[string]func(reporter, io.Writer) error {
	return map[string]func(reporter, io.Writer) error{".html": reporter.WriteHTML, ".json": reporter.WriteJSON}
}

// reportFiles is a flag that may be given several times.
type reportFiles []string

func (f *reportFiles) String() string { return strings.Join(*f, " ") }

func (f *reportFiles) Set(file string) error {
	if reportWriters()[filepath.Ext(file)] == nil {
		return fmt.Errorf("a report is FILE.html or FILE.json")
	}
	*f = append(*f, file)
	return nil
}

// write writes a report to all the files.
func (f reportFiles) write(r reporter) error {
	for _, file := range f {
		write := reportWriters()[filepath.Ext(file)]
		if err := atomicfile.Write(file, 0o644, func(w io.Writer) error { return write(r, printable.Writer{Raw: w}) }); err != nil {
			return err
		}
	}
	return nil
}
