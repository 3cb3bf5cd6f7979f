package hdf5

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Class is the kind of a datatype's values.
type Class int

// The classes of values that can be read.
const (
	Other    Class = iota
	Integer        // little-endian, signed or not
	Float          // IEEE 754, little-endian
	BFloat16       // the upper half of a Float of 4 bytes
	String         // of fixed size
	Variable       // string of variable length
)

// Type is a datatype.
type Type struct {
	Class Class
	Size  int // bytes of a value
}

// String is the type for people.
func (t Type) String() string {
	names := map[Class]string{Integer: "integers", Float: "floats", BFloat16: "bfloat16", String: "strings", Variable: "strings"}
	name, ok := names[t.Class]
	if !ok {
		return "values of an unsupported type"
	}
	return fmt.Sprintf("%s of %d bytes", name, t.Size)
}

// dataset is what an object header says of values.
type dataset struct {
	Shape []int // nil for a scalar
	Type  Type

	class   byte // of the layout
	compact []byte
	address uint64
	size    uint64
	chunk   []int // nil: in one piece
	filters []filter
}

// The classes of layouts.
const (
	layoutNone byte = iota
	layoutCompact
	layoutContiguous
	layoutChunked
)

// maxRank is HDF5's limit of dimensions.
const maxRank = 32

func (r *reader) dataspace() ([]int, error) {
	version, rank, flags := r.byte(), int(r.byte()), r.byte()
	switch version {
	case 1:
		r.skip(5)
	case 2:
		if r.byte() == 2 { // without values
			return []int{0}, nil
		}
	default:
		return nil, fmt.Errorf("dataspace has version %d, expected 1 or 2", version)
	}
	if rank > maxRank {
		return nil, fmt.Errorf("%d dimensions, HDF5 allows %d", rank, maxRank)
	}
	_ = flags // largest dimensions may follow
	var shape []int
	for range rank {
		n := r.length()
		if n > math.MaxInt32 {
			return nil, fmt.Errorf("a dimension is %d, which is not possible", n)
		}
		shape = append(shape, int(n))
	}
	return shape, r.err
}

func (r *reader) datatype() (Type, error) {
	class, flags := r.byte(), r.bytes(3)
	t := Type{Size: r.int(4)}
	if r.err != nil {
		return Type{}, r.err
	}
	little := flags[0]&1 == 0
	switch class & 15 {
	case 0:
		if little {
			t.Class = Integer
		}
	case 1:
		r.skip(5)
		exponent := r.byte()
		want := map[int]byte{2: 5, 4: 8, 8: 11}[t.Size]
		switch {
		case !little || r.err != nil:
		case exponent == want:
			t.Class = Float
		case t.Size == 2 && exponent == 8:
			t.Class = BFloat16
		}
	case 3:
		t.Class = String
	case 8: // an enumeration, as h5py writes booleans: the base type follows
		base, err := r.datatype()
		if err != nil {
			return Type{}, err
		}
		t.Class = base.Class
	case 9:
		if flags[0]&15 == 1 {
			t.Class = Variable
		}
	}
	return t, r.err
}

func (h *header) layout(r *reader) error {
	version := r.byte()
	if version != 3 && version != 4 {
		return fmt.Errorf("data layout has version %d, expected 3 or 4", version)
	}
	h.class = r.byte() + layoutCompact
	switch h.class {
	case layoutCompact:
		h.compact = r.bytes(r.int(2))
	case layoutContiguous:
		h.address, h.size = r.address(), r.length()
	case layoutChunked:
		if version == 4 {
			h.class = layoutNone // of the new indexes none is supported
			return nil
		}
		rank := int(r.byte()) - 1
		h.address = r.address()
		if rank < 0 || rank > maxRank {
			return fmt.Errorf("chunks have %d dimensions", rank)
		}
		h.chunk = make([]int, rank)
		for i := range h.chunk {
			h.chunk[i] = r.int32()
		}
		r.skip(4) // size of a value
	default:
		h.class = layoutNone
	}
	return nil
}

func (r *reader) int32() int {
	n := r.unsigned(4)
	if n > math.MaxInt32 {
		r.err = errTruncated
	}
	return int(n)
}

// filter is a step of what was done to chunks when they were written.
type filter struct {
	id   int
	size int // of a value, for shuffle
}

// The filters that can be undone.
const (
	deflate    = 1
	shuffle    = 2
	fletcher32 = 3
)

func (h *header) pipeline(r *reader) error {
	version, n := r.byte(), int(r.byte())
	if version != 1 && version != 2 {
		return fmt.Errorf("filters have version %d, expected 1 or 2", version)
	}
	if version == 1 {
		r.skip(6)
	}
	for range n {
		f := filter{id: int(r.unsigned(2))}
		name := 0
		if version == 1 || f.id >= 256 {
			name = int(r.unsigned(2))
		}
		r.skip(2)
		values := int(r.unsigned(2))
		if version == 1 {
			name = (name + 7) &^ 7
		}
		r.skip(name)
		for i := range values {
			if v := r.int32(); i == 0 {
				f.size = v
			}
		}
		if version == 1 && values%2 == 1 {
			r.skip(4)
		}
		h.filters = append(h.filters, f)
	}
	return r.err
}

