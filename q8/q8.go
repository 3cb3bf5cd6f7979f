// Package q8 stores quantized networks in model files, and reads them without
// trusting them.
//
// # Format
//
// A .q8 file is a safetensors file (https://huggingface.co/docs/safetensors),
// so that other programs can read the numbers. A layer NAME has the tensors
//
//	NAME.weight      I8   conv: [OutC, KH, KW, InC/Groups]; dense: [Out, In]
//	NAME.bias        I32  [OutC], in accumulator units
//	NAME.multiplier  I32  [OutC], conv only
//	NAME.scale       F32  [OutC]: of one weight step; dense: of one logit step;
//	                      embedding: of one step of each logit that it reads
//
// and the header's metadata has these keys, all but the first three being JSON:
//
//	format         "q8"
//	version        "1"
//	sha256         checksum, see below
//	graph          name, input tensor and layers in topological order
//	preprocessing  how a picture becomes the input
//	labels         the classes in the order of the logits
//	activation     "sigmoid" behind the logits; absent where it is softmax
//	provenance     where the network comes from
//	selftest       an answer that the network must give; may be absent
//
// The bytes are a function of the network: the JSON has one canonical form,
// that of [Encode], and [Decode] accepts no other.
//
// # Checksum
//
// sha256 is the SHA-256 of the whole file, in lower-case hexadecimal, with the
// 64 digits of the checksum itself replaced by zeros. In Python:
//
//	with safetensors.safe_open("model.q8", "numpy") as f:
//	    digest = f.metadata()["sha256"].encode()
//	data = open("model.q8", "rb").read().replace(digest, b"0" * 64, 1)
//	assert hashlib.sha256(data).hexdigest().encode() == digest
//
// It finds accidents, not forgery: whoever makes a file can make its checksum.
// A hostile file can give wrong answers, but it cannot make Decode panic, or
// allocate more than a fixed multiple of the file's header and biases.
package q8

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"edgeclassify/int8"
	"edgeclassify/internal/atomicfile"
	"edgeclassify/internal/safetensors"
)

// Extension of model files.
const Extension = ".q8"

const (
	format  = "q8"
	version = "1"
	// unsealed stands in for the checksum while it is computed.
	unsealed = "0000000000000000000000000000000000000000000000000000000000000000"
)

// Write writes m to path, which afterwards holds the whole model or is as it was.
func Write(path string, m *Model) error {
	return atomicfile.Write(path, 0o644, func(w io.Writer) error { return Encode(w, m) })
}

// Encode writes the file of m to w. Equal models give equal bytes.
func Encode(w io.Writer, m *Model) error {
	if err := encode(w, m); err != nil {
		return fmt.Errorf("q8: %w", err)
	}
	return nil
}

func encode(w io.Writer, m *Model) error {
	inputs := make([][]string, len(m.Layers))
	for i, l := range m.Layers {
		inputs[i] = m.Topology().Names(l.Inputs)
	}
	metadata, err := describe(m, inputs)
	if err != nil {
		return err
	}
	// JSON cannot carry every Go string: make sure that it carries these.
	if _, err := parse(metadata); err != nil {
		return err
	}
	var tensors []safetensors.Tensor
	for i := range m.Layers {
		for _, a := range arrays(&m.Layers[i]) {
			tensors = append(tensors, a.tensor())
		}
	}
	metadata["sha256"] = unsealed
	sum := sha256.New()
	if err := safetensors.Write(sum, metadata, tensors); err != nil {
		return err
	}
	metadata["sha256"] = hex.EncodeToString(sum.Sum(nil))
	return safetensors.Write(w, metadata, tensors)
}

// Decode reads a whole file. The network's weights are views into b, which
// must not change afterwards; everything else is copied. Encoding the model gives
// the file's metadata and tensors again.
func Decode(b []byte) (*Model, error) {
	m, _, err := decode(&source{bytes: b, there: len(b)})
	if err != nil {
		return nil, fmt.Errorf("q8: %w", err)
	}
	return m, nil
}

// decode also returns the checksum. That is computed while the rest of the file is read
// and all else is checked. What does not match it is reported as damaged, whatever else
// is wrong.
func decode(s *source) (m *Model, checksum string, err error) {
	start, err := s.readHeader()
	if err != nil {
		return nil, "", err
	}
	f, err := safetensors.Parse(s.bytes)
	if err != nil {
		return nil, "", explain(s.bytes, err)
	}
	if err := checkFormat(f.Metadata); err != nil {
		return nil, "", err
	}
	checksum = f.Metadata["sha256"]
	at := bytes.Index(s.bytes[:start], []byte(checksum))
	if len(checksum) != len(unsealed) || at < 0 {
		return nil, "", errors.New("metadata sha256 is missing or no checksum")
	}
	read, verified := make(chan error, 1), make(chan error, 1)
	blocks := make(chan int, len(s.bytes)/block+1)
	go func() { read <- s.readBlocks(blocks) }()
	go func() { verified <- verify(s.bytes, checksum, at, blocks) }()
	m, err = parse(f.Metadata)
	cut := <-read
	if err == nil && cut == nil {
		err = complete(m, f)
	}
	if err = cmp.Or(cut, <-verified, err); err != nil {
		return nil, "", err
	}
	return m, checksum, nil
}

// complete gives a model its arrays, and checks it.
func complete(m *Model, f *safetensors.File) (err error) {
	if err := load(m.Layers, f); err != nil {
		return err
	}
	if m.Network, err = int8.NewNetwork(m.Name, m.Input, m.Layers); err != nil {
		return err
	}
	return m.check()
}

// explain says what b is if it is one of the things that end up in place of
// model files.
func explain(b []byte, err error) error {
	start := strings.ToLower(string(bytes.TrimSpace(b[:min(len(b), 256)])))
	switch {
	case len(b) == 0:
		return errors.New("the file is empty")
	case strings.HasPrefix(start, "<"):
		return errors.New("the file is a web page, not a model: download the model itself")
	case strings.HasPrefix(start, "version https://git-lfs"):
		return errors.New("the file is a Git LFS pointer, not a model: run git lfs pull")
	}
	return fmt.Errorf("not a q8 model, or cut short: %w", err)
}

func checkFormat(metadata map[string]string) error {
	if got := metadata["format"]; got != format {
		return fmt.Errorf("not a q8 model but another safetensors file: metadata format is %q, want %q; quantize the float model first", got, format)
	}
	if got := metadata["version"]; got != version {
		return fmt.Errorf("format version %q: this program reads version %s; update this program, or quantize the model again with one of its version", got, version)
	}
	return nil
}

// verify compares the checksum, which lies at a place in b, with b's. It is told of
// blocks that are there by their ends.
func verify(b []byte, checksum string, at int, blocks <-chan int) error {
	sum := sha256.New()
	sum.Write(b[:at])
	io.WriteString(sum, unsealed)
	at += len(unsealed)
	for end := range blocks {
		sum.Write(b[at:end])
		at = end
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != checksum {
		return fmt.Errorf("the file is damaged: its SHA-256 is %s, it should be %s; copy it again", got, checksum)
	}
	return nil
}
