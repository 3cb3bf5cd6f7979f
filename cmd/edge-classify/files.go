package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"edgeclassify/int8"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/images"
	"edgeclassify/preprocess"
	"edgeclassify/stream"
)

// result is what is printed of one picture.
type result struct {
	Path       string         `json:"path"`
	Error      string         `json:"error,omitempty"`
	Top        []stream.Class `json:"top,omitempty"`
	Ms         *stream.Phases `json:"ms,omitempty"`
	LogitsHash string         `json:"logits_sha256,omitempty"`
}

// runFiles classifies every picture and prints the results. One that fails is
// reported and the others go on.
func runFiles(ctx context.Context, o options, s cli.Streams) error {
	c, closeAll, err := o.classifier()
	if err != nil {
		return err
	}
	defer closeAll()
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
			if err := show(c.file(file, s.In, o.top)); err != nil {
				return err
			}
		}
	}
	if failed {
		return cli.ErrReported
	}
	return nil
}

// file classifies one picture; path "-" is standard input.
func (c *classifier) file(path string, stdin io.Reader, top int) (result, error) {
	r := result{Path: path}
	start := time.Now()
	picture, err := decode(path, stdin)
	if err != nil {
		return r, err
	}
	took := stream.Phases{Decode: ms(time.Since(start))}
	logits, err := c.run(picture, &took)
	if err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	r.Top, r.Ms, r.LogitsHash = c.predictions(logits, top), &took, int8.HashLogits(logits)
	return r, nil
}

func decode(path string, stdin io.Reader) (*preprocess.Image, error) {
	if path != "-" {
		return preprocess.DecodeFile(path)
	}
	p, err := preprocess.Decode(stdin)
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	return p, nil
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
		fmt.Fprintf(t, "  %d\t%5.1f %%\t%s\t%s\n", i+1, 100*c.Prob, c.Label, c.ID)
	}
	return t.Flush()
}
