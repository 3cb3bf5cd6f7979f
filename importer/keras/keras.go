// Package keras reads networks that Keras saved, of versions 2 and 3: .keras, .h5,
// TensorFlow.js layers models and what Teachable Machine exports.
package keras

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"edgeclassify/importer/weights"
	"edgeclassify/internal/hdf5"
	"edgeclassify/models"
)

// The files that tell the kinds of folders and archives apart.
const (
	modelJSON  = "model.json"       // TensorFlow.js
	configJSON = "config.json"      // .keras
	weightsH5  = "model.weights.h5" // .keras
	savedModel = "saved_model.pb"
)

// Is tells by content whether the file or folder at path is one of Keras', even of
// a kind that Import refuses with a way out.
func Is(path string) bool {
	s, err := open(path)
	if err != nil {
		return false
	}
	defer s.Close()
	return s.read != nil
}

// Import reads the network at path: a folder or zip archive with a TensorFlow.js
// layers model (model.json; metadata.json beside it makes it Teachable Machine's),
// its .json file, a .keras file or a complete .h5. Nodes carry the names of Keras'
// layers, those of models within the model in front.
//
// Preprocessing is that of the layers Rescaling, Normalization and Resizing at the
// input, or else assumed and noted.
//
// Errors name the layer, tensor or shard, and what was expected.
func Import(path string, o models.ImportOptions) (*models.Imported, error) {
	m, err := func() (*models.Imported, error) {
		s, err := open(path)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		if s.read == nil {
			return nil, errors.New("no model of Keras: want .keras, .h5, or a folder or zip with a TensorFlow.js model.json")
		}
		return s.read(s, o)
	}()
	if err != nil {
		return nil, fmt.Errorf("importer: %s: %w", path, err)
	}
	return m, nil
}

// reader reads one kind of model.
type reader func(s source, o models.ImportOptions) (*models.Imported, error)

// source is an opened file or folder.
type source struct {
	io.Closer
	read  reader // nil: it is not Keras'
	files fs.FS  // of the folder or archive; for .h5 nil
	data  []byte // of the .h5 or .json file
}

type nothing struct{}

func (nothing) Close() error { return nil }

// open tells what is at a path.
func open(path string) (s source, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return source{}, err
	}
	if info.IsDir() {
		root, err := os.OpenRoot(path) // no path leads out of it, not even by a link
		if err != nil {
			return source{}, err
		}
		s = source{Closer: root, files: root.FS()}
		s.read = folderReader(s.files)
		return s, nil
	}
	head := make([]byte, 64)
	f, err := os.Open(path)
	if err != nil {
		return source{}, err
	}
	defer f.Close()
	n, _ := io.ReadFull(f, head)
	switch head = head[:n]; {
	case hdf5.Is(head):
		s = source{Closer: nothing{}, read: readH5}
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return openZip(path)
	case bytes.HasPrefix(bytes.TrimSpace(head), []byte("{")):
		root, err := os.OpenRoot(filepath.Dir(path))
		if err != nil {
			return source{}, err
		}
		s = source{Closer: root, read: readTFJS, files: root.FS()}
	default:
		return source{Closer: nothing{}}, nil
	}
	if s.data, err = os.ReadFile(path); err != nil {
		s.Close()
		return source{}, err
	}
	if s.files != nil && !bytes.Contains(s.data, []byte("weightsManifest")) && !bytes.Contains(s.data, []byte("modelTopology")) &&
		!bytes.Contains(s.data, []byte(`"class_name"`)) {
		s.read = nil // JSON of another kind
	}
	return s, nil
}

// folderReader tells what a folder or archive is.
func folderReader(files fs.FS) reader {
	has := func(name string) bool {
		info, err := fs.Stat(files, name)
		return err == nil && !info.IsDir()
	}
	switch {
	case has(weightsH5) && has(configJSON):
		return readArchive
	case has(modelJSON):
		return readTFJS
	case has(savedModel):
		return refuseSavedModel
	}
	return nil
}

func refuseSavedModel(source, models.ImportOptions) (*models.Imported, error) {
	return nil, errors.New("it is a TensorFlow SavedModel: save the model with model.save(\"model.keras\"), or convert this folder to ONNX with tf2onnx")
}

// openZip looks into an archive; what it is may lie in one of its folders.
func openZip(name string) (source, error) {
	z, err := zip.OpenReader(name)
	if err != nil {
		return source{}, fmt.Errorf("the archive is damaged: %w", err)
	}
	s := source{Closer: z, files: z}
	if err := checkZip(z.File); err != nil {
		z.Close()
		return source{}, err
	}
	if s.read = folderReader(z); s.read != nil {
		return s, nil
	}
	for _, f := range z.File {
		switch folder, file := path.Split(f.Name); {
		case strings.HasPrefix(folder, "__MACOSX"):
		case file == modelJSON, file == savedModel, file == weightsH5:
			inner, err := fs.Sub(z, path.Clean(folder))
			if err != nil {
				continue
			}
			if read := folderReader(inner); read != nil {
				s.files, s.read = inner, read
				return s, nil
			}
		}
	}
	return s, nil
}

// inflation is how much smaller than its content a compressed file may be, and free
// how many bytes may be so in any case: weights do not compress further.
const (
	inflation = 64
	free      = 1 << 20
)

// checkZip refuses archives that say they hold more than they can.
func checkZip(files []*zip.File) error {
	for _, f := range files {
		if f.UncompressedSize64 > free+inflation*f.CompressedSize64 {
			return fmt.Errorf("file %q in the archive has %d bytes out of %d: it is no trained model", f.Name, f.UncompressedSize64, f.CompressedSize64)
		}
	}
	return nil
}

// majorVersion is that of Keras, as "3.15.1" tells; TensorFlow.js is like 2.
func majorVersion(version string) int {
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err == nil {
		return n
	}
	return 2
}

// build makes the network of a topology and named tensors.
func build(config object, version string, arrays map[string]weights.Array, names namer, o models.ImportOptions) (*models.Imported, error) {
	for name, a := range arrays { // counters and states of random generators
		if a.DType >= weights.Int64 && a.DType <= weights.Uint8 {
			delete(arrays, name)
		}
	}
	file := weights.NewFile(arrays)
	b := builder{options: o, weights: file, names: names, keras: majorVersion(version)}
	m, err := b.topology(config)
	if err != nil {
		return nil, err
	}
	return m, file.Unused("the topology of the same file")
}
