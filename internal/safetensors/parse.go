package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Parse reads a whole file held in b, which may be a memory map: the tensors'
// Data are slices of b, not copies.
//
// It rejects everything that the format does not allow: besides malformed
// headers these are duplicate names, unknown element types, data that does not
// fit its shape, and tensors that overlap, leave gaps or do not fill the file.
func Parse(b []byte) (*File, error) {
	header, data, err := split(b)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	p := parser{dec: json.NewDecoder(bytes.NewReader(header))}
	p.dec.UseNumber()
	f, err := p.file()
	if err != nil {
		return nil, fmt.Errorf("safetensors: header: %w", err)
	}
	if err := f.place(p.spans, data); err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	return f, nil
}

// Start is the number of bytes that Parse reads of a file, given its first ones: the header's.
// The others are the tensors' data.
func Start(first [8]byte) int {
	return int(8 + min(binary.LittleEndian.Uint64(first[:]), MaxHeader))
}

// split checks the frame of the file and returns its two parts.
func split(b []byte) (header, data []byte, err error) {
	if len(b) < 8 {
		return nil, nil, fmt.Errorf("the file has %d bytes, too few for the header length", len(b))
	}
	n := binary.LittleEndian.Uint64(b)
	b = b[8:]
	switch {
	case n > MaxHeader:
		return nil, nil, fmt.Errorf("the header claims %d bytes, more than the limit of %d", n, MaxHeader)
	case n > uint64(len(b)):
		return nil, nil, fmt.Errorf("the header claims %d bytes, the file has only %d more", n, len(b))
	}
	header, data = b[:n], b[n:]
	switch {
	case len(header) == 0 || header[0] != '{':
		return nil, nil, errors.New("the header does not begin with {")
	case !utf8.Valid(header):
		return nil, nil, errors.New("the header is not valid UTF-8")
	case !json.Valid(header):
		return nil, nil, errors.New("the header is not valid JSON")
	}
	return header, data, nil
}

// span is the place of a tensor's data: the bytes from begin up to end.
type span struct {
	tensor     int
	begin, end uint64
}

// parser walks the tokens of a header that is known to be valid JSON. It does
// not decode into structs because these would let duplicate keys pass.
type parser struct {
	dec   *json.Decoder
	spans []span
}

func (p *parser) file() (*File, error) {
	f := &File{index: map[string]int{}}
	err := p.object(func(name string) error {
		if name == metadataKey {
			return p.metadata(f)
		}
		if _, taken := f.index[name]; taken {
			return fmt.Errorf("tensor %q appears twice", name)
		}
		t, s, err := p.tensor()
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		t.Name, s.tensor = name, len(f.Tensors)
		f.index[name] = len(f.Tensors)
		f.Tensors = append(f.Tensors, t)
		p.spans = append(p.spans, s)
		return nil
	})
	return f, err
}

func (p *parser) metadata(f *File) error {
	if f.Metadata != nil {
		return fmt.Errorf("%s appears twice", metadataKey)
	}
	f.Metadata = map[string]string{}
	err := p.object(func(key string) error {
		if _, taken := f.Metadata[key]; taken {
			return fmt.Errorf("key %q appears twice", key)
		}
		value, err := p.string()
		f.Metadata[key] = value
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", metadataKey, err)
	}
	return nil
}

func (p *parser) tensor() (t Tensor, s span, err error) {
	var seen []string
	err = p.object(func(key string) (err error) {
		if slices.Contains(seen, key) {
			return fmt.Errorf("key %q appears twice", key)
		}
		seen = append(seen, key)
		switch key {
		case "dtype":
			var name string
			name, err = p.string()
			t.DType = DType(name)
		case "shape":
			t.Shape, err = p.shape()
		case "data_offsets":
			s.begin, s.end, err = p.offsets()
		default:
			err = errors.New("no such key in the format")
		}
		if err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
		return nil
	})
	if err == nil && len(seen) != 3 {
		err = fmt.Errorf("has the keys %q, want dtype, shape and data_offsets", seen)
	}
	return t, s, err
}

func (p *parser) shape() ([]int, error) {
	shape := []int{}
	return shape, p.array(func(n json.Number) error {
		// One bit less than int so that the result is never negative.
		v, err := strconv.ParseUint(n.String(), 10, strconv.IntSize-1)
		if err != nil {
			return fmt.Errorf("%s is no valid dimension", n)
		}
		shape = append(shape, int(v))
		return nil
	})
}

func (p *parser) offsets() (begin, end uint64, err error) {
	var v []uint64
	err = p.array(func(n json.Number) error {
		u, err := strconv.ParseUint(n.String(), 10, 63)
		if err != nil || len(v) == 2 {
			return errors.New("want two offsets in bytes")
		}
		v = append(v, u)
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	if len(v) != 2 {
		return 0, 0, errors.New("want two offsets in bytes")
	}
	return v[0], v[1], nil
}

// object calls member for every key of the object that comes next; member
// reads the value.
func (p *parser) object(member func(key string) error) error {
	if err := p.delim('{'); err != nil {
		return err
	}
	for p.dec.More() {
		key, err := p.string()
		if err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
	}
	return p.delim('}')
}

func (p *parser) array(element func(json.Number) error) error {
	if err := p.delim('['); err != nil {
		return err
	}
	for p.dec.More() {
		tok, err := p.dec.Token()
		if err != nil {
			return err
		}
		n, ok := tok.(json.Number)
		if !ok {
			return fmt.Errorf("found %v, want a number", tok)
		}
		if err := element(n); err != nil {
			return err
		}
	}
	return p.delim(']')
}

func (p *parser) delim(want json.Delim) error {
	tok, err := p.dec.Token()
	if err != nil {
		return err
	}
	if tok != want {
		return fmt.Errorf("found %v, want %v", tok, want)
	}
	return nil
}

func (p *parser) string() (string, error) {
	tok, err := p.dec.Token()
	if err != nil {
		return "", err
	}
	s, ok := tok.(string)
	if !ok {
		return "", fmt.Errorf("found %v, want a string", tok)
	}
	return s, nil
}

// place puts the tensors in the order of their data and gives each its slice,
// once it is known that the spans tile the data exactly.
func (f *File) place(spans []span, data []byte) error {
	slices.SortStableFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	ordered := make([]Tensor, len(spans))
	at := uint64(0)
	for i, s := range spans {
		t := f.Tensors[s.tensor]
		size, err := byteSize(t.DType, t.Shape)
		switch {
		case err != nil:
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		case s.begin != at:
			return fmt.Errorf("tensor %q: data begins at %d, want %d: tensors must neither overlap nor leave gaps", t.Name, s.begin, at)
		case s.end < s.begin || s.end-s.begin != size:
			return fmt.Errorf("tensor %q: offsets %d to %d, but %s%v takes %d bytes", t.Name, s.begin, s.end, t.DType, t.Shape, size)
		case s.end > uint64(len(data)):
			return fmt.Errorf("tensor %q: data ends at %d, the file has only %d bytes of data", t.Name, s.end, len(data))
		}
		t.Data = data[s.begin:s.end:s.end]
		ordered[i] = t
		f.index[t.Name] = i
		at = s.end
	}
	if at != uint64(len(data)) {
		return fmt.Errorf("%d bytes follow the last tensor", uint64(len(data))-at)
	}
	f.Tensors = ordered
	return nil
}
