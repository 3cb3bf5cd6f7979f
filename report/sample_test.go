package report_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate"
	"edgeclassify/calibrate/diagnose"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/evaluate"
	"edgeclassify/int8"
	"edgeclassify/internal/stats"
	"edgeclassify/q8"
	"edgeclassify/report"
	"edgeclassify/runtime"
)

// sample is a report as of a ResNet50, with invented numbers.
func sample(t *testing.T) *report.Report {
	rng := rand.New(rand.NewPCG(1, 2))
	r := &report.Report{
		Model: report.Model{
			Name: "resnet50-keras", File: "resnet50.q8", Size: report.Size{SHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
				FileBytes: 25_927_680, WeightBytes: 25_503_912, ArenaBytes: 1_806_336, ArenaLowerBound: 1_806_336, MACs: 3_858_000_000},
		},
		Provenance: q8.Provenance{
			Tool: "quantize 1.4", Source: "resnet50-keras", SourceHash: "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
			Method: "clip-mse, bias correction", Images: 128, ImagesHash: "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9", Seed: 2,
		},
		Verdict: evaluate.Verdict{
			Good: true, Summary: "int8 names the same class as float on 98.6 % of 372 pictures, and accuracy has not changed measurably.",
			Advice: []string{"Most noise comes from conv5_block3_3_conv: int16 there gains 0.4 dB for 92 µs."},
		},
		Evaluation: evaluation(rng),
		Ablation: []calibrate.Trial{
			{Name: "min-max ranges", MeanSQNR: 19.2, Agreement: 0.946, Kept: true},
			{Name: "ranges by mean squared error", MeanSQNR: 23.4, Agreement: 0.968, Kept: true},
			{Name: "clipping weighted four times", MeanSQNR: 25.0, Agreement: 0.978, Kept: true},
			{Name: "entropy ranges", MeanSQNR: 22.1, Agreement: 0.962},
			{Name: "bias correction", MeanSQNR: 26.6, Agreement: 0.986, Kept: true},
			{Name: "equalization of blocks", MeanSQNR: 26.7, Agreement: 0.984},
			{Name: "int16 for two layers", MeanSQNR: 27.3, Agreement: 0.989, Kept: true},
		},
		Layers: resNet50(rng),
	}
	for i := range 6 {
		r.Worst = append(r.Worst, picture(t, rng, i))
	}
	r.Arena = arena(len(r.Layers))
	return r
}

func evaluation(rng *rand.Rand) *evaluate.Result {
	sqnr := 26.6
	e := &evaluate.Result{
		Images: 372, Labelled: 372, Skipped: 1,
		Top1: &stats.Share{Count: 281, Of: 372, Value: 0.7554, Low: 0.7092, High: 0.7963}, FloatTop1: &stats.Share{Count: 282, Of: 372, Value: 0.7581, Low: 0.7121, High: 0.7988},
		Top5: &stats.Share{Count: 345, Of: 372, Value: 0.9274, Low: 0.8964, High: 0.9497}, FloatTop5: &stats.Share{Count: 346, Of: 372, Value: 0.9301, Low: 0.8995, High: 0.9519},
		Agreement: &stats.Share{Count: 367, Of: 372, Value: 0.9866, Low: 0.9689, High: 0.9942}, SQNR: &sqnr,
		Flips:   &evaluate.Flips{RightToWrong: 2, WrongToRight: 1, WrongToWrong: 2, McNemar: 1},
		Seconds: 41.3,
	}
	e.ByImage = &evaluate.Distribution{
		Worst: "ILSVRC2012_val_00000007.JPEG", Deciles: [11]float64{7.8, 24.9, 26.6, 27.8, 28.9, 29.9, 30.4, 31.2, 32, 33.3, 36.5},
		Histogram: diagnose.Histogram{From: 7, Width: 1, Counts: []uint64{
			15: 2, 16: 5, 17: 30, 18: 20, 19: 24, 20: 27, 21: 35, 22: 40, 23: 45, 24: 40, 25: 30, 26: 27, 27: 20, 28: 16, 29: 10, 0: 1}},
	}
	for i := range 180 {
		c := evaluate.Class{Index: 5 * i, Name: fmt.Sprintf("class %d, also called so", 5*i), Images: 2, FloatTop1: 1 + rng.IntN(2), Agree: 2}
		c.Top1 = c.FloatTop1
		if i%40 == 7 {
			c.Top1, c.Agree = c.Top1-1, 1
		}
		e.Classes = append(e.Classes, c)
	}
	return e
}

