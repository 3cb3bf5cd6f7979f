package main

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// machine follows a function's control flow: it computes what general
// registers hold and passes over vector instructions. Data in memory is
// unknown, except for what it is told and what the function itself stored; a
// branch that depends on anything unknown is an error. The trace of a call is
// exact that way, whatever the loops look like.
type machine struct {
	registers [31]word
	sp        word
	flags     word                              // the bits N Z C V, N highest
	memory    map[uint64]uint8                  // known bytes
	visit     func(at uint64, size int, k kind) // is told of accesses to memory, unless nil
}

// word is a value that may be unknown.
type word struct {
	bits  uint64
	known bool
}

func known(bits uint64) word { return word{bits, true} }

// longest is the number of instructions after which a trace is given up, and far what
// only follows the function.
const longest, far = 1 << 18, 1 << 24

// stack is an address that no argument points to.
const stack = 0x7fff_f000_0000_0000

// trace returns the instructions that the function executes for these
// arguments, in order. The known bytes of memory are data, which trace takes over.
func (f *function) trace(arguments []uint64, data map[uint64]uint8) (executed []*instruction, err error) {
	m := &machine{memory: data}
	err = f.run(m, arguments, longest, func(in *instruction) { executed = append(executed, in) })
	return executed, err
}

// follow is trace that tells of accesses to memory instead.
func (f *function) follow(arguments []uint64, data map[uint64]uint8, visit func(at uint64, size int, k kind)) error {
	return f.run(&machine{memory: data, visit: visit}, arguments, far, func(*instruction) {})
}

// run executes the function. Go's assembly finds arguments above the return address.
func (f *function) run(m *machine, arguments []uint64, limit int, each func(*instruction)) error {
	m.sp = known(stack)
	for i, a := range arguments {
		m.store(known(stack+8+8*uint64(i)), known(a), 8)
	}
	index := map[uint64]int{}
	for i := range f.code {
		index[f.code[i].address] = i
	}
	at := 0
	for range limit {
		if at >= len(f.code) {
			return fmt.Errorf("%s: runs beyond its end", f.name)
		}
		in := &f.code[at]
		each(in)
		if in.name == "ret" {
			return nil
		}
		target, err := m.step(in)
		if err != nil {
			return fmt.Errorf("%s: at %#x, %q: %w", f.name, in.address, in.text(), err)
		}
		at++
		if target != 0 {
			to, ok := index[target]
			if !ok {
				return fmt.Errorf("%s: at %#x: leaves the function", f.name, in.address)
			}
			at = to
		}
	}
	return fmt.Errorf("%s: does not end within %d instructions, called with %d", f.name, limit, arguments)
}

// step executes an instruction and returns where it branches to, 0 for the
// next one.
func (m *machine) step(in *instruction) (uint64, error) {
	if target, ok, err := m.branch(in); ok {
		return target, err
	}
	ops := in.operands
	switch {
	case in.name == "hint" || len(ops) == 0:
	case strings.HasPrefix(in.name, "prf"):
		_, address, _ := m.address(ops, memoryOperand(ops))
		m.tell(in, memoryOperand(ops), address)
	case memoryOperand(ops) >= 0:
		m.access(in)
	case !isGeneral(ops[0]): // vectors
	default:
		name, ops := canonical(in)
		v, ok := m.compute(name, ops)
		if !ok {
			return 0, fmt.Errorf("an instruction that the model does not know")
		}
		m.set(ops[0], v)
	}
	return 0, nil
}

// branch follows a branch. Its second result says whether it was one.
func (m *machine) branch(in *instruction) (target uint64, ok bool, err error) {
	ops := in.operands
	taken := known(1)
	switch name, condition, _ := strings.Cut(in.name, "."); name {
	case "b":
		if condition != "" {
			taken = m.holds(condition)
		}
	case "cbz", "cbnz":
		v := m.get(ops[0])
		taken = word{boolBit((v.bits == 0) == (name == "cbz")), v.known}
	case "tbz", "tbnz":
		v := m.get(ops[0])
		bit := v.bits >> immediate(ops[1]) & 1
		taken = word{boolBit((bit == 0) == (name == "tbz")), v.known}
	case "bl", "br", "blr":
		return 0, true, fmt.Errorf("calls are not followed")
	default:
		return 0, false, nil
	}
	switch {
	case !taken.known:
		return 0, true, fmt.Errorf("the branch depends on data")
	case taken.bits == 0:
		return 0, true, nil
	}
	return immediate(ops[len(ops)-1]), true, nil
}

