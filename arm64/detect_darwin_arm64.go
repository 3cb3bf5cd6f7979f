package arm64

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// detectCores relies on performance level 0 being the fastest (sysctl(3) of
// macOS). Systems before macOS 12 have no levels: all cores count as fast.
func detectCores() []Core {
	total := runtime.NumCPU()
	name, err := unix.Sysctl("machdep.cpu.brand_string")
	if err != nil {
		name = MIDR(0).String()
	}
	fast, err := unix.SysctlUint32("hw.perflevel0.logicalcpu")
	if err != nil {
		return equalCores(name, total, total)
	}
	return equalCores(name, int(fast), total)
}
