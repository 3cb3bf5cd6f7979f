package main

import (
	"bytes"
	"os"
	"path/filepath"
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

// network is a file of a network, and what lies beside it.
func network(t *testing.T, beside map[string]string) (path string) {
	dir := t.TempDir()
	for name, text := range beside {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return filepath.Join(dir, "model.onnx")
}

func TestLabelsOfABuild(t *testing.T) {
	file := textFile(t, "cat\ndog\n")
	own := []labels.Class{{ID: "a", Name: "ant"}, {ID: "b", Name: "bee"}}
	lone, files := network(t, nil), network(t, map[string]string{
		"config.json": `{"architectures": ["x"]}`, "labels.txt": "one\ntwo\nthree\n", "metadata.json": `{"labels": ["up", "down"]}`,
	})
	multi := network(t, map[string]string{"config.json": `{"problem_type": "multi_label_classification", "id2label": {"0": "up", "1": "down"}}`})
	for _, c := range []struct {
		flags        labelFlags
		m            *models.Imported
		path         string
		first, says  string
		alsoMentions string
	}{
		{labelFlags{labels: file}, classifier(t, 2, ""), files, "cat", "labels: 2, cat to dog, by softmax (from " + file + ")", ""},
		{labelFlags{labels: file}, classifier(t, 2, "x", own...), lone, "cat", "by softmax (from " + file, ""},
		{labelFlags{labels: file}, classifier(t, 1, ""), lone, "cat", "by sigmoid (from " + file, ""},
		{labelFlags{labels: file, activation: "sigmoid"}, classifier(t, 2, ""), lone, "cat", "by sigmoid (from " + file, ""},
		{labelFlags{}, classifier(t, 2, "config.json", own...), files, "ant", "ant to bee, by softmax (from config.json)", ""},
		{labelFlags{}, classifier(t, 1, "config.json", own...), lone, "ant", "by sigmoid (from config.json)", ""},
		{labelFlags{}, classifier(t, 2, ""), files, "up", "(from metadata.json)", ""},
		{labelFlags{}, classifier(t, 3, ""), files, "one", "(from labels.txt)", ""},
		{labelFlags{}, classifier(t, 2, ""), multi, "up", "up to down, by sigmoid (from config.json)", ""},
		{labelFlags{activation: "softmax"}, classifier(t, 2, ""), multi, "up", "by softmax", ""},
		{labelFlags{}, classifier(t, 4, ""), files, "class 0", "labels: 4, class 0 to class 3, by softmax (nothing names them)", "labels.txt has 3 labels, the network 4 outputs"},
		{labelFlags{}, classifier(t, 5, "config.json", own...), lone, "class 0", "give -labels PATH", "config.json has 2 labels, the network 5 outputs"},
		{labelFlags{}, classifier(t, 1000, ""), lone, "tench", "labels: 1000, tench to toilet tissue, by softmax (those of ImageNet, as there are so many)", ""},
		{labelFlags{}, classifier(t, 1001, ""), lone, "background", "those of ImageNet", ""},
	} {
		got, err := c.flags.apply(c.m, c.path)
		require.NoError(t, err)
		require.Equal(t, c.first, got.classes[0].Name)
		require.Contains(t, got.describe(), c.says)
		require.Contains(t, got.describe(), c.alsoMentions)
	}
	got, err := (&labelFlags{}).apply(classifier(t, 2, ""), filepath.Dir(files))
	require.NoError(t, err)
	require.Equal(t, "metadata.json", got.from, "a folder is a network, too")
}

func TestLabelsThatDoNotFit(t *testing.T) {
	two, one := textFile(t, "cat\ndog\n"), textFile(t, "cat\n")
	for want, c := range map[string]struct {
		flags  labelFlags
		logits int
	}{
		"file.txt has 2 labels, the network 10 outputs":                                               {labelFlags{labels: two}, 10},
		"file.txt has 2 labels, the network 3 outputs; is a class for the background":                 {labelFlags{labels: two}, 3},
		"file.txt has 1 labels, the network 1 output, which tells two classes apart: give two labels": {labelFlags{labels: one}, 1},
		"has one output: as a softmax it tells nothing apart":                                         {labelFlags{activation: "softmax"}, 1},
		"no such file": {labelFlags{labels: "none.txt"}, 3},
	} {
		_, err := c.flags.apply(classifier(t, c.logits, ""), "model.onnx")
		require.ErrorContains(t, err, want)
	}
	require.ErrorContains(t, (&labelFlags{activation: "tanh"}).check(), "want softmax or sigmoid")
	require.NoError(t, (&labelFlags{activation: "sigmoid"}).check())
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