// compute returns the result of an instruction that writes a general register
// or only flags. It knows what kernels use.
func (m *machine) compute(name string, ops []string) (word, bool) {
	wide := ops[0][0] != 'w'
	size := 32
	if wide {
		size = 64
	}
	switch name {
	case "mov":
		return m.flexible(ops[1:], wide), true
	case "adr", "adrp":
		return known(immediate(ops[1])), true
	case "umov", "smov", "fmov", "mrs", "movk":
		return word{}, true
	case "cset":
		return m.holds(ops[1]), true
	}
	if len(ops) < 3 {
		return word{}, false
	}
	modified := ops[2:]
	if name == "madd" || name == "msub" || name == "csel" { // their fourth operand is none of the third's
		modified = ops[2:3]
	}
	a, b := m.get(ops[1]), m.flexible(modified, wide)
	r := word{known: a.known && b.known}
	name, flags := strings.CutSuffix(name, "s")
	switch name {
	case "add":
		r.bits, m.flags = m.sum(a, b, 0, size, flags)
	case "sub":
		r.bits, m.flags = m.sum(a, word{^b.bits, b.known}, 1, size, flags)
	case "and":
		r.bits = a.bits & b.bits
	case "orr":
		r.bits = a.bits | b.bits
	case "eor":
		r.bits = a.bits ^ b.bits
	case "bic":
		r.bits = a.bits &^ b.bits
	case "lsl":
		r.bits = a.bits << (b.bits % uint64(size))
	case "lsr":
		r.bits = a.bits >> (b.bits % uint64(size))
	case "asr":
		r.bits = uint64(int64(a.bits<<(64-size)) >> (64 - size) >> (b.bits % uint64(size)))
	case "madd", "msub":
		c := m.get(ops[3])
		r = word{c.bits + a.bits*b.bits, r.known && c.known}
		if name == "msub" {
			r.bits = c.bits - a.bits*b.bits
		}
	case "csel":
		c := m.holds(ops[3])
		if r = a; c.bits == 0 {
			r = b
		}
		r.known = r.known && c.known
	default:
		return word{}, false
	}
	if flags && (name == "and" || name == "bic") {
		_, m.flags = m.sum(r, known(0), 0, size, true)
		m.flags.bits &^= 3
	}
	return r, true
}

// canonical is the instruction that a shorthand stands for.
func canonical(in *instruction) (string, []string) {
	ops := in.operands
	zero := ops[0][:1] + "zr"
	switch in.name {
	case "cmp":
		return "subs", append([]string{zero}, ops...)
	case "cmn":
		return "adds", append([]string{zero}, ops...)
	case "tst":
		return "ands", append([]string{zero}, ops...)
	case "neg":
		return "sub", append([]string{ops[0], zero}, ops[1:]...)
	case "mul", "mneg":
		return map[string]string{"mul": "madd", "mneg": "msub"}[in.name], append(ops[:3:3], zero)
	}
	return in.name, ops
}

// access loads or stores general registers and moves the address register.
// Vectors move only the address.
func (m *machine) access(in *instruction) {
	ops := in.operands
	at := memoryOperand(ops)
	base, address, after := m.address(ops, at)
	m.tell(in, at, address)
	load := strings.HasPrefix(in.name, "ld")
	offset := uint64(0)
	for _, r := range ops[:at] {
		size := transferSize(in.name, r)
		where := word{address.bits + offset, address.known}
		switch {
		case load && isGeneral(r):
			v := m.load(where, size)
			if strings.Contains(in.name, "s") { // ldrsw and the like
				v.bits = uint64(int64(v.bits<<(64-8*size)) >> (64 - 8*size))
			}
			m.set(r, v)
		case !load && isGeneral(r):
			m.store(where, m.get(r), size)
		case !load:
			m.store(where, word{}, size)
		}
		offset += uint64(size)
	}
	if base != "" {
		m.set(base, after)
	}
}

// tell visits an access.
func (m *machine) tell(in *instruction, at int, address word) {
	if m.visit != nil && address.known {
		k, size := kindOf(in, at)
		m.visit(address.bits, size, k)
	}
}

// address returns the address of a memory operand, and the register and value
// that are written back, if any.
func (m *machine) address(ops []string, at int) (base string, address, after word) {
	inner, rest, _ := strings.Cut(strings.TrimPrefix(ops[at], "["), "]")
	parts := splitOperands(inner)
	b := m.get(parts[0])
	address = b
	if len(parts) > 1 {
		address = b.plus(m.flexible(parts[1:], true))
	}
	switch {
	case rest == "!":
		return parts[0], address, address
	case at+1 < len(ops):
		return parts[0], address, b.plus(m.flexible(ops[at+1:], true))
	}
	return "", address, word{}
}

func (a word) plus(b word) word { return word{a.bits + b.bits, a.known && b.known} }

// load reads bytes, little-endian; a byte that nobody stored is unknown.
func (m *machine) load(at word, size int) word {
	v := word{known: at.known}
	for i := range size {
		b, ok := m.memory[at.bits+uint64(i)]
		v.bits |= uint64(b) << (8 * i)
		v.known = v.known && ok
	}
	return v
}

