package torch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// magic is 0x1950a86a20f9469cfc6c, the first number of the legacy format.
const magic = "l\xfc\x9cF\xf9 j\xa8P\x19"

// Legacy tells whether a file is of the format before PyTorch 1.6.
func Legacy(file []byte) bool {
	return len(file) > 0 && file[0] == 0x80 && bytes.Contains(file[:min(len(file), 32)], []byte(magic))
}

// loadLegacy reads the format before PyTorch 1.6: pickles of the magic number,
// the protocol's version, facts about the machine, the object, and the keys of
// the storages; then the storages, each behind its number of elements.
//
// Format: _legacy_save in torch/serialization.py of PyTorch.
func loadLegacy(file []byte) (any, error) {
	rest := file
	next := func(load func([]byte) (any, int, error)) (any, error) {
		v, n, err := load(rest)
		rest = rest[n:]
		return v, err
	}
	plain := func(pickle []byte) (any, int, error) {
		u := unpickler{reduce: inert, persistent: func(any) (any, error) { return nil, errors.New("unexpected reference") }}
		v, err := u.unpickle(pickle)
		return v, u.at, err
	}
	var head [3]any
	for i := range head {
		var err error
		if head[i], err = next(plain); err != nil {
			return nil, err
		}
	}
	if version := head[1]; version != int64(1001) {
		return nil, errors.New("the version of the legacy format is not 1001")
	}
	if machine := dictOf(head[2]); machine != nil {
		if little, _ := machine.get("little_endian"); little == false {
			return nil, errors.New("byte order is big, expected little")
		}
	}

	// The storages lie behind the object, and only it tells their sizes: it is
	// read once for these and again for the tensors.
	object, sizes := rest, map[string]storageID{}
	_, err := next(func(pickle []byte) (any, int, error) {
		u := unpickler{reduce: inert, persistent: func(id any) (any, error) {
			s, err := parseStorage(id)
			sizes[s.key] = s
			return nil, err
		}}
		v, err := u.unpickle(pickle)
		return v, u.at, err
	})
	if err != nil {
		return nil, err
	}
	keys, err := next(plain)
	if err != nil {
		return nil, err
	}
	storages, err := legacyStorages(keys, sizes, rest)
	if err != nil {
		return nil, err
	}
	v, _, err := loader{func(s storageID) ([]byte, error) {
		data, ok := storages[s.key]
		if !ok || len(data) != s.bytes() {
			return nil, fmt.Errorf("storage %q has %d bytes, expected %d elements of %d bytes", s.key, len(data), s.numel, s.kind.size)
		}
		return data, nil
	}}.load(object)
	return v, err
}

func inert(f pyGlobal, _ pyTuple) (any, error) { return &pyObject{class: f.String()}, nil }

// legacyStorages cuts the bytes behind the pickles into storages, by key.
func legacyStorages(keys any, sizes map[string]storageID, rest []byte) (map[string][]byte, error) {
	list, ok := keys.(*pyList)
	if !ok {
		return nil, fmt.Errorf("the keys of the storages are of type %s, expected a list", pyType(keys))
	}
	storages := make(map[string][]byte, len(list.items))
	for _, k := range list.items {
		key, ok := k.(string)
		s, known := sizes[key]
		if !ok || !known {
			return nil, fmt.Errorf("storage %q belongs to no tensor", key)
		}
		if len(rest) < 8 || s.bytes() > len(rest)-8 {
			return nil, fmt.Errorf("storage %q of %d bytes is cut short: copy or download the file again", key, s.bytes())
		}
		if n := binary.LittleEndian.Uint64(rest); n != uint64(s.numel) {
			return nil, fmt.Errorf("storage %q has %d elements, expected %d", key, n, s.numel)
		}
		storages[key], rest = rest[8:8+s.bytes()], rest[8+s.bytes():]
	}
	return storages, nil
}
