//go:build !linux

package trainer

// background is for Linux: elsewhere priorities are a whole program's.
func background(do func()) { do() }
