// Package hdf5 reads the part of HDF5 that h5py writes by default: groups of
// symbol tables, attributes in object headers, and datasets that are compact,
// contiguous or cut into chunks, of little-endian numbers and strings.
//
// The work and memory that reading takes stay in proportion to the file: each
// byte is read a bounded number of times.
//
// Format: "HDF5 File Format Specification Version 3.0",
// https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
package hdf5

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// File is an HDF5 file in memory.
type File struct {
	data         []byte
	root         uint64
	offset, size int // bytes of an address and of a length
	budget       int // bytes that may still be read
	heaps        map[uint64]map[uint16][]byte
}

// rereads is how often the bytes of a file may be read, on average.
const rereads = 16

const signature = "\x89HDF\r\n\x1a\n"

// Is tells whether b begins as an HDF5 file.
func Is(b []byte) bool { return bytes.HasPrefix(b, []byte(signature)) }

// Parse reads the header of a file. The File refers to b.
func Parse(b []byte) (*File, error) {
	f := &File{data: b, budget: rereads*len(b) + 1<<16, heaps: map[uint64]map[uint16][]byte{}}
	if err := f.superblock(); err != nil {
		return nil, fmt.Errorf("hdf5: %w", err)
	}
	return f, nil
}

func (f *File) superblock() error {
	if !Is(f.data) {
		return errors.New("the file does not begin with HDF5's signature")
	}
	r := &reader{f: f, b: f.data[len(signature):]}
	switch version := r.byte(); version {
	case 0, 1:
		r.skip(4)
		f.offset, f.size = int(r.byte()), int(r.byte())
		r.skip(1 + 4 + 4 + 4*int(version))
		base := r.address()
		r.skip(3*f.offset + f.offset) // free space, end, driver; the name of the root
		f.root = r.address()
		if base != 0 {
			return fmt.Errorf("base address is %d, only 0 is supported", base)
		}
	case 2, 3:
		f.offset, f.size = int(r.byte()), int(r.byte())
		r.skip(1 + 3*f.offset)
		f.root = r.address()
	default:
		return fmt.Errorf("superblock has version %d, expected 0 to 3", version)
	}
	return r.err
}

// Object is a group or a dataset.
type Object struct {
	file       *File
	links      map[string]uint64
	attributes map[string]attribute
	dataset
}

// Root is the group that holds all others.
func (f *File) Root() (*Object, error) { return f.object(f.root) }