// resNet50 has the network's 53 convolutions and its classifier.
func resNet50(rng *rand.Rand) []report.Layer {
	layers := []report.Layer{layer(rng, "conv1_conv", 112, 64, 7*7*3)}
	in := 64
	for stage, blocks := range []int{3, 4, 6, 3} {
		side, width := 56>>stage, 64<<stage
		for block := range blocks {
			name := fmt.Sprintf("conv%d_block%d", stage+2, block+1)
			if block == 0 {
				layers = append(layers, layer(rng, name+"_0_conv", side, 4*width, in))
			}
			layers = append(layers, layer(rng, name+"_1_conv", side, width, in), layer(rng, name+"_2_conv", side, width, 9*width), layer(rng, name+"_3_conv", side, 4*width, width))
			in = 4 * width
		}
	}
	layers = append(layers, layer(rng, "predictions", 1, 1000, in))
	cumulative := 44.0
	for i := range layers {
		cumulative -= 0.45 * rng.Float64()
		if layers[i].Shape[2] == 256 && i%4 == 1 {
			cumulative += 0.5
		}
		value := cumulative
		layers[i].SQNR.Cumulative = &value
	}
	return layers
}

func layer(rng *rand.Rand, name string, side, channels, inputs int) report.Layer {
	values := histogram(rng)
	seen := quantize.Range{Min: 0, Max: values.From + values.Width*float64(len(values.Counts))}
	covered := quantize.Range{Min: 0, Max: seen.Max * (0.35 + 0.6*rng.Float64())}
	isolated := 34 + 12*rng.Float64()
	part := func(share float64) *float64 { v := isolated - 10*math.Log10(share); return &v }
	a, b := 0.2+0.5*rng.Float64(), 0.3*rng.Float64()
	l := report.Layer{
		Name: name, Op: "conv", Shape: [3]int{side, side, channels}, Type: int8.Int8, Scale: covered.Max / 255,
		MACs: int64(side * side * channels * inputs), WeightBytes: channels * inputs, Choices: "clip-mse, bias correction",
		Range: &covered, Seen: &seen, Histogram: values, Saturated: 0.002 * rng.Float64() * rng.Float64(), Codes: 256 - rng.IntN(30), Dead: rng.IntN(4), Headroom: 2 + 5*rng.Float64(),
		SQNR:  report.SQNR{Isolated: &isolated, Weights: part(a), Clipping: part(b), Activations: part(1 - a - b)},
		Int16: &calibrate.Int16Output{Gain: 0.5 * math.Pow(rng.Float64(), 4), Bytes: 2 * side * side * channels, Microseconds: float64(side*side*channels) / 900},
	}
	l.Int16.Chosen = l.Int16.Gain > 0.35
	if l.Int16.Chosen {
		l.Type = int8.Int16
	}
	return l
}

// histogram is of a rectified bell with a few values far out.
func histogram(rng *rand.Rand) *diagnose.Histogram {
	const bins = 512
	h := &diagnose.Histogram{From: 0, Width: (4 + 8*rng.Float64()) / bins, Counts: make([]uint64, bins)}
	spread, tail := 60+40*rng.Float64(), 90+60*rng.Float64()
	for i := range h.Counts {
		x := float64(i)
		h.Counts[i] = uint64(2e6*math.Exp(-x*x/(2*spread*spread)) + 3e3*math.Exp(-x/tail)*rng.Float64())
	}
	h.Counts[0] *= 20
	h.Counts[bins-1] = 1
	return h
}

func picture(t *testing.T, rng *rand.Rand, i int) evaluate.ImageResult {
	img := image.NewRGBA(image.Rect(0, 0, 160, 160))
	for y := range 160 {
		for x := range 160 {
			img.Set(x, y, color.RGBA{R: uint8(40*i + x), G: uint8(x * y / 100), B: uint8(200 - y), A: 255})
		}
	}
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, img, nil))
	p := evaluate.ImageResult{Name: fmt.Sprintf("ILSVRC2012_val_%08d.JPEG", 1+rng.IntN(50000)), JPEG: b.Bytes(), Truth: "tiger cat", SQNR: 11 + float64(i)/2}
	p.Float = []evaluate.Prediction{{Class: "tiger cat", Probability: 0.41}, {Class: "tabby, tabby cat", Probability: 0.38}, {Class: "Egyptian cat", Probability: 0.08}}
	p.Int8 = []evaluate.Prediction{{Class: "tabby, tabby cat", Probability: 0.4}, {Class: "tiger cat", Probability: 0.39}, {Class: "Egyptian cat", Probability: 0.09}}
	return p
}

// arena has a tensor for each step, and a long-lived one beside every third.
func arena(steps int) []runtime.Buffer {
	var all []runtime.Buffer
	for i := range steps {
		bytes := 1_806_336 / (2 + 2*(i/12))
		b := runtime.Buffer{Name: fmt.Sprintf("tensor%d", i), Bytes: bytes, First: i, Last: i + 1}
		if i%2 == 1 {
			b.Offset = bytes
		}
		all = append(all, b)
	}
	return all
}
