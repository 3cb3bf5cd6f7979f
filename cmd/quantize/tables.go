package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"

	"edgeclassify/calibrate"
	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/observe"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/evaluate"
	"edgeclassify/labels"
	"edgeclassify/models"
)

// findTable folds the network and finds its range table: from pictures, from a
// file, from batch norms, or the one that is shipped for this network.
func (b *build) findTable(ctx context.Context) (err error) {
	if b.Float, err = b.graph.Fold(); err != nil {
		return err
	}
	switch {
	case b.images != "":
		err = b.fromImages(ctx)
	case b.dataFree:
		b.Table, err = observe.DataFree(b.Float)
	case b.ranges != "":
		err = b.fromFile()
	default:
		err = b.withoutImages()
	}
	if err != nil {
		return err
	}
	b.Table.SourceHash = b.hash
	if !b.correctBias {
		b.Table.Means, b.Table.Shifts = nil, nil
	}
	return nil
}

// withoutImages takes the table that is shipped for this network, or makes one of
// batch norms.
func (b *build) withoutImages() (err error) {
	b.Table, b.tableHash, err = shippedRanges(b.hash)
	if err != nil || b.Table != nil {
		return err
	}
	if b.Table, err = observe.DataFree(b.Float); err != nil {
		return fmt.Errorf("%w: -images DIR", err)
	}
	fmt.Fprintln(b.streams.Err, "quantize: no pictures: ranges are taken from the batch norms; -images DIR with a few of them makes the model better and checks it")
	return nil
}

// fromImages observes the network on pictures and chooses by the method.
func (b *build) fromImages(ctx context.Context) (err error) {
	if b.Images, err = evaluate.Draw(b.images, b.graph.Preprocess, b.limit, b.seed); err != nil {
		return err
	}
	tellLeftOut(b.streams.Err, b.Images)
	if err := b.tryPreprocessing(ctx); err != nil {
		return err
	}
	var skipped []error
	skip := func(err error) { skipped = append(skipped, err) }
	bars := newBars(b.streams.Err)
	if b.method == methodBest {
		err = b.search(ctx, skip, bars.move)
	} else {
		err = b.observe(ctx, skip, bars.move)
	}
	bars.end()
	for _, err := range skipped {
		fmt.Fprintf(b.streams.Err, "quantize: left out: %v\n", err)
	}
	if err != nil {
		return err
	}
	if f := b.found; f != nil && f.Tried < f.Planned {
		fmt.Fprintf(b.streams.Err, "quantize: -budget ended the search after %d of %d candidates\n", f.Tried, f.Planned)
	}
	b.Table.Seed = b.seed
	return nil
}

// tryPreprocessing warns where pictures of known class show that the network sees
// them otherwise than it was trained on.
func (b *build) tryPreprocessing(ctx context.Context) error {
	if b.graph.Activation != labels.Softmax {
		return nil
	}
	truth, err := evaluate.TrueClasses("", b.images, b.Images.Files, b.graph.Classes)
	if err != nil {
		return err
	}
	own, better, err := evaluate.FitPreprocessing(ctx, b.threads, b.graph, b.Images, truth)
	if warning := describeFit(own, better); warning != "" {
		fmt.Fprintf(b.streams.Err, "quantize: %s\n", warning)
	}
	return err
}

func (b *build) search(ctx context.Context, skip func(error), progress calibrate.Progress) (err error) {
	// A network without batch norms has no prior, which is no error here.
	prior, _ := observe.DataFree(b.Float)
	b.found, err = calibrate.Search(ctx, b.Float, b.Images, calibrate.SearchOptions{
		Threads: b.threads, Budget: b.budget, Prior: prior,
		WithoutBias: !b.correctBias, WithoutEqualization: !b.equalize, WithoutRounding: !b.roundWeights,
		Skip: skip, Progress: progress,
	})
	if err == nil {
		b.Table, b.Hashes, b.Trials = b.found.Table, b.found.Hashes, b.found.Trials
	}
	return err
}

func (b *build) observe(ctx context.Context, skip func(error), progress calibrate.Progress) error {
	method := quantize.Method(b.method)
	if b.method == methodFast {
		method = quantize.MSE
	}
	s, err := observe.Observe(ctx, b.Float, b.Images, dataset.Pass{
		Threads: b.threads, Skip: skip, Progress: progress.Of("calibrating"),
	})
	if err == nil {
		b.Table, b.Hashes = s.Table(method), s.Hashes
	}
	return err
}

func (b *build) fromFile() error {
	data, err := os.ReadFile(b.ranges)
	if err != nil {
		return err
	}
	if b.Table, b.tableHash, err = parseRanges(data); err != nil {
		return fmt.Errorf("%s: %w", b.ranges, err)
	}
	if b.Table.SourceHash != b.hash {
		return fmt.Errorf("%s: the table was made for another network (%s, SHA-256 %s) than %s (SHA-256 %s)",
			b.ranges, b.Table.Model, b.Table.SourceHash, b.model, b.hash)
	}
	return nil
}

// shippedRanges finds the shipped range table of the network with that hash, nil if
// there is none.
func shippedRanges(graphHash string) (*quantize.RangeTable, string, error) {
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
	return nil, "", nil
}

func parseRanges(data []byte) (*quantize.RangeTable, string, error) {
	table, err := quantize.ReadRanges(bytes.NewReader(data))
	sum := sha256.Sum256(data)
	return table, hex.EncodeToString(sum[:]), err
}
