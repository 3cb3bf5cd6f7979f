package arm64

import (
	"os"
	"runtime"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

func detectCores() []Core {
	var running MIDR
	if cpu.ARM64.HasCPUID { // without it the kernel does not emulate the read
		running = readMIDR()
	}
	return linuxCores(os.DirFS("/"), allowedCores(), running)
}

// allowedCores are the cores that the process may run on (taskset, cpusets).
func allowedCores() []int {
	var indices []int
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err == nil {
		for i := 0; len(indices) < set.Count(); i++ {
			if set.IsSet(i) {
				indices = append(indices, i)
			}
		}
	}
	if len(indices) == 0 {
		for i := range runtime.NumCPU() {
			indices = append(indices, i)
		}
	}
	return indices
}
