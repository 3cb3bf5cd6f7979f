package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// instruction is one line of a disassembly.
type instruction struct {
	address  uint64
	name     string
	operands []string // "x0", "#0x10", "v1.4b[2]", "[x0, #0x10]!", "{ v0.16b }"
}

func (i *instruction) text() string { return i.name + " " + strings.Join(i.operands, ", ") }

// function is the code of one symbol, by ascending address.
type function struct {
	name string
	code []instruction
}

// prefix is what symbols of assembly in package arm64 begin with, and suffix
// marks code with arguments on the stack: ABI0, the assembler's.
const prefix, suffix = "edgeclassify/arm64.", ".abi0"

// disassemble reads the assembly functions of package arm64 from a program.
func disassemble(t tools, program string) (map[string]*function, error) {
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("%w; 'make bin/edge-classify-arm64' builds the program", err)
	}
	symbols, err := t.run(t.objdump, nil, "--syms", program)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, word := range strings.Fields(string(symbols)) {
		if strings.HasPrefix(word, prefix) && strings.HasSuffix(word, suffix) {
			names = append(names, word)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: no symbols %s*%s: was it built for arm64, and not stripped?", program, prefix, suffix)
	}
	listing, err := t.run(t.objdump, nil, "--disassemble", "--mattr=+all",
		"--disassemble-symbols="+strings.Join(names, ","), program)
	if err != nil {
		return nil, err
	}
	return parseListing(listing)
}

var (
	heading = regexp.MustCompile(`^(?:[0-9a-f]+ )?<(\S+)>:$`)
	line    = regexp.MustCompile(`^\s*([0-9a-f]+): [0-9a-f]{8}\s+(\S+)\s*(.*)$`)
)

// parseListing reads llvm-objdump's output.
func parseListing(listing []byte) (map[string]*function, error) {
	functions := map[string]*function{}
	var f *function
	for s := bufio.NewScanner(bytes.NewReader(listing)); s.Scan(); {
		if m := heading.FindStringSubmatch(s.Text()); m != nil {
			name := strings.TrimSuffix(strings.TrimPrefix(m[1], prefix), suffix)
			f = &function{name: name}
			functions[name] = f
			continue
		}
		m := line.FindStringSubmatch(s.Text())
		if m == nil || f == nil {
			continue
		}
		address, err := strconv.ParseUint(m[1], 16, 64)
		if err != nil {
			return nil, fmt.Errorf("llvm-objdump printed %q: %w", s.Text(), err)
		}
		f.code = append(f.code, instruction{address: address, name: m[2], operands: splitOperands(m[3])})
	}
	return functions, nil
}

// splitOperands splits at commas outside of brackets and leaves out comments
// and the names of branch targets.
func splitOperands(s string) []string {
	s, _, _ = strings.Cut(s, "//")
	s, _, _ = strings.Cut(s, "<")
	var operands []string
	depth, from := 0, 0
	for i, c := range s {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 0 {
				operands = append(operands, strings.TrimSpace(s[from:i]))
				from = i + 1
			}
		}
	}
	if last := strings.TrimSpace(s[from:]); last != "" {
		operands = append(operands, last)
	}
	return operands
}
