package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"edgeclassify/calibrate/fp32"
	"edgeclassify/importer"
	"edgeclassify/int8"
	"edgeclassify/internal/fetch"
	"edgeclassify/internal/peers"
	"edgeclassify/models"
	"edgeclassify/onnx"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/runtime"
)

// quantizedContest prepares a quantized network for all engines.
func quantizedContest(o options, m *q8.File, path, dir string) (contest, error) {
	c := contest{Network: m.Name, Precision: "int8", Kernel: cmp.Or(o.kernel, runtime.Kernels()[0].Name), spec: m.Preprocess}
	c.entrants = []entrant{{label{Engine: "edge-classify"}, func(threads int) (engine, error) {
		p, err := runtime.Compile(m.Network, runtime.Options{Threads: threads, Kernel: o.kernel})
		if err != nil {
			return nil, err
		}
		return quantized{m, p.NewSession()}, nil
	}}}
	fast, right := filepath.Join(dir, "u8s8.onnx"), filepath.Join(dir, "u8u8.onnx")
	for file, format := range map[string]onnx.Format{fast: onnx.U8S8, right: onnx.U8U8} {
		if err := write(file, func(w io.Writer) error { return onnx.WriteQuantized(w, m.Model, onnx.Options{Format: format}) }); err != nil {
			return contest{}, err
		}
	}
	c.entrants = append(c.entrants,
		onnxRuntime(o, "ONNX Runtime", fast, planes[uint8]), onnxRuntime(o, "ONNX Runtime, u8u8", right, planes[uint8]),
		openVINO(o, fast, planes[uint8]))
	lite, err := liteRT(o, path, filepath.Join(dir, "int8.tflite"), m.Network)
	if errors.Is(err, peers.ErrMissing) {
		return contest{}, err
	}
	if err != nil { // an operation has no form there
		c.Without = append(c.Without, err.Error())
		return c, nil
	}
	c.entrants = append(c.entrants, lite)
	return c, nil
}

// floatContest prepares a float network, without its softmax. Its pictures are prepared as
// the model's: the network's file may not say how.
func floatContest(o options, source string, spec preprocess.Spec, dir string) (contest, *fp32.Executor, error) {
	path := source
	if _, err := os.Stat(source); errors.Is(err, fs.ErrNotExist) {
		if path, err = fetch.Path(source, ""); err != nil {
			return contest{}, nil, fmt.Errorf("%s: no such file, nor a network in the cache: %w", source, err)
		}
	}
	imported, err := importer.Import(path, models.ImportOptions{})
	if err != nil {
		return contest{}, nil, err
	}
	g, err := imported.Logits().Fold()
	if err != nil {
		return contest{}, nil, err
	}
	g.Preprocess = spec
	file := filepath.Join(dir, "float.onnx")
	if err := write(file, func(w io.Writer) error { return onnx.WriteFloat(w, g) }); err != nil {
		return contest{}, nil, err
	}
	reference, err := fp32.NewExecutor(g, 1)
	if err != nil {
		return contest{}, nil, err
	}
	input := func(rgb []uint8) []float32 { return planes(normalized(spec, rgb)) }
	return contest{Network: g.Name, Precision: "fp32", entrants: []entrant{
		{label{Engine: "edge-classify"}, func(threads int) (engine, error) {
			e, err := fp32.NewExecutor(g, threads)
			return float{e}, err
		}},
		onnxRuntime(o, "ONNX Runtime", file, input), openVINO(o, file, input),
	}}, reference, nil
}

func write(file string, do func(io.Writer) error) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := do(f); err != nil {
		return err
	}
	return f.Close()
}

func onnxRuntime[T any](o options, name, file string, input func(rgb []uint8) []T) entrant {
	return entrant{label{Engine: name}, func(threads int) (engine, error) {
		s, err := peers.ONNXRuntime(o.peers, file, peers.Options{Threads: threads})
		return peer[T]{s, input}, err
	}}
}

func openVINO[T any](o options, file string, input func(rgb []uint8) []T) entrant {
	return entrant{label{Engine: "OpenVINO"}, func(threads int) (engine, error) {
		s, err := peers.OpenVINO(o.peers, file, threads)
		return peer[T]{s, input}, err
	}}
}

func liteRT(o options, model, file string, n *int8.Network) (entrant, error) {
	input := func(rgb []uint8) []uint8 { return peers.TFLiteInput(n, rgb) }
	return entrant{label{Engine: "LiteRT"}, func(threads int) (engine, error) {
		s, err := peers.LiteRT(o.peers, file, threads)
		return peer[uint8]{s, input}, err
	}}, peers.WriteTFLite(o.peers, model, file)
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

func (e quantized) version() string { return "" }

func (e quantized) Close() error {
	e.session.Close()
	return nil
}

// float is this project's float executor.
type float struct{ *fp32.Executor }

func (e float) run(rgb []uint8, frames int) (logits []float32, times []time.Duration, err error) {
	times, err = timed(frames, func() (err error) {
		logits, err = e.RunImage(rgb, nil)
		return err
	})
	return logits, times, err
}

func (e float) version() string { return "" }

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

// peer is another engine.
type peer[T any] struct {
	*peers.Session
	input func(rgb []uint8) []T
}

func (e peer[T]) run(rgb []uint8, frames int) ([]float32, []time.Duration, error) {
	return e.Run(e.input(rgb), frames)
}

func (e peer[T]) version() string { return e.Version }

func normalized(spec preprocess.Spec, rgb []uint8) []float32 {
	image := make([]float32, len(rgb))
	spec.Float(image, rgb) // they are as long
	return image
}

func planes[T any](hwc []T) []T { return onnx.Planes(hwc, 3) }
