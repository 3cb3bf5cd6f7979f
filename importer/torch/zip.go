package torch

import (
	"archive/zip"
	"bytes"
	"fmt"
	"hash/crc32"
	"strings"
)

// entries are a file of PyTorch since 1.6: a zip of a pickle, whose tensors refer
// to storages by key, and one uncompressed entry per storage.
//
// Format: torch/serialization.py of PyTorch.
type entries map[string]*entry // by path below the one folder

// entry is a file of the archive. Its checksum is verified on first use only,
// for any number of tensors may share a storage.
type entry struct {
	data     []byte
	sum      uint32
	verified bool
}

// maxPickle is far above what the names and shapes of a network take, 40 kB for
// a ResNet50.
const maxPickle = 16 << 20

func loadZip(file []byte) (any, error) {
	a, err := openArchive(file)
	if err != nil {
		return nil, err
	}
	pickle, err := a.entry("data.pkl")
	if err != nil {
		return nil, err
	}
	if len(pickle) > maxPickle {
		return nil, fmt.Errorf("the pickle has %d bytes, expected at most %d", len(pickle), maxPickle)
	}
	v, _, err := loader{a.storage}.load(pickle)
	return v, err
}

// openArchive finds the entries' bytes.
func openArchive(file []byte) (entries, error) {
	r, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, fmt.Errorf("%w: it is cut short or damaged, copy or download it again", err)
	}
	a := entries{}
	for _, f := range r.File {
		_, name, ok := strings.Cut(f.Name, "/")
		if !ok {
			return nil, fmt.Errorf("entry %q is in no folder, expected one folder around all", f.Name)
		}
		if _, taken := a[name]; taken {
			return nil, fmt.Errorf("entry %q appears twice", name)
		}
		if f.Method != zip.Store {
			return nil, fmt.Errorf("entry %q is compressed, which torch.save never does", f.Name)
		}
		offset, err := f.DataOffset()
		if err != nil {
			return nil, fmt.Errorf("entry %q: %w", f.Name, err)
		}
		size := f.UncompressedSize64
		if offset < 0 || offset > int64(len(file)) || size > uint64(int64(len(file))-offset) {
			return nil, fmt.Errorf("entry %q has %d bytes at %d, the file only %d", f.Name, size, offset, len(file))
		}
		a[name] = &entry{data: file[offset : offset+int64(size)], sum: f.CRC32}
	}
	if order, ok := a["byteorder"]; ok && string(order.data) != "little" {
		return nil, fmt.Errorf("byte order is %q, expected little", order.data)
	}
	return a, nil
}

// entry returns an entry whose checksum holds.
func (a entries) entry(name string) ([]byte, error) {
	e, ok := a[name]
	if !ok {
		return nil, fmt.Errorf("entry %q is missing", name)
	}
	if !e.verified && crc32.ChecksumIEEE(e.data) != e.sum {
		return nil, fmt.Errorf("entry %q is damaged: its checksum is wrong", name)
	}
	e.verified = true
	return e.data, nil
}

func (a entries) storage(s storageID) ([]byte, error) {
	data, err := a.entry("data/" + s.key)
	if err == nil && len(data) != s.bytes() {
		err = fmt.Errorf("storage %q has %d bytes, expected %d elements of %d bytes", s.key, len(data), s.numel, s.kind.size)
	}
	return data, err
}
