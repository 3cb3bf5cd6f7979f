// Package amd64 holds the kernels for x86-64: AVX-512 with VNNI, and AVX2.
package amd64
