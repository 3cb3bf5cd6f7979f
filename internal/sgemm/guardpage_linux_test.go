package sgemm

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestTileStaysWithinGuardPages faults if a kernel reads or writes past the end
// of a slice, or before its start.
func TestTileStaysWithinGuardPages(t *testing.T) {
	for name, place := range map[string]func(*testing.T, int) []float32{"start": afterGuardPage, "end": beforeGuardPage} {
		t.Run(name, func(t *testing.T) {
			forEachKernel(t, func(t *testing.T, k kernel) {
				for depth := 1; depth <= 9; depth++ {
					stride := depth + 3
					x := place(t, (k.rows-1)*stride+depth)
					panel := place(t, (depth+1)*k.columns)
					y := place(t, (k.rows-1)*(k.columns+1)+k.columns)
					rng := rand.New(rand.NewPCG(5, 6))
					copy(x, random(rng, len(x)))
					copy(panel, random(rng, len(panel)))
					k.tile(Rows{y, k.columns + 1, k.rows}, Rows{x, stride, k.rows}, panel)
					require.NotZero(t, y[len(y)-1])
				}
			})
		})
	}
}

func beforeGuardPage(t *testing.T, n int) []float32 {
	pages, page := guardedPages(t, n)
	return pages[len(pages)-page/4-n:][:n:n]
}

func afterGuardPage(t *testing.T, n int) []float32 {
	pages, page := guardedPages(t, n)
	return pages[page/4:][:n:n]
}

// guardedPages maps room for n values between two inaccessible pages.
func guardedPages(t *testing.T, n int) (pages []float32, page int) {
	page = syscall.Getpagesize()
	inner := (4*n + page - 1) / page * page
	b, err := syscall.Mmap(-1, 0, inner+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, syscall.Munmap(b)) })
	require.NoError(t, syscall.Mprotect(b[:page], syscall.PROT_NONE))
	require.NoError(t, syscall.Mprotect(b[page+inner:], syscall.PROT_NONE))
	return unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), len(b)/4), page
}
