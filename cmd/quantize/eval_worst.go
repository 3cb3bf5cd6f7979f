package main

import (
	"bytes"
	"cmp"
	"context"
	"image"
	"image/jpeg"
	"math"
	"path/filepath"
	"slices"

	xdraw "golang.org/x/image/draw"
	"gonum.org/v1/gonum/floats"

	"edgeclassify/labels"
	"edgeclassify/report"
)

const (
	thumbnail        = 160 // pixels on a side
	thumbnailQuality = 80
	guesses          = 3 // for each picture and network
)

// worst runs the networks again on the n pictures with the lowest SQNR and
// reports what they say, the lowest first: none without a float network.
func (e *evaluation) worst(ctx context.Context, threads, n int) ([]report.Image, error) {
	pictures := e.lowest(n)
	out := make([]report.Image, len(pictures))
	err := e.each(ctx, threads, len(pictures), nil, func(w *evalWorker, k int) error {
		i := pictures[k]
		rgb, err := e.set.Load(i)
		if err != nil {
			return err
		}
		out[k], err = w.describe(e.set.files[i], e.verdicts[i], rgb)
		return err
	})
	return out, err
}

// lowest finds the n pictures with the lowest SQNR, the lowest first. Those
// without noise are never among them.
func (e *evaluation) lowest(n int) []int {
	var noisy []int
	for i, v := range e.verdicts {
		if sqnr(v.Signal, v.Noise) != nil {
			noisy = append(noisy, i)
		}
	}
	noise := func(i int) float64 { return e.verdicts[i].Noise / e.verdicts[i].Signal }
	slices.SortStableFunc(noisy, func(a, b int) int { return cmp.Compare(noise(b), noise(a)) })
	return noisy[:min(n, len(noisy))]
}

// describe shows a picture of a known verdict.
func (w *evalWorker) describe(file string, v verdict, rgb []uint8) (p report.Image, err error) {
	quantized, float, err := w.run(rgb)
	if err != nil {
		return p, err
	}
	classes := w.network.Classes
	p = report.Image{
		Name:  filepath.Base(file),
		SQNR:  *sqnr(v.Signal, v.Noise),
		Float: guess(float, classes),
		Int8:  guess(quantized, classes),
	}
	if v.Class >= 0 {
		p.Truth = classes[v.Class].Name
	}
	p.JPEG, err = encodeThumbnail(rgb, w.network.Preprocess.Crop)
	return p, err
}

// guess gives the most probable classes, by the softmax of all logits.
func guess(logits []float32, classes []labels.Class) []report.Guess {
	values, order := make([]float64, len(logits)), make([]int, len(logits))
	for c, v := range logits {
		values[c], order[c] = float64(v), c
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(values[b], values[a]) })
	normalizer := floats.LogSumExp(values)
	var out []report.Guess
	for _, c := range order[:min(guesses, len(order))] {
		out = append(out, report.Guess{Class: classes[c].Name, Probability: math.Exp(values[c] - normalizer)})
	}
	return out
}

// encodeThumbnail makes a small JPEG of size x size RGB pixels.
func encodeThumbnail(rgb []uint8, size int) ([]byte, error) {
	full := image.NewRGBA(image.Rect(0, 0, size, size))
	for i := range size * size {
		copy(full.Pix[4*i:], rgb[3*i:3*i+3])
		full.Pix[4*i+3] = 0xff
	}
	small := image.NewRGBA(image.Rect(0, 0, min(size, thumbnail), min(size, thumbnail)))
	xdraw.CatmullRom.Scale(small, small.Bounds(), full, full.Bounds(), xdraw.Src, nil)
	var b bytes.Buffer
	err := jpeg.Encode(&b, small, &jpeg.Options{Quality: thumbnailQuality})
	return b.Bytes(), err
}
