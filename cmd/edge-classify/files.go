package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"edgeclassify/classify"
	"edgeclassify/int8"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/images"
	"edgeclassify/preprocess"
)

// result is what is printed of one picture.
type result struct {
	Path       string                `json:"path"`
	Error      string                `json:"error,omitempty"`
	Top        []classify.Prediction `json:"top,omitempty"`
	Ms         *classify.Phases      `json:"ms,omitempty"`
	LogitsHash string                `json:"logits_sha256,omitempty"`
	features
}

// runFiles classifies every picture and prints the results. One that fails is
// reported and the others go on.
func runFiles(ctx context.Context, o options, s cli.Streams) error {
	m, err := o.open(classify.Options{Top: o.top, Orientation: o.orientation, ROI: o.roi, Limits: o.limits()})
	if err != nil {
		return err
	}
	defer m.Close()
	if err := o.features.fits(m); err != nil {
		return fmt.Errorf("%s: %w", o.model, err)
	}
	failed := false
	show := func(r result, err error) error {
		if err != nil {
			failed = true
			fmt.Fprintf(s.Err, "edge-classify: %v\n", err)
			r.Error = err.Error()
		}
		return r.print(s.Out, o.json)
	}
	for _, path := range o.paths {
		files := []string{path}
		if path != "-" {
			var err error
			if files, err = images.List(path); err != nil {
				if err := show(result{Path: path}, err); err != nil {
					return err
				}
			}
		}
		for _, file := range files {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := show(classifyFile(m, &o, file, s.In)); err != nil {
				return err
			}
		}
	}
	if failed {
		return cli.ErrReported
	}
	return nil
}

// classifyFile classifies one picture; path "-" is standard input.
func classifyFile(m *classify.Model, o *options, path string, stdin io.Reader) (r result, err error) {
	r.Path = path
	var read time.Duration
	if path == "-" {
		r.Top, read, err = classifyInput(m, o.limits(), stdin)
	} else {
		r.Top, err = m.ClassifyFile(path)
	}
	if err != nil {
		return r, err
	}
	took := m.Phases()
	took.Decode += ms(read)
	r.Ms, r.LogitsHash, r.features = &took, int8.HashLogits(m.Logits()), o.features.of(m.Features(), m.FeatureScale())
	return r, nil
}

// classifyInput tells how long reading took, too.
func classifyInput(m *classify.Model, limits preprocess.Limits, stdin io.Reader) (top []classify.Prediction, read time.Duration, err error) {
	start := time.Now()
	file, err := limits.Read(stdin)
	read = time.Since(start)
	if err == nil {
		top, err = m.ClassifyBytes(file)
	}
	if err != nil {
		err = fmt.Errorf("standard input: %w", err)
	}
	return top, read, err
}

// print writes the result for machines or for people. For people, errors are
// on standard error alone.
func (r result) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	if r.Error != "" {
		return nil
	}
	fmt.Fprintf(w, "%s  (decode %.1f ms, preprocess %.1f ms, infer %.1f ms)\n", r.Path, r.Ms.Decode, r.Ms.Preprocess, r.Ms.Infer)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, c := range r.Top {
		fmt.Fprintf(t, "  %d\t%5.1f %%\t%s\t%s\n", i+1, 100*c.Probability, c.Label, c.ID)
	}
	return t.Flush()
}
