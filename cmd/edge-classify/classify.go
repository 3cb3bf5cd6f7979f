package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"edgeclassify/internal/cli"
	"edgeclassify/internal/pictures"
	"edgeclassify/preprocess"
	"edgeclassify/runtime"
)

// result is what is printed of one picture.
type result struct {
	Path       string  `json:"path"`
	Error      string  `json:"error,omitempty"`
	Top        []class `json:"top,omitempty"`
	Ms         *phases `json:"ms,omitempty"`
	LogitsHash string  `json:"logits_sha256,omitempty"`
}

type class struct {
	Class int     `json:"class"`
	ID    string  `json:"id"`
	Label string  `json:"label"`
	Prob  float64 `json:"prob"`
}

// phases are durations in milliseconds.
type phases struct {
	Decode     float64 `json:"decode"`
	Preprocess float64 `json:"preprocess"`
	Infer      float64 `json:"infer"`
}

// classifier runs one model on one picture after the other.
type classifier struct {
	plan    *runtime.Plan
	session *runtime.Session
	resizer *preprocess.Resizer
	rgb     []uint8
	top     []runtime.Prediction
}

func newClassifier(plan *runtime.Plan, top int) (*classifier, error) {
	n := plan.Network()
	resizer, err := preprocess.NewResizer(n.Preprocess)
	if err != nil {
		return nil, err
	}
	return &classifier{
		plan: plan, session: plan.NewSession(), resizer: resizer,
		rgb: make([]uint8, n.Input.Shape.Elements()),
		top: make([]runtime.Prediction, min(top, len(n.Classes))),
	}, nil
}

// all classifies every picture and prints the results. One that fails is
// reported and the others go on.
func (c *classifier) all(ctx context.Context, o options, s cli.Streams) error {
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
			if files, err = pictures.List(path); err != nil {
				if err := show(result{Path: path}, err); err != nil {
					return err
				}
			}
		}
		for _, file := range files {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := show(c.classify(file, s.In)); err != nil {
				return err
			}
		}
	}
	if failed {
		return cli.ErrReported
	}
	return nil
}

// classify runs one picture; path "-" is standard input.
func (c *classifier) classify(path string, stdin io.Reader) (result, error) {
	r := result{Path: path}
	start := time.Now()
	picture, err := decode(path, stdin)
	if err != nil {
		return r, err
	}
	decoded := time.Now()
	if err := c.resizer.Resize(c.rgb, picture); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	resized := time.Now()
	logits, err := c.session.Run(c.rgb)
	if err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	r.Ms = &phases{ms(decoded.Sub(start)), ms(resized.Sub(decoded)), ms(time.Since(resized))}
	r.LogitsHash = hashLogits(logits)
	for _, p := range c.top[:c.plan.Top(c.top, logits)] {
		name := c.plan.Network().Classes[p.Class]
		r.Top = append(r.Top, class{Class: p.Class, ID: name.ID, Label: name.Name, Prob: p.Prob})
	}
	return r, nil
}

func decode(path string, stdin io.Reader) (*preprocess.Picture, error) {
	if path != "-" {
		return preprocess.DecodeFile(path)
	}
	p, err := preprocess.Decode(stdin)
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	return p, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// hashLogits is the SHA-256 over the logits in little-endian order: equal on
// every machine, kernel and number of threads.
func hashLogits(logits []int32) string {
	b := make([]byte, 0, 4*len(logits))
	for _, v := range logits {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
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
