// Package npy reads NumPy's .npy files of float32 values, for tests.
//
// Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
package npy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// header matches the dictionary of a little-endian float32 array in C order.
var header = regexp.MustCompile(`^\{'descr': '<f4', 'fortran_order': False, 'shape': \(([0-9, ]*)\), \}\s*$`)

// Read returns the shape and values, in C order, of a little-endian float32
// array stored in C order.
func Read(path string) (shape []int, values []float32, err error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("npy: %w", err)
	}
	shape, values, err = parse(file)
	if err != nil {
		return nil, nil, fmt.Errorf("npy: %s: %w", path, err)
	}
	return shape, values, nil
}

func parse(file []byte) (shape []int, values []float32, err error) {
	rest, ok := bytes.CutPrefix(file, []byte("\x93NUMPY\x01\x00"))
	if !ok || len(rest) < 2 {
		return nil, nil, errors.New("not an .npy file of version 1.0")
	}
	n, rest := int(binary.LittleEndian.Uint16(rest)), rest[2:]
	if len(rest) < n {
		return nil, nil, errors.New("the header is cut short")
	}
	match := header.FindSubmatch(rest[:n])
	if match == nil {
		return nil, nil, fmt.Errorf("header %q: want little-endian float32 in C order", rest[:n])
	}
	if shape, err = parseShape(string(match[1])); err != nil {
		return nil, nil, err
	}
	data, elements := rest[n:], 1
	for _, d := range shape {
		elements *= d
	}
	if len(data) != 4*elements {
		return nil, nil, fmt.Errorf("%d bytes of data, shape %v needs %d", len(data), shape, 4*elements)
	}
	values = make([]float32, elements)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return shape, values, nil
}

func parseShape(s string) ([]int, error) {
	var shape []int
	for field := range strings.SplitSeq(s, ",") {
		field = strings.TrimSpace(field)
		if field == "" {
			continue
		}
		d, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("shape %q: %w", s, err)
		}
		shape = append(shape, d)
	}
	return shape, nil
}
