package torch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// unpickler runs the part of Python's pickle that checkpoints are made of. It
// builds plain data only: no class is ever resolved. The few calls that tensors
// need go to the reduce and persistent functions; every other object becomes
// a *pyObject.
//
// A list or dict may contain itself, so messages give types, never values.
//
// Values are nil, bool, int64, float64, string, pyTuple, *pyList, *pyDict,
// pyGlobal, *pyObject, and what reduce and persistent return.
//
// Source of the opcodes: Lib/pickletools.py of CPython.
type unpickler struct {
	reduce     func(f pyGlobal, args pyTuple) (any, error)
	persistent func(id any) (any, error)

	in    []byte
	at    int
	stack []any
	marks []int // stack heights
	memo  map[uint32]any
	made  int // values
}

// maxValues bounds the memory that a pickle takes. The checkpoint of a ResNet152
// with its optimizer and an average of the weights has 50,000.
const maxValues = 1 << 20

type (
	pyTuple  []any
	pyList   struct{ items []any }
	pyGlobal struct{ module, name string }
	// pyDict keeps its items as they come: keys may be of any type, and a
	// key's last value counts.
	pyDict struct{ keys, values []any }
	// pyObject is an instance of any class: its items, if it is a kind of dict,
	// and its attributes. All else about it is forgotten.
	pyObject struct {
		class string
		pyDict
	}
)

func (g pyGlobal) String() string { return g.module + "." + g.name }

// pyType is the name of a value's type, as Python's users know it.
func pyType(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case pyTuple:
		return "tuple"
	case *pyList:
		return "list"
	case *pyDict:
		return "dict"
	case pyGlobal:
		return "class"
	case *pyObject:
		return v.class
	}
	return "tensor or storage"
}

// dictOf is a value as a dict: itself, or what an object holds; nil for others.
func dictOf(v any) *pyDict {
	switch v := v.(type) {
	case *pyDict:
		return v
	case *pyObject:
		return &v.pyDict
	}
	return nil
}

// get returns the value of a string key.
func (d *pyDict) get(key string) (any, bool) {
	for i, k := range slices.Backward(d.keys) {
		if k == key {
			return d.values[i], true
		}
	}
	return nil, false
}

var errShort = errors.New("the pickle is cut short")

// unpickle returns the object that data begins with; at is then its end.
func (u *unpickler) unpickle(data []byte) (any, error) {
	u.in, u.memo = data, map[uint32]any{}
	for {
		op, err := u.bytes(1)
		if err != nil {
			return nil, err
		}
		if op[0] == '.' { // STOP
			return u.pop()
		}
		if err := u.step(op[0]); err != nil {
			return nil, fmt.Errorf("pickle, byte %d: %w", u.at, err)
		}
	}
}

func (u *unpickler) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		_, err := u.bytes(1)
		return err
	case 0x95: // FRAME: a hint for buffering
		_, err := u.bytes(8)
		return err
	case '(': // MARK
		u.marks = append(u.marks, len(u.stack))
		return nil
	case '0', '1': // POP, POP_MARK: of values built in a circle
		_, err := u.popItems(op == '1', 1)
		return err
	case 'N':
		return u.push(nil, nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		return u.push(op == 0x88, nil)
	case 'K', 'M', 'J': // BININT1, BININT2, BININT
		return u.push(u.integer(op))
	case 0x8a, 0x8b: // LONG1, LONG4
		return u.push(u.long(op))
	case 'G': // BINFLOAT
		b, err := u.bytes(8)
		if err != nil {
			return err
		}
		return u.push(math.Float64frombits(binary.BigEndian.Uint64(b)), nil)
	case 0x8c, 'U': // SHORT_BINUNICODE, SHORT_BINSTRING
		return u.push(u.text(1))
	case 'X', 'T': // BINUNICODE, BINSTRING
		return u.push(u.text(4))
	case 0x8d: // BINUNICODE8
		return u.push(u.text(8))
	case 'C': // SHORT_BINBYTES
		return u.raw(1)
	case 'B': // BINBYTES
		return u.raw(4)
	case 0x8e, 0x96: // BINBYTES8, BYTEARRAY8
		return u.raw(8)
	case 'q', 'r', 0x94: // BINPUT, LONG_BINPUT, MEMOIZE
		return u.remember(op)
	case 'h', 'j': // BINGET, LONG_BINGET
		return u.recall(op)
	case '}': // EMPTY_DICT
		return u.push(&pyDict{}, nil)
	case ']': // EMPTY_LIST
		return u.push(&pyList{}, nil)
	case ')': // EMPTY_TUPLE
		return u.push(pyTuple{}, nil)
	case 0x8f: // EMPTY_SET
		return u.push(&pyObject{class: "set"}, nil)
	case 0x91: // FROZENSET
		_, err := u.popMark()
		return u.push(&pyObject{class: "frozenset"}, err)
	case 0x85, 0x86, 0x87: // TUPLE1, TUPLE2, TUPLE3
		items, err := u.popN(int(op - 0x84))
		return u.push(pyTuple(items), err)
	case 't': // TUPLE
		items, err := u.popMark()
		return u.push(pyTuple(items), err)
	case 'a', 'e', 0x90: // APPEND, APPENDS, ADDITEMS
		return u.appendItems(op != 'a')
	case 's', 'u': // SETITEM, SETITEMS
		return u.setItems(op == 'u')
	case 'c', 0x93: // GLOBAL, STACK_GLOBAL
		return u.global(op == 'c')
	case 'R', 0x81: // REDUCE, NEWOBJ
		return u.call(2)
	case 0x92: // NEWOBJ_EX
		return u.call(3)
	case 'Q': // BINPERSID
		id, err := u.pop()
		if err != nil {
			return err
		}
		return u.push(u.persistent(id))
	case 'b': // BUILD
		return u.build()
	}
	return fmt.Errorf("opcode 0x%02x is not one that torch.save writes", op)
}

