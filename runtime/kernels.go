package runtime

import (
	"fmt"
	"strings"

	"edgeclassify/amd64"
	"edgeclassify/arm64"
	"edgeclassify/int8"
)

// Kernels lists the kernels that this CPU can run, the fastest first.
func Kernels() []int8.Kernel {
	return append(append(amd64.Kernels(), arm64.Kernels()...), int8.Generic())
}

// pick returns the kernel of that name, or the fastest for an empty one.
func pick(name string) (int8.Kernel, error) {
	kernels := Kernels()
	if name == "" {
		return kernels[0], nil
	}
	var names []string
	for _, k := range kernels {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return int8.Kernel{}, fmt.Errorf("runtime: no kernel %q for this CPU, which has: %s", name, strings.Join(names, ", "))
}
