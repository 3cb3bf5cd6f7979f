package board

import (
	"io/fs"
	"strconv"
	"strings"
)

// Processor describes the processor.
type Processor struct {
	Name string // for people
	// Core is the design of the cores that do the work, such as "Cortex-A76";
	// empty where it is not known.
	Core string
}

// x86 is the designs of server cores, by the model number of Intel's family 6
// (Linux, arch/x86/include/asm/intel-family.h).
var x86 = map[int]string{
	0x6a: "Ice Lake server", 0x6c: "Ice Lake server",
	0x8f: "Sapphire Rapids", 0xcf: "Emerald Rapids", 0xad: "Granite Rapids", 0xae: "Granite Rapids",
}

// x86Processor reads the first processor of Linux's /proc/cpuinfo.
func x86Processor(root fs.FS) Processor {
	fields := map[string]string{}
	for line := range strings.Lines(read(root, "proc/cpuinfo")) {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			break // an empty line ends the first processor
		}
		fields[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	p := Processor{Name: fields["model name"]}
	if fields["vendor_id"] == "GenuineIntel" && fields["cpu family"] == "6" {
		if model, err := strconv.Atoi(fields["model"]); err == nil {
			p.Core = x86[model]
		}
	}
	return p
}

// String is the name and, where that does not tell it, the core.
func (p Processor) String() string {
	switch {
	case p.Name == "":
		return "unknown processor"
	case p.Core == "" || strings.Contains(p.Name, p.Core):
		return p.Name
	}
	return p.Name + " (" + p.Core + ")"
}
