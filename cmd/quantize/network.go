package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"edgeclassify/importer"
	"edgeclassify/internal/fetch"
	"edgeclassify/models"
)

// networkFlags say which float network, and what its files leave open.
type networkFlags struct {
	options    models.ImportOptions
	preprocess preprocessFlags
	labels     labelFlags
}

// registerWeights registers what tells files of weights apart.
func registerWeights(f *flag.FlagSet, o *models.ImportOptions) {
	f.BoolVar(&o.EMA, "ema", false, "take the moving average of the weights that a checkpoint holds beside them")
	f.StringVar(&o.Architecture, "architecture", "", "the `NAME` of the network where the names of its tensors do not tell, such as resnetaa50")
}

func (n *networkFlags) register(f *flag.FlagSet) {
	registerWeights(f, &n.options)
	n.preprocess.register(f)
	n.labels.register(f)
}

// networkSection are the flags of what is found by itself where files say it.
var networkSection = []string{"preprocess", "input", "resize", "crop", "interpolation", "order", "mean", "std",
	"activation", "architecture", "ema"}

// network imports a float network and settles what belongs to it. The lines tell
// the user of that.
func (n *networkFlags) network(model string) (m *models.Imported, lines []string, err error) {
	if n.options.Input, err = n.preprocess.size(); err != nil {
		return nil, nil, err
	}
	if m, err = load(model, n.options); err != nil {
		return nil, nil, err
	}
	l, err := n.labels.apply(m)
	if err != nil {
		return nil, nil, err
	}
	spec, from, err := n.preprocess.apply(m)
	if err != nil {
		return nil, nil, err
	}
	m.Graph = m.With(spec, l.classes, l.activation)
	m.PreprocessFrom, m.ClassesFrom = from, l.from
	lines = append(slices.Clone(m.Notes), strings.Split(describePreprocessing(spec, from, m.Guess), "\n")...)
	return m, append(lines, strings.Split(l.describe(), "\n")...), nil
}

// load imports a float network by its path or its name in the cache.
func load(model string, o models.ImportOptions) (*models.Imported, error) {
	if _, err := os.Stat(model); !errors.Is(err, fs.ErrNotExist) {
		return importer.Import(model, o)
	}
	known := fetch.Names()
	if !slices.ContainsFunc(known, func(m fetch.Model) bool { return m.Name == model }) {
		return nil, fmt.Errorf("%s: no such file, nor a network that 'quantize fetch -h' lists", model)
	}
	path, err := fetch.Path(model, "")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not in the cache yet; run: quantize fetch %s", model, model)
	}
	if err != nil {
		return nil, err
	}
	m, err := importer.Import(path, o)
	if err != nil {
		return nil, err
	}
	m.PreprocessFrom = model // whose preprocessing is the usual one
	return m, nil
}