// Object returns what the path leads to, seen from o. It is nil, without an error,
// where no link has that name.
func (o *Object) Object(path ...string) (*Object, error) {
	for _, name := range path {
		address, ok := o.links[name]
		if !ok {
			return nil, nil
		}
		next, err := o.file.object(address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		o = next
	}
	return o, nil
}

// Links are the names of what a group holds, in no order.
func (o *Object) Links() []string {
	names := make([]string, 0, len(o.links))
	for name := range o.links {
		names = append(names, name)
	}
	return names
}

// object reads the messages of an object header.
func (f *File) object(address uint64) (*Object, error) {
	o := &Object{file: f, links: map[string]uint64{}, attributes: map[string]attribute{}}
	h := header{Object: o}
	if err := h.read(address); err != nil {
		return nil, fmt.Errorf("hdf5: object at %d: %w", address, err)
	}
	return o, nil
}

// header reads an object header.
type header struct {
	*Object
	order  bool // messages of version 2 have a creation order
	second bool // version 2
	chunks []chunk
}

// chunk is a piece of a header.
type chunk struct{ address, size uint64 }

func (h *header) read(address uint64) error {
	r := h.file.at(address)
	if magic := r.bytes(4); bytes.Equal(magic, []byte("OHDR")) {
		h.second = true
		if version := r.byte(); r.err == nil && version != 2 {
			return fmt.Errorf("object header has version %d, expected 2", version)
		}
		flags := r.byte()
		h.order = flags&4 != 0
		r.skip(int(flags>>5&1) * 16)
		r.skip(int(flags>>4&1) * 4)
		h.chunks = []chunk{{0, r.unsigned(1 << (flags & 3))}}
	} else {
		if r.err == nil && magic[0] != 1 {
			return fmt.Errorf("no object header (it begins with %q)", magic)
		}
		r.skip(4)
		h.chunks = []chunk{{0, r.unsigned(4)}}
		r.skip(4)
	}
	h.chunks[0].address = address + uint64(r.pos)
	if r.err != nil {
		return r.err
	}
	for len(h.chunks) > 0 { // messages add to them
		c := h.chunks[0]
		h.chunks = h.chunks[1:]
		if err := h.messages(c); err != nil {
			return err
		}
	}
	return nil
}

// messages reads those of a chunk.
func (h *header) messages(c chunk) error {
	r := h.file.block(c.address, c.size)
	if h.second && bytes.HasPrefix(r.b, []byte("OCHK")) {
		r.skip(4)
		r.b = r.b[:max(len(r.b)-4, r.pos)] // checksum
	}
	least := 8
	if h.second {
		least = 4
	}
	for r.err == nil && len(r.b)-r.pos >= least {
		var kind, size int
		var flags byte
		if h.second {
			kind, size, flags = int(r.byte()), int(r.unsigned(2)), r.byte()
			if h.order {
				r.skip(2)
			}
		} else {
			kind, size, flags = int(r.unsigned(2)), int(r.unsigned(2)), r.byte()
			r.skip(3)
		}
		body := &reader{f: h.file, b: r.bytes(size)}
		parse := messages[kind]
		if parse == nil || r.err != nil {
			continue
		}
		if flags&2 != 0 {
			return fmt.Errorf("header message %d is shared, which is not supported", kind)
		}
		if err := errors.Join(parse(h, body), body.err); err != nil {
			return err
		}
	}
	return r.err
}

// messages are the parsers of header messages, by kind. Others say nothing about
// content.
var messages = map[int]func(*header, *reader) error{
	0x01: func(h *header, r *reader) (err error) { h.Shape, err = r.dataspace(); return err },
	0x02: (*header).linkInfo,
	0x03: func(h *header, r *reader) (err error) { h.Type, err = r.datatype(); return err },
	0x06: (*header).link,
	0x08: (*header).layout,
	0x0b: (*header).pipeline,
	0x0c: (*header).attribute,
	0x10: (*header).continuation,
	0x11: (*header).symbolTable,
	0x15: (*header).attributeInfo,
}

func (h *header) continuation(r *reader) error {
	h.chunks = append(h.chunks, chunk{r.address(), r.length()})
	return nil
}

// link reads a link message: hard links alone lead anywhere.
func (h *header) link(r *reader) error {
	if version := r.byte(); version != 1 {
		return fmt.Errorf("link has version %d, expected 1", version)
	}
	flags, kind := r.byte(), byte(0)
	if flags&8 != 0 {
		kind = r.byte()
	}
	r.skip(int(flags>>2&1) * 8)
	r.skip(int(flags >> 4 & 1))
	name := string(r.bytes(r.int(1 << (flags & 3))))
	if kind == 0 && r.err == nil {
		h.links[name] = r.address()
	}
	return nil
}

// linkInfo refuses links that lie in a heap.
func (h *header) linkInfo(r *reader) error {
	r.skip(1)
	if flags := r.byte(); flags&1 != 0 {
		r.skip(8)
	}
	return h.noHeap("links", r)
}

func (h *header) attributeInfo(r *reader) error {
	r.skip(1)
	if flags := r.byte(); flags&1 != 0 {
		r.skip(2)
	}
	return h.noHeap("attributes", r)
}

func (h *header) noHeap(what string, r *reader) error {
	if heap := r.address(); r.err == nil && heap != h.file.undefined() {
		return fmt.Errorf("%s lie in a fractal heap, which is not supported: write the file with h5py's libver=\"earliest\", its default", what)
	}
	return nil
}

// symbolTable reads a group of the old format: a B-tree of symbol nodes, with names
// in a local heap.
func (h *header) symbolTable(r *reader) error {
	tree, heap := r.address(), r.address()
	if r.err != nil {
		return r.err
	}
	hr := h.file.at(heap)
	if magic := hr.bytes(4); hr.err == nil && string(magic) != "HEAP" {
		return errors.New("a group has no heap of names")
	}
	hr.skip(4)
	size := hr.length()
	hr.skip(h.file.size)
	names := h.file.block(hr.address(), size)
	if err := errors.Join(hr.err, names.err); err != nil {
		return err
	}
	return h.file.tree(tree, 0, h.file.size, func(_ []byte, node uint64) error { return h.symbols(node, names.b) })
}

// symbols reads a leaf of a group's tree.
func (h *header) symbols(address uint64, names []byte) error {
	r := h.file.at(address)
	if magic := r.bytes(4); r.err == nil && string(magic) != "SNOD" {
		return errors.New("a group has a damaged node")
	}
	r.skip(2)
	for range r.int(2) {
		offset := r.unsigned(h.file.offset)
		target := r.address()
		r.skip(24)
		if r.err != nil {
			return r.err
		}
		if offset >= uint64(len(names)) {
			return errors.New("a link's name lies outside of the heap")
		}
		name, _, _ := bytes.Cut(names[offset:], []byte{0})
		if !h.file.spend(len(name)) {
			return errTooMuch
		}
		if target != h.file.undefined() { // not a soft link
			h.links[string(name)] = target
		}
	}
	return r.err
}

// tree calls leaf with each key and address at the leaves of a version 1 B-tree.
func (f *File) tree(address uint64, kind byte, keySize int, leaf func(key []byte, child uint64) error) error {
	return f.subtree(address, kind, keySize, -1, leaf)
}

func (f *File) subtree(address uint64, kind byte, keySize, level int, leaf func(key []byte, child uint64) error) error {
	r := f.at(address)
	if magic := r.bytes(4); r.err == nil && string(magic) != "TREE" {
		return errors.New("a B-tree has a damaged node")
	}
	found, at := r.byte(), int(r.byte())
	if r.err == nil && (found != kind || level >= 0 && at != level) {
		return errors.New("a B-tree has a node in the wrong place")
	}
	n := r.int(2)
	r.skip(2 * f.offset)
	for range n {
		key, child := r.bytes(keySize), r.address()
		if r.err != nil {
			return r.err
		}
		var err error
		if at == 0 {
			err = leaf(key, child)
		} else {
			err = f.subtree(child, kind, keySize, at-1, leaf)
		}
		if err != nil {
			return err
		}
	}
	return r.err
}

var (
	errTruncated = errors.New("the file ends early or is damaged: copy it again from its source")
	errTooMuch   = errors.New("the file is damaged: its parts refer to each other too often")
)

// undefined is the address that stands for none.
func (f *File) undefined() uint64 { return 1<<(8*f.offset) - 1 }

// spend takes bytes off the budget.
func (f *File) spend(n int) bool {
	f.budget -= n
	return f.budget >= 0
}

// at reads from an address on.
func (f *File) at(address uint64) *reader {
	if address >= uint64(len(f.data)) {
		return &reader{f: f, err: errTruncated}
	}
	return &reader{f: f, b: f.data[address:], counted: true}
}

// block reads so many bytes at an address.
func (f *File) block(address, size uint64) *reader {
	r := f.at(address)
	if r.err == nil && size > uint64(len(r.b)) {
		return &reader{f: f, err: errTruncated}
	}
	if r.err == nil {
		r.b = r.b[:size:size]
	}
	return r
}

// reader takes numbers off a piece of the file until the first error, after which
// it returns zeros.
type reader struct {
	f       *File
	b       []byte
	pos     int
	counted bool // what is read costs budget
	err     error
}

func (r *reader) bytes(n int) []byte {
	if r.err == nil && (n < 0 || n > len(r.b)-r.pos) {
		r.err = errTruncated
	}
	if r.err == nil && r.counted && !r.f.spend(n) {
		r.err = errTooMuch
	}
	if r.err != nil {
		return make([]byte, min(max(n, 0), 8))
	}
	r.pos += n
	return r.b[r.pos-n : r.pos : r.pos]
}

func (r *reader) skip(n int) {
	if r.err == nil && n > len(r.b)-r.pos {
		r.err = errTruncated
	} else if r.err == nil {
		r.pos += n
	}
}

// rest is all that is left.
func (r *reader) rest() []byte { return r.bytes(len(r.b) - r.pos) }

func (r *reader) byte() byte { return r.bytes(1)[0] }

// unsigned is a little-endian number of up to 8 bytes.
func (r *reader) unsigned(size int) uint64 {
	if size > 8 || size < 1 {
		r.err = errTruncated
		return 0
	}
	var full [8]byte
	copy(full[:], r.bytes(size))
	return binary.LittleEndian.Uint64(full[:])
}

// int is a number that fits the file, as sizes and counts of its parts do.
func (r *reader) int(size int) int {
	n := r.unsigned(size)
	if r.err == nil && n > uint64(len(r.f.data)) {
		r.err = errTruncated
		return 0
	}
	return int(n)
}

func (r *reader) address() uint64 { return r.unsigned(r.f.offset) }
func (r *reader) length() uint64  { return r.unsigned(r.f.size) }

// text is a string of a fixed size: up to its first zero byte.
func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}