// Bytes are the values of a dataset, one after the other in row-major order. They
// may share memory with the file.
func (o *Object) Bytes() ([]byte, error) {
	b, err := o.bytes()
	if err != nil {
		return nil, fmt.Errorf("hdf5: %w", err)
	}
	return b, nil
}

func (o *Object) bytes() ([]byte, error) {
	n, err := size(o.Shape, o.Type)
	if err != nil {
		return nil, err
	}
	switch {
	case n == 0:
		return nil, nil
	case o.class == layoutCompact && len(o.compact) >= n:
		return o.compact[:n], nil
	case o.class == layoutContiguous && len(o.filters) == 0 && o.size >= uint64(n):
		r := o.file.block(o.address, uint64(n))
		return r.rest(), r.err
	case o.class == layoutChunked:
		return o.chunks(n)
	case o.class == layoutNone:
		return nil, errors.New("the values' layout is not supported: write the file with h5py's default settings")
	}
	return nil, errTruncated
}

// size is that of an array in bytes.
func size(shape []int, t Type) (int, error) {
	n := t.Size
	for _, d := range shape {
		if d == 0 {
			return 0, nil
		}
	}
	for _, d := range shape {
		if n > math.MaxInt32/d {
			return 0, fmt.Errorf("an array of %v values of %d bytes is too large", shape, t.Size)
		}
		n *= d
	}
	return n, nil
}

// inflation is how much smaller than its values compressed data may be, and free is
// a number of bytes that may be so in any case: what is above was not trained.
const (
	inflation = 64
	free      = 1 << 14
)

// chunks puts a dataset of n bytes together.
func (o *Object) chunks(n int) ([]byte, error) {
	type piece struct {
		offset []int
		data   []byte
		mask   uint64
	}
	rank := len(o.Shape)
	if rank != len(o.chunk) || rank == 0 {
		return nil, fmt.Errorf("chunks %v do not fit a shape of %v", o.chunk, o.Shape)
	}
	want := 1
	for i, d := range o.Shape {
		if o.chunk[i] < 1 {
			return nil, fmt.Errorf("chunks %v are empty", o.chunk)
		}
		want *= (d + o.chunk[i] - 1) / o.chunk[i] // at most n
	}
	chunkSize, err := size(o.chunk, o.Type)
	if err != nil {
		return nil, err
	}
	var pieces []piece
	stored := 0
	walk := o.file.tree
	if o.address == o.file.undefined() { // nothing was written
		walk = func(uint64, byte, int, func([]byte, uint64) error) error { return nil }
	}
	err = walk(o.address, 1, 8+8*(rank+1), func(key []byte, child uint64) error {
		k := &reader{f: o.file, b: key}
		length := k.unsigned(4)
		p := piece{mask: k.unsigned(4)}
		for i := range rank {
			at := k.unsigned(8)
			if at%uint64(o.chunk[i]) != 0 || at >= uint64(o.Shape[i]) {
				return fmt.Errorf("a chunk lies at %d in a dimension of %d", at, o.Shape[i])
			}
			p.offset = append(p.offset, int(at))
		}
		r := o.file.block(child, length)
		p.data = r.rest()
		stored += len(p.data)
		pieces = append(pieces, p)
		return r.err
	})
	if err != nil {
		return nil, err
	}
	if len(pieces) != want {
		return nil, fmt.Errorf("%d chunks of values, expected %d", len(pieces), want)
	}
	if max(n, chunkSize*want) > free+inflation*stored {
		return nil, fmt.Errorf("%d bytes cannot hold a shape of %v", stored, o.Shape)
	}
	out := make([]byte, n)
	for _, p := range pieces {
		data, err := o.unfilter(p.data, p.mask, chunkSize)
		if err != nil {
			return nil, err
		}
		o.place(out, data, p.offset)
	}
	return out, nil
}

// place copies a chunk to where it belongs; what lies behind the dataset's edges is
// left out.
func (o *Object) place(out, data []byte, offset []int) {
	last := len(o.Shape) - 1
	row := min(o.chunk[last], o.Shape[last]-offset[last]) * o.Type.Size
	at := make([]int, last) // in the chunk
	for {
		from, to := 0, 0
		for i, p := range at {
			from, to = from*o.chunk[i]+p, to*o.Shape[i]+offset[i]+p
		}
		from, to = from*o.chunk[last], to*o.Shape[last]+offset[last]
		copy(out[to*o.Type.Size:][:row], data[from*o.Type.Size:])
		i := last - 1
		for ; i >= 0; i-- {
			if at[i]++; at[i] < min(o.chunk[i], o.Shape[i]-offset[i]) {
				break
			}
			at[i] = 0
		}
		if i < 0 {
			return
		}
	}
}

