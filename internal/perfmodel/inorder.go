package main

import (
	"regexp"
	"strings"
)

// inOrder is the Cortex-A53: two instructions a cycle in program order, if
// their operands are ready and their units free.
//
//   - A 128-bit vector instruction takes both halves of the vector unit: one a
//     cycle, at full speed even if dependent ones lie 4 cycles apart.
//   - Beside it goes a load into a general register, integer arithmetic or a
//     branch, but no access to memory by vector registers, which shares the
//     vector unit's ports.
//   - The data path to memory is 64 bits wide: a 128-bit load takes two cycles
//     and lets nothing else issue. One access to memory a cycle.
//   - A 64-bit vector load pairs with the insertion of a general register, with
//     integer arithmetic and with branches. Hence the sequence that
//     a kernel for it uses: load one half to the vector, the other half to a
//     general register, insert that later.
//
// Sources: notes on the A53 in the comments of gemmlowp's and XNNPACK's
// kernels by their authors at Arm and Google, and GCC's scheduler description
// of the core (gcc/config/arm/cortex-a53.md). LLVM's table lets 128-bit loads
// issue like short ones, which is why llvm-mca is not used here.
type inOrder struct{}

// class is what an instruction needs to issue.
type class int

const (
	integer    class = iota // arithmetic of general registers, branches
	loadX                   // access to memory by general registers
	loadD                   // access by vector registers, up to 64 bits
	loadQ                   // access by vector registers in 64-bit beats, alone
	insert                  // general register to vector register
	arithmetic              // of vectors
	classes
)

// pairs says which classes issue in one cycle.
var pairs = func() (p [classes][classes]bool) {
	for _, pair := range [][2]class{
		{integer, integer}, {integer, loadX}, {integer, loadD}, {integer, insert}, {integer, arithmetic},
		{loadX, arithmetic}, {loadX, insert}, {loadD, insert},
	} {
		p[pair[0]][pair[1]], p[pair[1]][pair[0]] = true, true
	}
	return p
}()

// latencies are cycles from issue to the issue of a dependent instruction.
var latencies = [classes]int{integer: 1, loadX: 3, loadD: 3, loadQ: 4, insert: 2, arithmetic: 4}

const multiply = 3 // latency of products of general registers

// demand is an instruction as the issue stage sees it.
type demand struct {
	class   class
	beats   int // cycles of a loadQ
	latency int
	reads   []string
	writes  []string
	moves   string // address register that is written back, a cycle later
}

func (inOrder) cycles(trace []*instruction) (float64, error) {
	demands := map[*instruction]*demand{}
	ready := map[string]int{}
	cycle, issued, first := 0, 0, integer
	next := func(to int) { cycle, issued = to, 0 }
	for i, in := range trace {
		d := demands[in]
		if d == nil {
			d = classify(in)
			demands[in] = d
		}
		for _, r := range d.reads {
			if ready[r] > cycle {
				next(ready[r])
			}
		}
		if issued == 2 || issued == 1 && !pairs[first][d.class] {
			next(cycle + 1)
		}
		issued++
		first = d.class
		for _, r := range d.writes {
			ready[r] = cycle + d.latency
		}
		if d.moves != "" {
			ready[d.moves] = cycle + 1
		}
		taken := i+1 < len(trace) && trace[i+1].address != in.address+4
		switch {
		case d.class == loadQ:
			next(cycle + d.beats)
		case taken:
			next(cycle + 1)
		}
	}
	return float64(cycle + 1), nil
}

var registers = regexp.MustCompile(`\b(?:[vqdsbhxw]\d+|sp|wsp)\b`)

// accumulates matches vector instructions that read their destination: sums,
// insertions, and those that fill an upper half.
var accumulates = regexp.MustCompile(`^(?:[su]?ml[as]l?2?|[su]mlal2?|fml[as]|[su]adalp|[su]dot|[su]mmla|usmmla|ins|movk|bsl|bit|bif|tbx|[su]?r?sra|sli|sri|(?:sq|uq|sqr?sh|uqr?sh|r?sh)?(?:x?tn|xtun|rn|run)2)$`)

