package arm64

import (
	"fmt"
	"strings"
)

// CPU is what the program may use of the machine.
type CPU struct {
	DotProduct bool // SDOT, UDOT: FEAT_DotProd
	Int8Matrix bool // SMMLA: FEAT_I8MM
	Cores      []Core
}

// Core is one processor core that the program may run on.
type Core struct {
	Index int  // the operating system's number of the core
	MIDR  MIDR // zero where the system does not tell
	Name  string
	// Fast marks the cores worth a thread when all threads get equal shares of
	// the work: the slowest one makes the others wait.
	Fast bool
}

// Fast returns the fast cores.
func (c CPU) Fast() []Core {
	var fast []Core
	for _, core := range c.Cores {
		if core.Fast {
			fast = append(fast, core)
		}
	}
	return fast
}

// String lists kinds of cores and features, such as
// "4 x Cortex-A76, 4 x Cortex-A55 (slow); dot product".
func (c CPU) String() string {
	var kinds []string
	count := map[string]int{}
	for _, core := range c.Cores {
		kind := core.Name
		if !core.Fast {
			kind += " (slow)"
		}
		if count[kind] == 0 {
			kinds = append(kinds, kind)
		}
		count[kind]++
	}
	for i, kind := range kinds {
		kinds[i] = fmt.Sprintf("%d x %s", count[kind], kind)
	}
	text := strings.Join(kinds, ", ")
	if c.DotProduct {
		text += "; dot product"
	}
	if c.Int8Matrix {
		text += "; int8 matrix product"
	}
	return text
}

// MIDR is the Main ID Register of a core (Arm Architecture Reference Manual,
// MIDR_EL1).
type MIDR uint32

// Implementer is the company's code, 0x41 for Arm.
func (m MIDR) Implementer() uint8 { return uint8(m >> 24) }

// Part is the implementer's number of the core, 0xd03 for Arm's Cortex-A53.
func (m MIDR) Part() uint16 { return uint16(m>>4) & 0xfff }

// InOrder tells whether the core is known to execute instructions in program
// order: it needs other schedules than cores that reorder them.
func (m MIDR) InOrder() bool { return models[m.model()].inOrder }

// String is the name of the core, or its numbers where the name is not known.
func (m MIDR) String() string {
	if m == 0 {
		return "unknown core"
	}
	if known, ok := models[m.model()]; ok {
		return known.name
	}
	return fmt.Sprintf("unknown core (implementer %#02x, part %#03x)", m.Implementer(), m.Part())
}

// model is the MIDR without variant, architecture and revision.
func (m MIDR) model() model { return model{m.Implementer(), m.Part()} }

type model struct {
	implementer uint8
	part        uint16
}

const (
	arm      = 0x41
	qualcomm = 0x51
	apple    = 0x61
)

// models is from the Technical Reference Manuals of the cores and, for Qualcomm
// and Apple, from Linux (arch/arm64/include/asm/cputype.h).
var models = map[model]struct {
	name    string
	inOrder bool
}{
	{0x00, 0x051}: {name: "QEMU max"},

	{arm, 0xd03}: {name: "Cortex-A53", inOrder: true},
	{arm, 0xd04}: {name: "Cortex-A35", inOrder: true},
	{arm, 0xd05}: {name: "Cortex-A55", inOrder: true},
	{arm, 0xd07}: {name: "Cortex-A57"},
	{arm, 0xd08}: {name: "Cortex-A72"},
	{arm, 0xd09}: {name: "Cortex-A73"},
	{arm, 0xd0a}: {name: "Cortex-A75"},
	{arm, 0xd0b}: {name: "Cortex-A76"},
	{arm, 0xd0c}: {name: "Neoverse-N1"},
	{arm, 0xd0d}: {name: "Cortex-A77"},
	{arm, 0xd0e}: {name: "Cortex-A76AE"},
	{arm, 0xd40}: {name: "Neoverse-V1"},
	{arm, 0xd41}: {name: "Cortex-A78"},
	{arm, 0xd42}: {name: "Cortex-A78AE"},
	{arm, 0xd44}: {name: "Cortex-X1"},
	{arm, 0xd46}: {name: "Cortex-A510", inOrder: true},
	{arm, 0xd47}: {name: "Cortex-A710"},
	{arm, 0xd48}: {name: "Cortex-X2"},
	{arm, 0xd49}: {name: "Neoverse-N2"},
	{arm, 0xd4b}: {name: "Cortex-A78C"},
	{arm, 0xd4d}: {name: "Cortex-A715"},
	{arm, 0xd4e}: {name: "Cortex-X3"},
	{arm, 0xd4f}: {name: "Neoverse-V2"},
	{arm, 0xd80}: {name: "Cortex-A520", inOrder: true},
	{arm, 0xd81}: {name: "Cortex-A720"},
	{arm, 0xd82}: {name: "Cortex-X4"},

	{qualcomm, 0x001}: {name: "Oryon"},
	{qualcomm, 0x800}: {name: "Kryo 2xx Gold"},
	{qualcomm, 0x801}: {name: "Kryo 2xx Silver", inOrder: true},
	{qualcomm, 0x802}: {name: "Kryo 3xx Gold"},
	{qualcomm, 0x803}: {name: "Kryo 3xx Silver", inOrder: true},
	{qualcomm, 0x804}: {name: "Kryo 4xx Gold"},
	{qualcomm, 0x805}: {name: "Kryo 4xx Silver", inOrder: true},

	{apple, 0x022}: {name: "Apple M1 Icestorm"},
	{apple, 0x023}: {name: "Apple M1 Firestorm"},
	{apple, 0x032}: {name: "Apple M2 Blizzard"},
	{apple, 0x033}: {name: "Apple M2 Avalanche"},
}
