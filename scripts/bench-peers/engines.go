package main

import (
	"io"
	"os"
	"path/filepath"
	"time"

	"edgeclassify/calibrate/fp32"
	"edgeclassify/importer"
	"edgeclassify/internal/fetch"
	"edgeclassify/internal/onnxruntime"
	"edgeclassify/models"
	"edgeclassify/onnx"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/runtime"
)

// openQuantized prepares a quantized network for both engines.
func openQuantized(path, kernel, dir string) (contest, error) {
	m, err := q8.Open(path)
	if err != nil {
		return contest{}, err
	}
	c := contest{name: "int8 " + m.Name, spec: m.Preprocess, ours: func(threads int) (engine, error) {
		p, err := runtime.Compile(m.Network, runtime.Options{Threads: threads, Kernel: kernel})
		if err != nil {
			return nil, err
		}
		return quantized{m, p.NewSession()}, nil
	}}
	for _, o := range []onnx.Options{{Format: onnx.U8S8}, {Format: onnx.U8S8, Exact: true}} {
		name := ""
		if o.Exact {
			name = " with the exact model"
		}
		v, err := newVariant(name, filepath.Join(dir, "int8"+name+".onnx"), planes[uint8], func(w io.Writer) error {
			return onnx.WriteQuantized(w, m.Model, o)
		})
		if err != nil {
			return contest{}, err
		}
		c.theirs = append(c.theirs, v)
	}
	return c, nil
}

// openFloat prepares a float network without its softmax.
func openFloat(name, dir string) (contest, error) {
	path, err := fetch.Path(name, "")
	if err != nil {
		return contest{}, err
	}
	imported, err := importer.Import(path, models.ImportOptions{})
	if err != nil {
		return contest{}, err
	}
	g, err := imported.Logits().Fold()
	if err != nil {
		return contest{}, err
	}
	v, err := newVariant("", filepath.Join(dir, "float.onnx"),
		func(rgb []uint8) []float32 { return planes(normalized(g.Preprocess, rgb)) },
		func(w io.Writer) error { return onnx.WriteFloat(w, g) })
	return contest{name: "fp32 " + g.Name, spec: g.Preprocess, theirs: []variant{v}, ours: func(threads int) (engine, error) {
		e, err := fp32.NewExecutor(g, threads)
		return float{e, g.Preprocess}, err
	}}, err
}

// newVariant writes the model file; input turns RGB pixels into the model's
// input.
func newVariant[T uint8 | float32](name, file string, input func(rgb []uint8) []T, write func(io.Writer) error) (variant, error) {
	f, err := os.Create(file)
	if err != nil {
		return variant{}, err
	}
	defer f.Close()
	if err := write(f); err != nil {
		return variant{}, err
	}
	return variant{name, func(peers string, threads int) (engine, error) {
		s, err := onnxruntime.Open(peers, file, onnxruntime.Options{Threads: threads})
		return peer[T]{s, input}, err
	}}, f.Close()
}

// quantized is this project's runtime.
type quantized struct {
	model   *q8.File
	session *runtime.Session
}

func (e quantized) run(rgb []uint8, frames int) ([]float32, []time.Duration, error) {
	var q []int32
	times, err := timed(frames, func() (err error) {
		q, err = e.session.Run(rgb)
		return err
	})
	logits := make([]float32, len(q))
	e.model.Classifier().Scaled(logits, q)
	return logits, times, err
}

func (e quantized) Close() error {
	e.session.Close()
	return nil
}

// float is this project's float executor.
type float struct {
	*fp32.Executor
	spec preprocess.Spec
}

func (e float) run(rgb []uint8, frames int) (logits []float32, times []time.Duration, err error) {
	image := normalized(e.spec, rgb)
	times, err = timed(frames, func() (err error) {
		logits, err = e.Run(image, nil)
		return err
	})
	return logits, times, err
}

func (e float) Close() error { return nil }

// timed measures each of a number of calls.
func timed(frames int, do func() error) ([]time.Duration, error) {
	var times []time.Duration
	for range frames {
		start := time.Now()
		if err := do(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(start))
	}
	return times, nil
}

// peer is ONNX Runtime.
type peer[T uint8 | float32] struct {
	*onnxruntime.Session
	input func(rgb []uint8) []T
}

func (e peer[T]) run(rgb []uint8, frames int) ([]float32, []time.Duration, error) {
	return e.Run(e.input(rgb), frames)
}

func normalized(spec preprocess.Spec, rgb []uint8) []float32 {
	image := make([]float32, len(rgb))
	spec.Float(image, rgb) // they are as long
	return image
}

func planes[T any](hwc []T) []T { return onnx.Planes(hwc, 3) }
