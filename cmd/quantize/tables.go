package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"edgeclassify/calibrate"
	"edgeclassify/int8"
	"edgeclassify/internal/atomicfile"
	"edgeclassify/internal/cli"
	"edgeclassify/models"
)

// calibration is a network with the range table to quantize it by.
type calibration struct {
	graph     *models.Graph // up to the logits
	folded    *models.Graph
	hash      string // of the network
	table     *calibrate.RangeTable
	tableHash string           // of the table's file, where it came from one
	found     *calibrate.Found // by a search; nil without one
	set       watched          // the pictures, if any
	// sensitivities are those of the layers before any has an int16 output; nil
	// where nobody asked for them.
	sensitivities []calibrate.Sensitivity
}

// newCalibration finds the range table: from pictures, from a file, from batch
// norms, or the one that is shipped for this network.
func newCalibration(ctx context.Context, g *models.Graph, o buildOptions, stderr io.Writer) (*calibration, error) {
	folded, err := calibrate.Fold(g.Logits())
	if err != nil {
		return nil, err
	}
	c := &calibration{graph: g.Logits(), folded: folded, hash: g.Hash()}
	switch {
	case o.images != "":
		err = c.fromPictures(ctx, o, stderr)
	case o.dataFree:
		c.table, err = calibrate.DataFree(c.graph)
	case o.ranges != "":
		err = c.fromFile(o)
	default:
		c.table, c.tableHash, err = shippedRanges(o.model, c.hash)
	}
	if err != nil {
		return nil, err
	}
	c.table.SourceHash = c.hash
	if !o.correctBias {
		c.table.Means, c.table.Shifts = nil, nil
	}
	return c, nil
}

// save writes the table where the user wants it.
func (c *calibration) save(o buildOptions) error {
	if o.saveRanges == "" {
		return nil
	}
	return atomicfile.Write(o.saveRanges, 0o644, c.table.Write)
}

// Methods beside the choice of ranges, as provenance and reports name them.
const (
	methodEqualization = "equalization"
	methodScales       = "weight scales by second moments"
	methodRounding     = "rounding by second moments"
	methodBias         = "bias correction"
	methodByLayer      = "bias correction layer by layer"
)

// method is one that may have been used.
type method struct {
	name string
	used bool
}

// join names those that were used.
func join(methods []method) string {
	var names []string
	for _, m := range methods {
		if m.used {
			names = append(names, m.name)
		}
	}
	return strings.Join(names, ", ")
}

func (c *calibration) provenance() int8.Provenance {
	t := c.table
	method := join([]method{
		{string(t.Method), true},
		{methodEqualization, t.Exponents != nil},
		{methodScales, t.Scales != nil},
		{methodRounding, t.Steps != nil},
		{methodBias, t.Means != nil},
		{methodByLayer, t.Shifts != nil},
		{fmt.Sprintf("%d int16 outputs", len(t.Wide)), len(t.Wide) > 0},
	})
	return int8.Provenance{
		Tool: "quantize " + cli.Version, Source: c.graph.Name, SourceHash: c.hash,
		Method: method, Images: c.table.Images, ImagesHash: c.table.ImagesHash,
		Seed: c.table.Seed, RangesHash: c.tableHash,
	}
}

// fromPictures observes the network on pictures and chooses by the method.
func (c *calibration) fromPictures(ctx context.Context, o buildOptions, stderr io.Writer) (err error) {
	drawn, err := draw(o.images, c.graph.Preprocess, o.limit, o.seed)
	if err != nil {
		return err
	}
	c.set = watch(drawn)
	var skipped []error
	bars := newBars(stderr)
	if o.method == methodBest {
		err = c.search(ctx, o, func(err error) { skipped = append(skipped, err) }, bars.move)
	} else {
		err = c.observe(ctx, o, func(err error) { skipped = append(skipped, err) }, bars.move)
	}
	bars.end()
	for _, err := range skipped {
		fmt.Fprintf(stderr, "quantize: left out: %v\n", err)
	}
	if err != nil {
		return err
	}
	if f := c.found; f != nil && f.Tried < f.Planned {
		fmt.Fprintf(stderr, "quantize: the search ended by -budget %v after %d of %d trials: a slower or faster machine may find another model\n", o.budget, f.Tried, f.Planned)
	}
	c.table.Seed = o.seed
	return nil
}

func (c *calibration) search(ctx context.Context, o buildOptions, skip func(error), progress func(stage string, done, total int)) (err error) {
	// A network without batch norms has no prior, which is no error here.
	prior, _ := calibrate.DataFree(c.graph)
	c.found, err = calibrate.Search(ctx, c.folded, c.set, calibrate.SearchOptions{
		Threads: o.threads, Budget: o.budget, Prior: prior,
		WithoutBias: !o.correctBias, WithoutEqualization: !o.equalize, WithoutRounding: !o.roundWeights,
		Skip: skip, Progress: progress,
	})
	if err == nil {
		c.table = c.found.Table
	}
	return err
}

func (c *calibration) observe(ctx context.Context, o buildOptions, skip func(error), progress func(stage string, done, total int)) error {
	method := calibrate.Method(o.method)
	if o.method == methodFast {
		method = calibrate.MSE
	}
	s, err := calibrate.Observe(ctx, c.folded, c.set, calibrate.ObserveOptions{
		Threads: o.threads, Skip: skip, Progress: func(done, total int) { progress("calibrating", done, total) },
	})
	if err == nil {
		c.table = s.Table(method)
	}
	return err
}

func (c *calibration) fromFile(o buildOptions) error {
	data, err := os.ReadFile(o.ranges)
	if err != nil {
		return err
	}
	if c.table, c.tableHash, err = parseRanges(data); err != nil {
		return fmt.Errorf("%s: %w", o.ranges, err)
	}
	if c.table.SourceHash != c.hash {
		return fmt.Errorf("%s: the table was made for another network (%s, SHA-256 %s) than %s (SHA-256 %s)",
			o.ranges, c.table.Model, c.table.SourceHash, o.model, c.hash)
	}
	return nil
}

// shippedRanges finds the shipped range table of the network with that hash.
func shippedRanges(model, graphHash string) (*calibrate.RangeTable, string, error) {
	tables, err := models.RangeTables()
	if err != nil {
		return nil, "", err
	}
	for name, data := range tables {
		table, hash, err := parseRanges(data)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", name, err)
		}
		if table.SourceHash == graphHash {
			return table, hash, nil
		}
	}
	return nil, "", fmt.Errorf("no range table is shipped for %s: calibrate on pictures with -images DIR, or give a table with -ranges FILE", model)
}

func parseRanges(data []byte) (*calibrate.RangeTable, string, error) {
	table, err := calibrate.ReadRanges(bytes.NewReader(data))
	sum := sha256.Sum256(data)
	return table, hex.EncodeToString(sum[:]), err
}
