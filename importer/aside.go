package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"edgeclassify/importer/resnet"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
)

// aside is what the files beside a network's say about it.
type aside struct {
	config            resnet.Config
	multiLabel        bool // classes are independent
	spec              *preprocess.Spec
	classes           []labels.Class
	specFrom, clsFrom string
	notes             []string
}

// Names of the files that say preprocessing and classes, the most specific first.
var (
	specFiles  = []string{"preprocessor_config.json", "preprocess.json", "config.json"}
	classFiles = []string{"labels.txt", "labels.json", "classes.txt", "class_names.txt", "class_indices.json", "class_to_idx.json", "metadata.json", "config.json"}
)

// newAside reads the files beside the network's if they can only belong to it: no
// other network is in the folder.
func newAside(s source) (a aside) {
	folder := source{path: filepath.Dir(s.path), dir: true}
	if s.dir {
		folder = s
	} else if files, err := folder.inside(); err != nil || !alone(s, files) {
		return a
	}
	if text, err := readSmall(filepath.Join(folder.path, "config.json")); err == nil {
		_ = json.Unmarshal(text, &a.config) // of another program: says nothing
		var transformers struct {
			Problem string `json:"problem_type"`
		}
		a.multiLabel = json.Unmarshal(text, &transformers) == nil && transformers.Problem == "multi_label_classification"
	}
	for _, name := range specFiles {
		text, err := readSmall(filepath.Join(folder.path, name))
		if err != nil || a.spec != nil {
			continue
		}
		spec, err := preprocess.Parse(text)
		if err == nil {
			a.spec, a.specFrom = &spec, name
		} else if !errors.Is(err, preprocess.ErrNone) {
			a.notes = append(a.notes, fmt.Sprintf("%s is not used for preprocessing: %v.", name, err))
		}
	}
	for _, name := range classFiles {
		text, err := readSmall(filepath.Join(folder.path, name))
		if err != nil || a.classes != nil {
			continue
		}
		if classes, err := labels.Parse(text); err == nil {
			a.classes, a.clsFrom = classes, name
		}
	}
	return a
}

// alone tells whether the network is the only one of the files. Forms of one
// network that hubs keep side by side count as one.
func alone(s source, files []source) bool {
	for _, f := range files {
		if _, network := f.recognized(); network && f.path != s.path && !s.usual() {
			return false
		}
	}
	return true
}

func readSmall(path string) ([]byte, error) {
	const limit = 4 << 20 // bytes; the labels of ImageNet-22k take one
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%s is no file of at most %d bytes", path, limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// complete gives the network the preprocessing and classes that its own file does
// not say.
func (a aside) complete(m *models.Imported) {
	spec, classes, activation := m.Preprocess, m.Classes, m.Activation
	if a.multiLabel {
		activation = labels.Sigmoid
	}
	logits := m.Logits()
	want := activation.Classes(logits.Shape(logits.Output()).Elements())
	if a.spec != nil && m.PreprocessFrom == "" && a.spec.Channels() == m.Input().C {
		spec, m.PreprocessFrom = *a.spec, a.specFrom
		if size := (preprocess.Size{H: m.Input().H, W: m.Input().W}); size != spec.Crop {
			spec = spec.Sized(size)
		}
	}
	if a.classes != nil && m.ClassesFrom == "" {
		if len(a.classes) == want {
			classes, m.ClassesFrom = a.classes, a.clsFrom
		} else {
			a.notes = append(a.notes, fmt.Sprintf("%s names %d classes and is not used: the network has %d.", a.clsFrom, len(a.classes), want))
		}
	}
	m.Graph = m.With(spec, classes, activation)
	m.Notes = append(m.Notes, a.notes...)
}
