//go:build !(amd64 || arm64) || purego

package sgemm

// kernels lists the kernels of this machine, the fastest last.
func kernels() []kernel { return []kernel{portableKernel} }

// run computes n tiles of the given number of rows.
func (m *product) run(y Results, x Windows, rows, n int) {
	m.generic(y, x, m.check(y, x, rows, n), n)
}
