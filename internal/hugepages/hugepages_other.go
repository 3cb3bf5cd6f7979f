//go:build !linux

// Package hugepages is for Linux: other systems choose pages by themselves.
package hugepages

// Use does nothing.
func Use(memory []byte) {}
