//go:build !amd64 || purego

package sgemm

// kernels lists the kernels of this machine, the fastest last.
func kernels() []kernel { return []kernel{portableKernel} }

func (k kernel) tile(y, x Rows, panel []float32) {
	tileGeneric(y, x, panel, k.checkTile(y, x, panel))
}
