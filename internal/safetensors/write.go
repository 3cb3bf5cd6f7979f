package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// alignment is a cache line and the widest vector load, in bytes.
const alignment = 64

// Write writes a file. Equal arguments give equal bytes.
//
// The header is padded with spaces so that the data begins at a multiple of 64
// bytes in the file. Tensors are written in descending order of the largest
// power of two, up to 64, that divides their length in bytes, and otherwise as
// given. Every tensor therefore begins at a multiple of that power, hence at a
// multiple of its element size, and of 64 where its own length is one.
func Write(w io.Writer, metadata map[string]string, tensors []Tensor) error {
	ordered := slices.Clone(tensors)
	slices.SortStableFunc(ordered, func(a, b Tensor) int {
		return cmp.Compare(lengthAlignment(b), lengthAlignment(a))
	})
	head, err := header(metadata, ordered)
	if err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	if _, err := w.Write(head); err != nil {
		return fmt.Errorf("safetensors: header: %w", err)
	}
	for _, t := range ordered {
		if _, err := w.Write(t.Data); err != nil {
			return fmt.Errorf("safetensors: tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

func lengthAlignment(t Tensor) int {
	return 1 << bits.TrailingZeros(uint(len(t.Data)|alignment))
}

// header returns the length field and the padded JSON.
func header(metadata map[string]string, tensors []Tensor) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 8, 512))
	b.WriteByte('{')
	if len(metadata) > 0 {
		for k, v := range metadata {
			if !utf8.ValidString(k) || !utf8.ValidString(v) {
				return nil, fmt.Errorf("metadata %q: not valid UTF-8", k)
			}
		}
		if err := member(b, metadataKey, metadata); err != nil {
			return nil, err
		}
	}
	seen := map[string]bool{metadataKey: true}
	offset := 0
	for _, t := range tensors {
		if err := check(t, seen); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		seen[t.Name] = true
		end := offset + len(t.Data)
		err := member(b, t.Name, struct {
			DType   DType  `json:"dtype"`
			Shape   []int  `json:"shape"`
			Offsets [2]int `json:"data_offsets"`
		}{t.DType, append([]int{}, t.Shape...), [2]int{offset, end}}) // a nil shape is [] too, not null
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		offset = end
	}
	b.WriteByte('}')
	for b.Len()%alignment != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-8 > MaxHeader {
		return nil, fmt.Errorf("the header has %d bytes, more than the limit of %d", b.Len()-8, MaxHeader)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(b.Len()-8))
	return b.Bytes(), nil
}

func check(t Tensor, seen map[string]bool) error {
	if !utf8.ValidString(t.Name) {
		return fmt.Errorf("the name is not valid UTF-8")
	}
	if seen[t.Name] {
		return fmt.Errorf("the name is taken")
	}
	size, err := byteSize(t.DType, t.Shape)
	if err != nil {
		return err
	}
	if size != uint64(len(t.Data)) {
		return fmt.Errorf("has %d bytes, but %s%v takes %d", len(t.Data), t.DType, t.Shape, size)
	}
	return nil
}

// member appends one key and its value to an open JSON object.
func member(b *bytes.Buffer, key string, value any) error {
	k, err := json.Marshal(key)
	if err != nil {
		return err
	}
	v, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if b.Bytes()[b.Len()-1] != '{' {
		b.WriteByte(',')
	}
	b.Write(k)
	b.WriteByte(':')
	b.Write(v)
	return nil
}
