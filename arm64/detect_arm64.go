package arm64

import "golang.org/x/sys/cpu"

// Detect asks the system about the processor. What the system does not tell is
// taken as missing; there is always at least one core.
func Detect() CPU {
	return CPU{
		DotProduct: cpu.ARM64.HasASIMDDP,
		Int8Matrix: cpu.ARM64.HasI8MM,
		Cores:      detectCores(),
	}
}
