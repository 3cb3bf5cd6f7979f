package runtime

import (
	"cmp"
	"runtime"

	"edgeclassify/arm64"
)

// fastCores is the operating system's numbers of the cores worth a thread.
func fastCores() []int {
	var cores []int
	for _, c := range arm64.Detect().Fast() {
		cores = append(cores, c.Index)
	}
	return cores
}

// DefaultThreads is the number of fast cores: with equal shares of the work, a
// slow core would make the others wait.
func DefaultThreads() int {
	return min(MaxThreads, cmp.Or(len(fastCores()), runtime.NumCPU()))
}