// store writes bytes. Stores to unknown addresses are taken for outputs, which
// nobody reads again.
func (m *machine) store(at, v word, size int) {
	if !at.known {
		return
	}
	for i := range size {
		if v.known {
			m.memory[at.bits+uint64(i)] = uint8(v.bits >> (8 * i))
		} else {
			delete(m.memory, at.bits+uint64(i))
		}
	}
}

// transferSize is the bytes that a load or store moves for one operand.
func transferSize(name, register string) int {
	switch {
	case strings.HasSuffix(name, "sw"):
		return 4
	case strings.HasSuffix(name, "b"):
		return 1
	case strings.HasSuffix(name, "h"):
		return 2
	}
	switch register[0] {
	case 'w', 's':
		return 4
	case 'q', '{':
		return 16
	}
	return 8
}

func (m *machine) get(r string) word {
	switch r {
	case "xzr", "wzr":
		return known(0)
	case "sp", "wsp":
		return m.sp
	}
	n, err := strconv.Atoi(r[1:])
	if err != nil || n >= len(m.registers) {
		return word{}
	}
	v := m.registers[n]
	if r[0] == 'w' {
		v.bits = truncate(v.bits, 32)
	}
	return v
}

func (m *machine) set(r string, v word) {
	switch r {
	case "xzr", "wzr":
		return
	case "sp", "wsp":
		m.sp = v
		return
	}
	if r[0] == 'w' {
		v.bits = truncate(v.bits, 32)
	}
	if n, err := strconv.Atoi(r[1:]); err == nil && n < len(m.registers) {
		m.registers[n] = v
	}
}

// flexible is an immediate or a register, shifted or extended.
func (m *machine) flexible(ops []string, wide bool) word {
	var v word
	if ops[0][0] == '#' {
		v = known(immediate(ops[0]))
	} else {
		v = m.get(ops[0])
	}
	if len(ops) > 1 {
		how, amount, _ := strings.Cut(ops[1], " ")
		n := immediate(amount)
		switch how {
		case "lsl", "uxtx", "sxtx":
			v.bits <<= n
		case "lsr":
			v.bits >>= n
		case "asr":
			v.bits = uint64(int64(v.bits) >> n)
		case "uxtw":
			v.bits = truncate(v.bits, 32) << n
		case "sxtw":
			v.bits = uint64(int64(int32(v.bits))) << n
		default:
			v.known = false
		}
	}
	if !wide {
		v.bits = truncate(v.bits, 32)
	}
	return v
}

// holds evaluates a condition.
func (m *machine) holds(condition string) word {
	n, z, c, v := m.flags.bits&8 != 0, m.flags.bits&4 != 0, m.flags.bits&2 != 0, m.flags.bits&1 != 0
	r, ok := map[string]bool{
		"eq": z, "ne": !z, "hs": c, "lo": !c, "mi": n, "pl": !n, "vs": v, "vc": !v,
		"hi": c && !z, "ls": !c || z, "ge": n == v, "lt": n != v, "gt": !z && n == v, "le": z || n != v, "al": true,
	}[condition]
	return word{boolBit(r), ok && m.flags.known}
}

// sum adds and returns the flags: those of the sum if they are to be set.
func (m *machine) sum(x, y word, carry uint64, size int, set bool) (uint64, word) {
	a, b := truncate(x.bits, size), truncate(y.bits, size)
	sum, carried := bits.Add64(a, b, carry)
	if size == 32 {
		carried = sum >> 32 & 1
		sum = truncate(sum, 32)
	}
	if !set {
		return sum, m.flags
	}
	sign := size - 1
	overflow := (a ^ sum) & (b ^ sum) >> sign & 1
	return sum, word{sum>>sign&1<<3 | boolBit(sum == 0)<<2 | carried<<1 | overflow, x.known && y.known}
}

func truncate(v uint64, size int) uint64 { return v << (64 - size) >> (64 - size) }

func boolBit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// memoryOperand is the index of the address among the operands, or -1.
func memoryOperand(ops []string) int {
	for i, o := range ops {
		if o[0] == '[' {
			return i
		}
	}
	return -1
}

// isGeneral says whether an operand is a general register.
func isGeneral(r string) bool {
	return r[0] == 'x' || r[0] == 'w' || r == "sp"
}

// immediate reads a number such as "#0x10", "#-8" or "0x11f40".
func immediate(s string) uint64 {
	s = strings.TrimPrefix(strings.TrimSpace(s), "#")
	if v, err := strconv.ParseInt(s, 0, 64); err == nil {
		return uint64(v)
	}
	v, _ := strconv.ParseUint(s, 0, 64)
	return v
}
