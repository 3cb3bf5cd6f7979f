//go:build !purego

package sgemm

import "golang.org/x/sys/cpu"

// kernels lists the kernels of this machine, the fastest last.
func kernels() []kernel {
	available := []kernel{portableKernel}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		available = append(available, kernel{avx2, 6, 4, 16})
	}
	if cpu.X86.HasAVX512F {
		available = append(available, kernel{avx512, 14, 7, 32})
	}
	return available
}

// run computes n tiles of the given number of rows.
func (m *product) run(y Results, x Windows, rows, n int) {
	depth := m.check(y, x, rows, n)
	if m.isa == portable {
		m.generic(y, x, depth, n)
		return
	}
	switch a := m.args(y, x, depth, n); rows {
	case 4:
		tiles4AVX2(a)
	case 6:
		tiles6AVX2(a)
	case 7:
		tiles7AVX512(a)
	case 14:
		tiles14AVX512(a)
	}
}

// tiles4AVX2 computes tiles of 4x16.
//
//go:noescape
func tiles4AVX2(a args)

// tiles6AVX2 computes tiles of 6x16.
//
//go:noescape
func tiles6AVX2(a args)

// tiles7AVX512 computes tiles of 7x32.
//
//go:noescape
func tiles7AVX512(a args)

// tiles14AVX512 computes tiles of 14x32.
//
//go:noescape
func tiles14AVX512(a args)
