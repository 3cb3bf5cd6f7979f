// Package importer reads trained networks of the formats that people have them in.
package importer

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edgeclassify/importer/keras"
	"edgeclassify/importer/onnx"
	"edgeclassify/models"
	"edgeclassify/preprocess"
)

// format is a kind of file or folder that networks come in.
type format struct {
	name       string
	recognizes func(source) bool // by content, not by name
	read       func(path string, o models.ImportOptions) (*models.Imported, error)
}

// formats are in the order of preference in a folder: those that say what the
// network computes before those of weights alone.
func formats() []format {
	return []format{
		{"Keras model", isKeras, keras.Import},
		{"ONNX", isONNX, onnx.Import},
		{"index of sharded weights", isIndex, readIndex},
		{"safetensors", isSafetensors, readSafetensors},
		{"PyTorch checkpoint", isTorch, readTorch},
	}
}

// Import reads a trained network of any format it understands, told by content.
// In a folder it looks for the one network. Where the network's file does not say
// its classes or preprocessing, files beside it may (see aside).
func Import(path string, o models.ImportOptions) (*models.Imported, error) {
	s, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("importer: %w", err)
	}
	f, s, err := s.format()
	if err != nil {
		return nil, fmt.Errorf("importer: %s: %w", path, err)
	}
	beside := newAside(s)
	if o.Input == (preprocess.Size{}) && beside.spec != nil {
		o.Input = beside.spec.Crop
	}
	o.Architecture = cmp.Or(o.Architecture, beside.config.Architecture)
	imported, err := f.read(s.path, o)
	if err != nil {
		return nil, err
	}
	beside.complete(imported)
	return imported, nil
}

// format tells the kind of a file, or finds the network's in a folder.
func (s source) format() (format, source, error) {
	if f, ok := s.recognized(); ok {
		return f, s, nil
	}
	if !s.dir {
		return format{}, s, s.refusal()
	}
	inside, err := s.inside()
	if err != nil {
		return format{}, s, err
	}
	for _, f := range formats() {
		var found []source
		for _, file := range inside {
			if f.recognizes(file) {
				found = append(found, file)
			}
		}
		usual := slices.IndexFunc(found, source.usual)
		switch {
		case usual >= 0:
			return f, found[usual], nil
		case len(found) == 1:
			return f, found[0], nil
		case len(found) > 1:
			return format{}, s, fmt.Errorf("holds several networks, %s and %s: name one", filepath.Base(found[0].path), filepath.Base(found[1].path))
		}
	}
	return format{}, s, s.refusal()
}

// usualNames are those of the network in a folder of timm's or transformers'.
var usualNames = []string{"model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin", "model.onnx"}

func (s source) usual() bool { return slices.Contains(usualNames, filepath.Base(s.path)) }

func (s source) recognized() (format, bool) {
	for _, f := range formats() {
		if f.recognizes(s) {
			return f, true
		}
	}
	return format{}, false
}

// source is a file or folder whose kind is to be told.
type source struct {
	path string
	dir  bool
	head []byte   // what a file begins with
	zip  []string // the names in it, if it is a zip archive
}

// inside are the files of a folder, without hidden ones.
func (s source) inside() (files []source, err error) {
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Type()&fs.ModeDir != 0 || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if file, err := open(filepath.Join(s.path, e.Name())); err == nil && !file.dir {
			files = append(files, file)
		}
	}
	return files, nil
}

func isKeras(s source) bool { return keras.Is(s.path) }
