package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/cli"
	"edgeclassify/internal/nettest"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/tensor"
)

// classifier is a network of so many logits, as an importer gives it.
func classifier(t *testing.T, logits int, from string, classes ...labels.Class) *models.Imported {
	spec := preprocess.Torchvision()
	spec.Crop = preprocess.Square(1)
	b := models.NewBuilder("image", tensor.Shape{H: 1, W: 1, C: 3})
	_, err := b.Add("dense", &models.Dense{In: 3, Out: logits, Weight: make([]float32, 3*logits)}, "image")
	require.NoError(t, err)
	g, err := b.Graph("small", spec, classes)
	require.NoError(t, err)
	return &models.Imported{Graph: g, ClassesFrom: from}
}

func TestLabelsOfABuild(t *testing.T) {
	file := textFile(t, "cat\ndog\n")
	own := []labels.Class{{ID: "a", Name: "ant"}, {ID: "b", Name: "bee"}}
	for _, c := range []struct {
		flags labelFlags
		m     *models.Imported
		first string
		says  []string
	}{
		{labelFlags{labels: file}, classifier(t, 2, ""), "cat", []string{"labels: 2, cat to dog, by softmax (from " + file + ")"}},
		{labelFlags{labels: file}, classifier(t, 2, "x", own...), "cat", []string{"by softmax (from " + file}},
		{labelFlags{labels: file}, classifier(t, 1, ""), "cat", []string{"by sigmoid (from " + file}},
		{labelFlags{labels: file, activation: "sigmoid"}, classifier(t, 2, ""), "cat", []string{"by sigmoid (from " + file}},
		{labelFlags{}, classifier(t, 2, "config.json", own...), "ant", []string{"ant to bee, by softmax (from config.json)"}},
		{labelFlags{}, classifier(t, 1, "config.json", own...), "ant", []string{"by sigmoid (from config.json)"}},
		{labelFlags{}, classifier(t, 4, ""), "class 0", []string{"labels: 4, class 0 to class 3, by softmax (nothing names them)", "give -labels PATH"}},
		{labelFlags{}, classifier(t, 5, "config.json", own...), "class 0", []string{"nothing names them", "config.json has 2 labels, the network 5 outputs"}},
		{labelFlags{}, classifier(t, 1000, ""), "tench", []string{"labels: 1000, tench to toilet tissue, by softmax (those of ImageNet, as there are so many)"}},
		{labelFlags{}, classifier(t, 1001, ""), "background", []string{"those of ImageNet"}},
	} {
		got, err := c.flags.apply(c.m)
		require.NoError(t, err)
		require.Equal(t, c.first, got.classes[0].Name)
		for _, text := range c.says {
			require.Contains(t, got.describe(), text)
		}
	}
}

func TestLabelsThatDoNotFit(t *testing.T) {
	two, one, thousand := textFile(t, "cat\ndog\n"), textFile(t, "cat\n"), textFile(t, strings.Repeat("cat\n", 1000))
	for want, c := range map[string]struct {
		flags  labelFlags
		logits int
	}{
		"file.txt has 2 labels, the network 10 outputs":                                               {labelFlags{labels: two}, 10},
		"file.txt has 1000 labels, the network 1001 outputs: TensorFlow's ImageNet networks have":     {labelFlags{labels: thousand}, 1001},
		"file.txt has 1 labels, the network 1 output, which tells two classes apart: give two labels": {labelFlags{labels: one}, 1},
		"has one output: as a softmax it tells nothing apart":                                         {labelFlags{activation: "softmax"}, 1},
		"no such file":            {labelFlags{labels: "none.txt"}, 3},
		"want softmax or sigmoid": {labelFlags{activation: "tanh"}, 3},
	} {
		_, err := c.flags.apply(classifier(t, c.logits, ""))
		require.ErrorContains(t, err, want)
	}
}

// A model gets other labels and keeps all else: tensors byte for byte.
func TestLabel(t *testing.T) {
	dir := t.TempDir()
	model, other, file := filepath.Join(dir, "m.q8"), filepath.Join(dir, "other.q8"), filepath.Join(dir, "labels.txt")
	require.NoError(t, q8.Write(model, nettest.Lights()))
	before, err := os.ReadFile(model)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte("rot\ngr\u00fcn\nblau\n"), 0o600))

	code, out, errs := execute("label", model, "-labels", file, "-out", other)
	require.Zero(t, code, errs)
	require.Equal(t, other+": 3 labels, rot to blau\n", out)
	kept, err := os.ReadFile(model)
	require.NoError(t, err)
	require.Equal(t, before, kept)

	code, _, errs = execute("label", model, "-labels", file)
	require.Zero(t, code, errs)
	after, err := os.ReadFile(model)
	require.NoError(t, err)
	elsewhere, err := os.ReadFile(other)
	require.NoError(t, err)
	require.Equal(t, elsewhere, after)
	tensors := func(b []byte) []byte { return bytes.TrimLeft(b[bytes.LastIndexByte(b, '}')+1:], " ") }
	require.Equal(t, tensors(before), tensors(after))
	m, err := q8.Open(model)
	require.NoError(t, err)
	defer m.Close()
	require.Equal(t, labels.Sigmoid, m.Activation)
	require.Equal(t, "gr\u00fcn", m.Classes[1].Name)
	require.Equal(t, nettest.Lights().Provenance, m.Provenance)

	for want, args := range map[string][]string{
		"has 3 labels":       {day(t), "-labels", file},
		"no labels given":    {model},
		"want one model":     {"-labels", file},
		"no such file":       {model, "-labels", filepath.Join(dir, "none")},
		"line 2 is empty":    {model, "-labels", textFile(t, "a\n\nb")},
		"not a q8 model":     {file, "-labels", file},
		"neither a file nor": {model, "-labels", os.DevNull},
	} {
		code, _, errs := execute(append([]string{"label"}, args...)...)
		require.NotZero(t, code)
		require.Contains(t, errs, want)
	}
	code, _, errs = execute("label", day(t), "-labels", textFile(t, "dunkel\nhell"))
	require.Zero(t, code, errs)
	code, out, _ = execute("label", "-h")
	require.Equal(t, cli.ExitOK, code)
	require.Contains(t, out, "quantize label flowers.q8 -labels train/")
}

func day(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "day.q8")
	require.NoError(t, q8.Write(path, nettest.Day()))
	return path
}

func textFile(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "file.txt")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