func (u *unpickler) bytes(n int) ([]byte, error) {
	if n > len(u.in)-u.at {
		return nil, errShort
	}
	u.at += n
	return u.in[u.at-n : u.at], nil
}

// unsigned reads a little-endian number of one to eight bytes.
func (u *unpickler) unsigned(size int) (uint64, error) {
	b, err := u.bytes(size)
	v := uint64(0)
	for i, x := range b {
		v |= uint64(x) << (8 * i)
	}
	return v, err
}

func (u *unpickler) integer(op byte) (int64, error) {
	switch op {
	case 'K':
		v, err := u.unsigned(1)
		return int64(v), err
	case 'M':
		v, err := u.unsigned(2)
		return int64(v), err
	}
	v, err := u.unsigned(4)
	return int64(int32(v)), err
}

// long reads an integer of any length; what does not fit 64 bits is an object.
func (u *unpickler) long(op byte) (any, error) {
	b, err := u.sized(int(op-0x8a)*3 + 1)
	if err != nil || len(b) > 8 {
		return &pyObject{class: "int"}, err
	}
	v := int64(0)
	for i, x := range b {
		v |= int64(x) << (8 * i)
	}
	return v << (64 - 8*len(b)) >> (64 - 8*len(b)), nil // sign-extend
}

// sized reads the bytes behind their length, a number of so many bytes.
func (u *unpickler) sized(size int) ([]byte, error) {
	n, err := u.unsigned(size)
	if err != nil {
		return nil, err
	}
	if n > uint64(len(u.in)-u.at) {
		return nil, errShort
	}
	return u.bytes(int(n))
}

// text reads a string. It is copied, for values outlive the file's bytes.
func (u *unpickler) text(size int) (string, error) {
	b, err := u.sized(size)
	return string(b), err
}

// raw reads bytes, which no weights are stored in.
func (u *unpickler) raw(size int) error {
	_, err := u.sized(size)
	return u.push(&pyObject{class: "bytes"}, err)
}

// line reads up to a line feed.
func (u *unpickler) line() (string, error) {
	n := slices.Index(u.in[u.at:], '\n')
	if n < 0 {
		return "", errShort
	}
	b, err := u.bytes(n + 1)
	return string(b[:n]), err
}

func (u *unpickler) push(v any, err error) error {
	if err != nil {
		return err
	}
	if u.made++; u.made > maxValues {
		return fmt.Errorf("holds more than %d values", maxValues)
	}
	u.stack = append(u.stack, v)
	return nil
}

// floor is the height below which a mark protects the stack.
func (u *unpickler) floor() int {
	if len(u.marks) == 0 {
		return 0
	}
	return u.marks[len(u.marks)-1]
}

func (u *unpickler) popN(n int) ([]any, error) {
	if len(u.stack)-u.floor() < n {
		return nil, errors.New("the stack holds too few values")
	}
	items := slices.Clone(u.stack[len(u.stack)-n:])
	u.stack = u.stack[:len(u.stack)-n]
	return items, nil
}

