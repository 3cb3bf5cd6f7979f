package sgemm

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestTilesStayWithinGuardPages faults if a kernel reads or writes past the end
// of a slice, or before its start.
func TestTilesStayWithinGuardPages(t *testing.T) {
	for name, place := range map[string]func(*testing.T, int) []float32{"start": afterGuardPage, "end": beforeGuardPage} {
		t.Run(name, func(t *testing.T) {
			forEachKernel(t, func(t *testing.T, k kernel) {
				for depth := 1; depth <= 9; depth++ {
					stayWithin(t, place, k, k.large, depth)
					stayWithin(t, place, k, k.small, depth)
				}
			})
		})
	}
}

func stayWithin(t *testing.T, place func(*testing.T, int) []float32, k kernel, rows, depth int) {
	const runs, n = 2, 2
	stride, pitch, last := depth+3, 2*depth+1, n*rows-1
	x := place(t, last*stride+(runs-1)*pitch+depth)
	m := product{kernel: k, runs: runs, panel: place(t, (runs*depth+1)*k.columns), columns: k.columns}
	y := place(t, last*(k.columns+1)+k.columns)
	res := place(t, len(y))
	rng := rand.New(rand.NewPCG(5, 6))
	for _, v := range [][]float32{x, m.panel, res} {
		copy(v, random(rng, len(v)))
	}
	m.run(Results{y, k.columns + 1, res, nil}, Windows{x, n * rows, n * rows, 0, stride, pitch}, rows, n)
	require.NotZero(t, y[len(y)-1])
}

func TestWinogradStaysWithinGuardPages(t *testing.T) {
	for name, place := range map[string]func(*testing.T, int) []float32{"start": afterGuardPage, "end": beforeGuardPage} {
		t.Run(name, func(t *testing.T) {
			const channels, apart, pitch = 24, 27, 100
			WinogradIn(place(t, 15*apart+channels), apart, place(t, 3*pitch+4*channels), pitch, channels)
			var y, residual [4][]float32
			for i := range y {
				y[i], residual[i] = place(t, channels), place(t, channels)
			}
			WinogradOut(&y, &residual, place(t, 15*apart+channels), apart, Limits{1, 2})
			require.Equal(t, float32(1), y[3][channels-1])
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
