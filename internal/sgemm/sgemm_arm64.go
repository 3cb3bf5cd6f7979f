//go:build !purego

package sgemm

// kernels lists the kernels of this machine, the fastest last.
func kernels() []kernel { return []kernel{portableKernel, {neon, 7, 7, 8}} }

// run computes n tiles of the given number of rows.
func (m *product) run(y Results, x Windows, rows, n int) {
	depth := m.check(y, x, rows, n)
	if m.isa == portable {
		m.generic(y, x, depth, n)
		return
	}
	tilesNEON(m.args(y, x, depth, n))
}

// tilesNEON computes tiles of 7x8.
//
//go:noescape
func tilesNEON(a args)
