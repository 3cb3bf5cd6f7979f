package importer

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edgeclassify/importer/torch"
)

// open reads what tells the kind of a file.
func open(path string) (source, error) {
	s := source{path: path}
	info, err := os.Stat(path)
	if err != nil {
		return s, err
	}
	if s.dir = info.IsDir(); s.dir {
		return s, nil
	}
	if !info.Mode().IsRegular() {
		return s, fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	const enough = 16 << 10 // a zip's entries and JSON's first keys
	s.head = make([]byte, min(enough, info.Size()))
	n, err := io.ReadFull(f, s.head)
	if s.head = s.head[:n]; err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	if !s.starts("PK\x03\x04") {
		return s, nil
	}
	if archive, err := zip.NewReader(f, info.Size()); err == nil {
		for _, entry := range archive.File {
			s.zip = append(s.zip, entry.Name)
		}
	}
	return s, nil
}

func (s source) starts(with ...string) bool {
	return slices.ContainsFunc(with, func(w string) bool { return bytes.HasPrefix(s.head, []byte(w)) })
}

// isJSON tells whether the file begins as a JSON object that has the key.
func (s source) isJSON(key string) bool {
	text := bytes.TrimLeft(s.head, "\ufeff \t\r\n")
	return len(text) > 0 && text[0] == '{' && bytes.Contains(text, []byte(`"`+key+`"`))
}

// zipped tells whether the file is an archive with such a name in it, in any folder.
func (s source) zipped(name string) bool {
	return slices.ContainsFunc(s.zip, func(n string) bool { return n == name || strings.HasSuffix(n, "/"+name) })
}

func (s source) ext(of ...string) bool {
	return slices.Contains(of, strings.ToLower(filepath.Ext(s.path)))
}

func isTorch(s source) bool {
	return torch.Legacy(s.head) || s.zipped("data.pkl") && !isTorchScript(s)
}

func isTorchScript(s source) bool { return s.zipped("constants.pkl") || s.zipped("bytecode.pkl") }

// isONNX checks for a ModelProto, whose first field is the version, 3 or above, and
// whose second is another of its: SavedModel begins with version 1, Core ML alike.
func isONNX(s source) bool {
	return len(s.head) > 2 && s.head[0] == 0x08 && s.head[1] >= 3 && s.head[1] < 0x40 &&
		bytes.IndexByte([]byte{0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42}, s.head[2]) >= 0 && !isCoreML(s)
}

// isSafetensors checks for a JSON header of a possible length.
func isSafetensors(s source) bool {
	return len(s.head) > 8 && s.head[8] == '{' && binary.LittleEndian.Uint64(s.head) < 1<<32
}

func isIndex(s source) bool { return s.isJSON("weight_map") }

// others are files that people have and that are no network, or not one that can
// be read, with the way out.
func others() []other {
	const onnx = "export the network with torch.onnx.export"
	zeros := func(s source) bool { return !s.dir && len(bytes.Trim(s.head, "\x00")) == 0 }
	return []other{
		{"is empty or begins with zeros: the copy or download did not end well, repeat it", zeros},
		{"is a git-LFS pointer, not the weights: run git lfs pull", prefix("version https://git-lfs")},
		{"is a web page or XML, not weights: download the file itself (on a hub: \"resolve\" in place of \"blob\"), and log in where the page asks for it", isMarkup},
		{"is TorchScript, which holds a program: " + onnx + ", or save torch.jit.load(FILE).state_dict() with torch.save", isTorchScript},
		{"is a program of torch.export: export the network as ONNX, torch.onnx.export(ep, ...)", func(s source) bool { return s.zipped("archive_format") || s.zipped("serialized_exported_program.json") }},
		{"is a TensorFlow Lite model, which is compiled already: take the .h5, .keras or SavedModel it was made from", func(s source) bool { return len(s.head) > 8 && string(s.head[4:8]) == "TFL3" }},
		{"is a TensorFlow SavedModel: convert it, python3 -m tf2onnx.convert --saved-model FOLDER --output model.onnx", isSavedModel},
		{"is a TensorFlow.js graph model: take the Keras model or the SavedModel it was made from", func(s source) bool { return s.isJSON("graph-model") }},
		{"is a Core ML model: take the network it was made from", isCoreML},
		{"is a file of weights for llama.cpp or whisper.cpp", prefix("GGUF", "ggml", "lmgg")},
		{"is an NVIDIA TensorRT engine: take the ONNX file it was made from", prefix("ftrt", "ptrt")},
		{"is a compressed file or archive: unpack it", prefix("\x1f\x8b", "BZh", "\xfd7zXZ", "\x28\xb5\x2f\xfd", "7z\xbc\xaf", "Rar!")},
		{"is a tar archive, or of PyTorch before 0.1.10: unpack it, or load and save it again", func(s source) bool { return len(s.head) > 262 && string(s.head[257:262]) == "ustar" }},
		{"is an array of NumPy: save the network's state_dict with torch.save or safetensors", func(s source) bool {
			return s.starts("\x93NUMPY") || slices.ContainsFunc(s.zip, func(n string) bool { return strings.HasSuffix(n, ".npy") })
		}},
		{"is cut short: it begins as a zip archive and does not end as one, copy or download it again", func(s source) bool { return s.starts("PK\x03\x04") && s.zip == nil }},
		{"is a pickle that torch.save did not write: save model.state_dict() with torch.save", func(s source) bool { return len(s.head) > 1 && s.head[0] == 0x80 && s.head[1] <= 5 }},
	}
}

type other struct {
	is         string
	recognizes func(source) bool
}

func prefix(with ...string) func(source) bool {
	return func(s source) bool { return s.starts(with...) }
}

func isMarkup(s source) bool {
	return bytes.HasPrefix(bytes.TrimLeft(s.head, "\ufeff \t\r\n"), []byte("<"))
}

func isSavedModel(s source) bool {
	if s.dir {
		_, err := os.Stat(filepath.Join(s.path, "saved_model.pb"))
		return err == nil
	}
	return s.starts("\x08\x01\x12") && filepath.Base(s.path) == "saved_model.pb"
}

func isCoreML(s source) bool { return s.ext(".mlmodel", ".mlpackage", ".mlmodelc") }

// refusal says what the file or folder is instead.
func (s source) refusal() error {
	for _, o := range others() {
		if o.recognizes(s) {
			return errors.New(o.is)
		}
	}
	what := "is of no known kind"
	if s.dir {
		what = "has no network in it"
	}
	names := make([]string, 0, len(formats()))
	for _, f := range formats() {
		names = append(names, f.name)
	}
	return fmt.Errorf("%s: want one of %s, or a folder with one", what, strings.Join(names, ", "))
}
