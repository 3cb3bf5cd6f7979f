package arm64

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// linuxCores describes the cores with these indices from Linux's files, given
// as a tree with "sys" and "proc". running is the MIDR read from the processor
// itself, zero if that cannot be.
func linuxCores(root fs.FS, indices []int, running MIDR) []Core {
	midrs := listMIDRs(root, indices, running)
	cores := make([]Core, len(indices))
	capacities := make([]uint64, len(indices))
	for i, index := range indices {
		cores[i] = Core{Index: index, MIDR: midrs[index], Name: midrs[index].String()}
		capacities[i], _ = readNumber(root, fmt.Sprintf("sys/devices/system/cpu/cpu%d/cpu_capacity", index))
	}
	markFast(cores, capacities)
	return cores
}

// listMIDRs asks sysfs, then /proc/cpuinfo where the kernel is older than 4.7.
// An emulator shows the program the files of its host: where they do not have
// the running core, the register is right and the files are not.
func listMIDRs(root fs.FS, indices []int, running MIDR) map[int]MIDR {
	midrs := map[int]MIDR{}
	for _, index := range indices {
		path := fmt.Sprintf("sys/devices/system/cpu/cpu%d/regs/identification/midr_el1", index)
		if midr, ok := readNumber(root, path); ok {
			midrs[index] = MIDR(midr)
		}
	}
	if len(midrs) == 0 {
		if text, err := fs.ReadFile(root, "proc/cpuinfo"); err == nil {
			midrs = parseCPUInfo(string(text))
		}
	}
	if running == 0 || hasModel(midrs, running) {
		return midrs
	}
	for _, index := range indices {
		midrs[index] = running
	}
	return midrs
}

func hasModel(midrs map[int]MIDR, wanted MIDR) bool {
	for _, midr := range midrs {
		if midr.model() == wanted.model() {
			return true
		}
	}
	return false
}

// parseCPUInfo puts each core's MIDR together from the text of /proc/cpuinfo,
// which has a block of "key : value" lines for every core. Text of another
// architecture gives none.
func parseCPUInfo(text string) map[int]MIDR {
	fields := map[string]int{"CPU implementer": 24, "CPU variant": 20, "CPU part": 4, "CPU revision": 0}
	midrs := map[int]MIDR{}
	core := -1
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		number, err := strconv.ParseUint(strings.TrimSpace(value), 0, 32)
		if err != nil {
			continue
		}
		key = strings.TrimSpace(key)
		if key == "processor" {
			core = int(number)
		} else if shift, ok := fields[key]; ok && core >= 0 {
			midrs[core] |= MIDR(number) << shift
		}
	}
	return midrs
}

// markFast takes cores that reorder instructions, if there are any, and of
// those the ones with at least half the greatest capacity, Linux's measure of
// speed (zero for all where it is unknown).
func markFast(cores []Core, capacities []uint64) {
	inOrder := true
	for _, core := range cores {
		inOrder = inOrder && core.MIDR.InOrder()
	}
	var greatest uint64
	for i := range cores {
		cores[i].Fast = inOrder || !cores[i].MIDR.InOrder()
		if cores[i].Fast {
			greatest = max(greatest, capacities[i])
		}
	}
	for i := range cores {
		cores[i].Fast = cores[i].Fast && 2*capacities[i] >= greatest
	}
}

// equalCores are cores of which the system tells no more than their name and
// that the first fast ones are the fast ones.
func equalCores(name string, fast, total int) []Core {
	cores := make([]Core, total)
	for i := range cores {
		cores[i] = Core{Index: i, Name: name, Fast: i < fast}
	}
	return cores
}

// readNumber reads a file that holds one number, decimal or 0x hexadecimal.
func readNumber(root fs.FS, path string) (uint64, bool) {
	text, err := fs.ReadFile(root, path)
	if err != nil {
		return 0, false
	}
	number, err := strconv.ParseUint(strings.TrimSpace(string(text)), 0, 64)
	return number, err == nil
}