// unfilter undoes the filters, the last one first. Bit i of mask says that filter i
// was left out.
func (o *Object) unfilter(b []byte, mask uint64, n int) ([]byte, error) {
	for i := len(o.filters) - 1; i >= 0; i-- {
		if i < 64 && mask>>i&1 != 0 {
			continue
		}
		var err error
		switch f := o.filters[i]; f.id {
		case deflate:
			b, err = inflate(b, n)
		case shuffle:
			b = unshuffle(b, f.size)
		case fletcher32:
			b = b[:max(len(b)-4, 0)]
		default:
			err = fmt.Errorf("values are written with filter %d, only deflate, shuffle and fletcher32 are supported", f.id)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(b) != n {
		return nil, fmt.Errorf("a chunk has %d bytes, expected %d", len(b), n)
	}
	return b, nil
}

// inflate reads up to n bytes, and what a checksum takes.
func inflate(b []byte, n int) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("a chunk: %w", err)
	}
	b, err = io.ReadAll(io.LimitReader(z, int64(n)+8))
	if err != nil {
		return nil, fmt.Errorf("a chunk: %w", err)
	}
	return b, nil
}

// unshuffle puts the bytes of each value side by side again.
func unshuffle(b []byte, size int) []byte {
	if size < 2 {
		return b
	}
	n := len(b) / size
	out := make([]byte, len(b))
	for i := range n {
		for k := range size {
			out[i*size+k] = b[k*n+i]
		}
	}
	copy(out[n*size:], b[n*size:])
	return out
}

// attribute is a named value of an object.
type attribute struct {
	shape []int
	kind  Type
	data  []byte
}

func (h *header) attribute(r *reader) error {
	version, flags := r.byte(), r.byte()
	if version < 1 || version > 3 {
		return fmt.Errorf("attribute has version %d, expected 1 to 3", version)
	}
	if version == 1 {
		flags = 0
	}
	if flags != 0 {
		return errors.New("an attribute's type is shared, which is not supported")
	}
	sizes := [3]int{int(r.unsigned(2)), int(r.unsigned(2)), int(r.unsigned(2))}
	if version == 3 {
		r.skip(1)
	}
	var parts [3]*reader
	for i, n := range sizes {
		parts[i] = &reader{f: r.f, b: r.bytes(n)}
		if pad := -n & 7; version == 1 {
			r.skip(pad)
		}
	}
	if r.err != nil {
		return r.err
	}
	name := text(parts[0].b)
	kind, err := parts[1].datatype()
	if err != nil {
		return err
	}
	shape, err := parts[2].dataspace()
	if err != nil {
		return err
	}
	n, err := size(shape, kind)
	if err != nil {
		return err
	}
	h.attributes[name] = attribute{shape, kind, r.bytes(n)}
	return r.err
}

// Strings returns the strings of an attribute, one for a scalar. It is nil, without
// an error, where there is none of that name.
func (o *Object) Strings(name string) ([]string, error) {
	a, ok := o.attributes[name]
	if !ok {
		return nil, nil
	}
	if len(a.data) == 0 { // h5py writes an empty list as floats
		return []string{}, nil
	}
	if a.kind.Class != String && a.kind.Class != Variable || a.kind.Size < 1 {
		return nil, fmt.Errorf("hdf5: attribute %q holds %v, expected strings", name, a.kind)
	}
	found := make([]string, 0, len(a.data)/a.kind.Size)
	for b := a.data; len(b) > 0; b = b[a.kind.Size:] {
		value := b[:a.kind.Size]
		if a.kind.Class == Variable {
			var err error
			if value, err = o.file.variable(value); err != nil {
				return nil, fmt.Errorf("hdf5: attribute %q: %w", name, err)
			}
		}
		found = append(found, text(value))
	}
	return found, nil
}

// variable follows a reference to a value of variable length: its length, and where
// it is in which heap.
func (f *File) variable(b []byte) ([]byte, error) {
	r := &reader{f: f, b: b}
	length, address, index := r.unsigned(4), r.address(), uint16(r.unsigned(4))
	if r.err != nil || length == 0 {
		return nil, r.err
	}
	heap, err := f.heap(address)
	if err != nil {
		return nil, err
	}
	value := heap[index]
	if length > uint64(len(value)) {
		return nil, errTruncated
	}
	if !f.spend(int(length)) {
		return nil, errTooMuch
	}
	return value[:length], nil
}

// heap reads a collection of the global heap.
func (f *File) heap(address uint64) (map[uint16][]byte, error) {
	if h, ok := f.heaps[address]; ok {
		return h, nil
	}
	r := f.at(address)
	magic := r.bytes(4)
	r.skip(4)
	size := r.int(f.size)
	if r.err == nil && (string(magic) != "GCOL" || size < r.pos || size > len(r.b)) {
		r.err = errTruncated
	}
	if r.err != nil {
		return nil, r.err
	}
	r.b = r.b[:size]
	h := map[uint16][]byte{}
	for r.err == nil && len(r.b)-r.pos >= 8+f.size {
		index := binary.LittleEndian.Uint16(r.bytes(2))
		r.skip(6)
		n := r.int(f.size)
		if index == 0 { // what is left is free
			break
		}
		h[index] = r.bytes(n)
		r.skip(min(-n&7, len(r.b)-r.pos))
	}
	f.heaps[address] = h
	return h, r.err
}
