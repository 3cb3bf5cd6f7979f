package main

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/evaluate"
	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// importedNetwork takes pictures of a shape, prepared as from says, if it says it.
func importedNetwork(t *testing.T, s tensor.Shape, from string) *models.Imported {
	g := graphtest.Chain(t, s, models.GlobalAveragePool{})
	spec := preprocess.Caffe().Sized(preprocess.Size{H: s.H, W: s.W})
	if s.C == 1 {
		spec = spec.Ordered(preprocess.Grey)
	}
	return &models.Imported{Graph: g.With(spec, nil, g.Activation), PreprocessFrom: from}
}

func preprocessArguments(t *testing.T, args ...string) *preprocessFlags {
	p, f := new(preprocessFlags), flag.NewFlagSet("", flag.ContinueOnError)
	p.register(f)
	require.NoError(t, f.Parse(args))
	return p
}

func TestPreprocessFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"pretrained_cfg":{"input_size":[3,288,288],"crop_pct":0.9,"mean":[0.5,0.5,0.5],"std":[0.5,0.5,0.5]}}`), 0o600))
	square := tensor.Shape{H: 224, W: 224, C: 3}
	for name, c := range map[string]struct {
		args  []string
		shape tensor.Shape
		from  string // of the importer
		want  string
	}{
		"nothing": {nil, square, "", "resize short side to 256 (bilinear), crop 224x224, bgr, mean 103.939 116.779 123.68, std 1 (assumed)\n" +
			"nothing says how the pictures of its training were prepared; where this is not how, its answers are wrong: give -preprocess NAME or FILE, or -mean and -std, see -h"},
		"a network's file": {nil, square, "config.json", "resize short side to 256 (bilinear), crop 224x224, bgr, mean 103.939 116.779 123.68, std 1 (from config.json)"},
		"preset": {[]string{"-preprocess", "torchvision"}, square, "config.json",
			"resize short side to 256 (bilinear), crop 224x224, rgb, mean 123.675 116.28 103.53, std 58.395 57.12 57.375 (from -preprocess torchvision)"},
		"of another size": {[]string{"-preprocess", "unit"}, tensor.Shape{H: 96, W: 128, C: 3}, "",
			"resize short side to 146 (bilinear), crop 128x96, rgb, mean 0, std 255 (from -preprocess unit)"},
		"grey": {[]string{"-preprocess", "torchvision"}, tensor.Shape{H: 28, W: 28, C: 1}, "",
			"resize short side to 32 (bilinear), crop 28x28, grey, mean 114.495, std 57.63 (from -preprocess torchvision)"},
		"file": {[]string{"-preprocess", file}, tensor.Shape{H: 288, W: 288, C: 3}, "",
			"resize short side to 320 (bicubic), crop 288x288, rgb, mean 127.5, std 127.5 (from -preprocess " + file + ")"},
		"single flags": {[]string{"-mean", "0.5", "-std", "0.5,0.25,1", "-order", "bgr", "-resize", "224x224", "-interpolation", "nearest"}, square, "",
			"resize to 224x224 (nearest), crop 224x224, bgr, mean 127.5, std 127.5 63.75 255 (from -mean, -std, -order, -resize, -interpolation)"},
		"in pixels": {[]string{"-std", "1", "-mean", "104, 117,124", "-order", "rgb"}, square, "",
			"resize short side to 256 (bilinear), crop 224x224, rgb, mean 104 117 124, std 1 (from -std, -mean, -order)"},
		"overriding": {[]string{"-preprocess", "timm", "-crop", "0.95", "-interpolation", "bilinear", "-order", "bgr", "-std", "1"}, square, "",
			"resize short side to 235 (bilinear), crop 224x224, bgr, mean 103.53 116.28 123.675, std 255 (from -preprocess timm, -crop, -interpolation, -order, -std)"},
		"resize alone": {[]string{"-resize", "240"}, square, "",
			"resize short side to 240 (bilinear), crop 224x224, bgr, mean 103.939 116.779 123.68, std 1 (assumed)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			spec, from, err := preprocessArguments(t, c.args...).apply(importedNetwork(t, c.shape, c.from))
			require.NoError(t, err)
			require.Equal(t, c.shape, spec.Input())
			require.Contains(t, describePreprocessing(spec, from, ""), "preprocessing: "+c.want)
		})
	}
}

func TestInputSize(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"pretrained_cfg":{"input_size":[3,288,288]}}`), 0o600))
	for _, c := range []struct {
		args []string
		want preprocess.Size
	}{
		{nil, preprocess.Size{}},
		{[]string{"-preprocess", "timm"}, preprocess.Size{}},
		{[]string{"-preprocess", file}, preprocess.Square(288)},
		{[]string{"-preprocess", file, "-input", "320x240"}, preprocess.Size{H: 240, W: 320}},
		{[]string{"-crop", "96"}, preprocess.Square(96)},
	} {
		got, err := preprocessArguments(t, c.args...).size()
		require.NoError(t, err)
		require.Equal(t, c.want, got, c.args)
	}
	_, err := preprocessArguments(t, "-preprocess", "torchvison").size()
	require.ErrorContains(t, err, "-preprocess torchvison: neither a file nor one of torchvision, keras-caffe")
}

func TestPreprocessFlagsRefuse(t *testing.T) {
	square := tensor.Shape{H: 224, W: 224, C: 3}
	for want, args := range map[string][]string{
		"-input 192: the network sees 224 only": {"-input", "192"},
		"want one of them":                      {"-resize", "256", "-crop", "0.9"},
		"want -order grey for 1":                {"-order", "grey"},
		"unknown channel order":                 {"-order", "gbr"},
		"resize 200":                            {"-resize", "200"},
		"std 0":                                 {"-std", "0"},
	} {
		_, _, err := preprocessArguments(t, args...).apply(importedNetwork(t, square, ""))
		require.ErrorContains(t, err, want)
	}
	_, _, err := preprocessArguments(t).apply(importedNetwork(t, tensor.Shape{H: 8, W: 8, C: 4}, ""))
	require.ErrorContains(t, err, "takes 4 channels: pictures have 1 or 3")
	for _, args := range [][]string{{"-mean", "1,2"}, {"-mean", "x"}, {"-resize", "0"}, {"-crop", "-1"}, {"-interpolation", "lanczos"}, {"-input", "x4"}} {
		p, f := new(preprocessFlags), flag.NewFlagSet("", flag.ContinueOnError)
		f.SetOutput(io.Discard)
		p.register(f)
		require.Error(t, f.Parse(args), args)
	}
}

func TestDescribeFit(t *testing.T) {
	own := evaluate.Fit{Right: 31, Of: 50}
	require.Empty(t, describeFit(own, nil))
	require.Equal(t, "WARNING: the preprocessing does not fit the network: the float network is right on 31 of 50 labelled pictures, but on 45 of 50 with -order bgr: give that",
		describeFit(own, &evaluate.Fit{Flags: "-order bgr", Right: 45, Of: 50}))
}