func classify(in *instruction) *demand {
	d := &demand{class: integer, latency: latencies[integer]}
	ops := in.operands
	if at := memoryOperand(ops); at >= 0 {
		d.memory(in, at)
		return d
	}
	if len(ops) == 0 {
		return d
	}
	if vector := named(ops[0]); len(vector) > 0 && vector[0][0] == 'v' || strings.HasPrefix(in.name, "f") {
		d.class = arithmetic
		if len(ops) > 1 && isGeneral(ops[1]) {
			d.class = insert
		}
	} else if len(ops) > 1 && len(named(ops[1])) > 0 && named(ops[1])[0][0] == 'v' {
		d.class = insert // vector register to general register
	}
	d.latency = latencies[d.class]
	if in.name == "madd" || in.name == "msub" {
		d.latency = multiply
	}
	from := 0
	switch {
	case strings.HasPrefix(in.name, "cb"), strings.HasPrefix(in.name, "tb") && in.name != "tbl", in.name == "ret", in.name == "ccmp":
	default:
		d.writes = named(ops[0])
		if from = 1; accumulates.MatchString(in.name) {
			from = 0
		}
	}
	for _, o := range ops[from:] {
		d.reads = append(d.reads, named(o)...)
	}
	switch name, condition, _ := strings.Cut(in.name, "."); {
	case condition != "", strings.HasPrefix(name, "cs"), name == "ccmp":
		d.reads = append(d.reads, "flags")
	}
	if strings.HasSuffix(in.name, "s") && d.class == integer || in.name == "ccmp" {
		d.writes = append(d.writes, "flags")
	}
	return d
}

// memory describes a load or store; at is the index of its address.
func (d *demand) memory(in *instruction, at int) {
	ops := in.operands
	var moved []string
	bytes := 0
	vector := false
	for _, o := range ops[:at] {
		if strings.HasPrefix(in.name, "prf") {
			break
		}
		r := named(o)
		moved = append(moved, r...)
		vector = vector || r[0][0] == 'v'
		bytes += transferBytes(in.name, o, len(r))
	}
	switch beats := (bytes + 7) / 8; {
	case beats > 1:
		d.class, d.beats = loadQ, beats
	case vector:
		d.class = loadD
	default:
		d.class = loadX
	}
	for _, o := range ops[at:] {
		d.reads = append(d.reads, named(o)...)
	}
	d.latency = latencies[d.class]
	if d.class == loadQ && !vector {
		d.latency = latencies[loadX]
	}
	if strings.HasPrefix(in.name, "ld") {
		d.writes = moved
		if strings.Contains(ops[0], "}[") { // one lane
			d.reads = append(d.reads, moved...)
		}
	} else {
		d.reads = append(d.reads, moved...)
	}
	if strings.HasSuffix(ops[at], "!") || at+1 < len(ops) {
		d.moves = named(ops[at])[0]
	}
}

// transferBytes is what one operand of a load or store moves: registers or a
// list of them.
func transferBytes(name, operand string, registers int) int {
	if operand[0] != '{' {
		return transferSize(name, operand)
	}
	if _, _, lane := strings.Cut(operand, "}["); lane || strings.HasSuffix(name, "r") {
		return 8
	}
	if strings.Contains(operand, ".8b") || strings.Contains(operand, ".4h") || strings.Contains(operand, ".2s") || strings.Contains(operand, ".1d") {
		return 8 * registers
	}
	return 16 * registers
}

// named is the registers in an operand. A register has one name whatever its
// width, and the zero register none.
func named(operand string) []string {
	found := registers.FindAllString(operand, -1)
	for i, r := range found {
		switch r[0] {
		case 'q', 'd', 's', 'b', 'h':
			if r != "sp" {
				found[i] = "v" + r[1:]
			}
		case 'w':
			found[i] = "x" + r[1:]
		}
	}
	return found
}
