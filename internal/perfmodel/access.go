package main

import (
	"reflect"
	"slices"
	"strings"
)

// access is one instruction's access to memory, where a pointer among a routine's
// arguments points and so many bytes beyond.
type access struct {
	offset  int32
	pointer uint8 // index of the argument
	size    uint8
	kind    kind
}

// Pointers among the arguments are told apart by what stands above this bit.
const (
	pointerShift  = 40
	pointerMiddle = 1 << (pointerShift - 1)
)

// accesses follows a routine and returns what it reads, writes and prefetches, beside its
// stack, in order. It depends on the arguments but for where pointers point.
func (r routine) accesses(args []uint64, pointers uint64) ([]access, error) {
	marked := slices.Clone(args)
	for i := range marked {
		if pointers>>i&1 != 0 && marked[i] != 0 {
			marked[i] = uint64(i+1)<<pointerShift | pointerMiddle
		}
	}
	data := map[uint64]uint8{}
	if r.flagged != nil {
		r.flagged(marked, func(at uint64) { data[at] = 0 })
	}
	var list []access
	err := r.follow(marked, data, func(at uint64, size int, k kind) {
		if i := at >> pointerShift; i > 0 && i <= uint64(len(marked)) {
			list = append(list, access{int32(int64(at&(1<<pointerShift-1)) - pointerMiddle), uint8(i - 1), uint8(size), k})
		}
	})
	return list, err
}

// kindOf is what an instruction that accesses memory wants, and the bytes.
func kindOf(in *instruction, at int) (kind, int) {
	ops := in.operands
	if strings.HasPrefix(in.name, "prf") {
		if strings.Contains(ops[0], "l2") || strings.Contains(ops[0], "l3") {
			return prefetch2, 1
		}
		return prefetch, 1
	}
	bytes := 0
	for _, o := range ops[:at] {
		bytes += transferBytes(in.name, o, len(named(o)))
	}
	if strings.HasPrefix(in.name, "st") {
		return store, bytes
	}
	return load, bytes
}

// layout is a call's arguments as words, and which of them are pointers, a bit for each.
func layout(args any) (w []uint64, pointers uint64) {
	v := reflect.ValueOf(args)
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.UnsafePointer {
			w, pointers = append(w, uint64(f.Pointer())), pointers|1<<i
		} else {
			w = append(w, uint64(f.Int()))
		}
	}
	return w, pointers
}