func (u *unpickler) pop() (any, error) {
	items, err := u.popN(1)
	if err != nil {
		return nil, err
	}
	return items[0], nil
}

// popMark pops everything above the last mark, and the mark.
func (u *unpickler) popMark() ([]any, error) {
	if len(u.marks) == 0 {
		return nil, errors.New("there is no mark")
	}
	items, err := u.popN(len(u.stack) - u.floor())
	u.marks = u.marks[:len(u.marks)-1]
	return items, err
}

// popItems pops what APPEND and SETITEM add: everything above the mark, or n.
func (u *unpickler) popItems(many bool, n int) ([]any, error) {
	if many {
		return u.popMark()
	}
	return u.popN(n)
}

func (u *unpickler) top() (any, error) {
	if len(u.stack) <= u.floor() {
		return nil, errors.New("the stack holds too few values")
	}
	return u.stack[len(u.stack)-1], nil
}

func (u *unpickler) remember(op byte) error {
	v, err := u.top()
	if err != nil {
		return err
	}
	key := uint64(len(u.memo))
	switch op {
	case 'q':
		key, err = u.unsigned(1)
	case 'r':
		key, err = u.unsigned(4)
	}
	u.memo[uint32(key)] = v
	if len(u.memo) > maxValues {
		return fmt.Errorf("remembers more than %d values", maxValues)
	}
	return err
}

func (u *unpickler) recall(op byte) error {
	size := 1
	if op == 'j' {
		size = 4
	}
	key, err := u.unsigned(size)
	if err != nil {
		return err
	}
	v, ok := u.memo[uint32(key)]
	if !ok {
		return fmt.Errorf("memo %d is not set", key)
	}
	return u.push(v, nil)
}

func (u *unpickler) appendItems(many bool) error {
	items, err := u.popItems(many, 1)
	if err != nil {
		return err
	}
	v, err := u.top()
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case *pyList:
		v.items = append(v.items, items...)
	case *pyObject: // a kind of list, or a set
	default:
		return fmt.Errorf("cannot append to a value of type %s", pyType(v))
	}
	return nil
}

func (u *unpickler) setItems(many bool) error {
	items, err := u.popItems(many, 2)
	if err != nil {
		return err
	}
	v, err := u.top()
	if err != nil {
		return err
	}
	dict := dictOf(v)
	if dict == nil || len(items)%2 != 0 {
		return fmt.Errorf("cannot set %d keys and values in a value of type %s", len(items), pyType(v))
	}
	for i := 0; i < len(items); i += 2 {
		dict.keys = append(dict.keys, items[i])
		dict.values = append(dict.values, items[i+1])
	}
	return nil
}

func (u *unpickler) global(inline bool) error {
	if inline {
		module, err := u.line()
		if err != nil {
			return err
		}
		name, err := u.line()
		return u.push(pyGlobal{module, name}, err)
	}
	names, err := u.popN(2)
	if err != nil {
		return err
	}
	module, ok1 := names[0].(string)
	name, ok2 := names[1].(string)
	if !ok1 || !ok2 {
		return errors.New("a class is named by something else than strings")
	}
	return u.push(pyGlobal{module, name}, nil)
}

// call makes an object of a class or function, its arguments and what else
// the opcode takes.
func (u *unpickler) call(n int) error {
	v, err := u.popN(n)
	if err != nil {
		return err
	}
	args, ok := v[1].(pyTuple)
	if !ok {
		return fmt.Errorf("cannot call a value of type %s with one of type %s", pyType(v[0]), pyType(v[1]))
	}
	if f, ok := v[0].(pyGlobal); ok {
		return u.push(u.reduce(f, args))
	}
	return u.push(&pyObject{class: pyType(v[0])}, nil) // a method, say
}

// build sets attributes: a dict of them, or that and one of slots.
func (u *unpickler) build() error {
	state, err := u.pop()
	if err != nil {
		return err
	}
	v, err := u.top()
	object, ok := v.(*pyObject)
	if err != nil || !ok { // those of a state dict hold no weights
		return err
	}
	parts, ok := state.(pyTuple)
	if !ok {
		parts = pyTuple{state}
	}
	for _, part := range parts {
		if d, ok := part.(*pyDict); ok {
			if u.made += len(d.keys); u.made > maxValues { // the same dict may be set any number of times
				return fmt.Errorf("holds more than %d values", maxValues)
			}
			object.keys, object.values = append(object.keys, d.keys...), append(object.values, d.values...)
		}
	}
	return nil
}
