package arm64

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

const (
	midrA53       MIDR = 0x410fd034
	midrA72       MIDR = 0x410fd083
	midrA76       MIDR = 0x414fd0b1
	midrA55       MIDR = 0x412fd050
	midrA78       MIDR = 0x411fd410
	midrX1        MIDR = 0x411fd440
	midrIcestorm  MIDR = 0x611f0221
	midrFirestorm MIDR = 0x611f0231
)

func TestMIDR(t *testing.T) {
	for _, c := range []struct {
		midr        MIDR
		implementer uint8
		part        uint16
		name        string
		inOrder     bool
	}{
		{midrA53, 0x41, 0xd03, "Cortex-A53", true},
		{midrA72, 0x41, 0xd08, "Cortex-A72", false},
		{midrA76, 0x41, 0xd0b, "Cortex-A76", false},
		{0x410fd083 | 0x00f0000f, 0x41, 0xd08, "Cortex-A72", false},
		{midrFirestorm, 0x61, 0x023, "Apple M1 Firestorm", false},
		{0x51df8051, 0x51, 0x805, "Kryo 4xx Silver", true},
		{0x480fd010, 0x48, 0xd01, "unknown core (implementer 0x48, part 0xd01)", false},
		{0x420f00f0, 0x42, 0x00f, "unknown core (implementer 0x42, part 0x00f)", false},
		{0, 0, 0, "unknown core", false},
	} {
		require.Equal(t, c.implementer, c.midr.Implementer())
		require.Equal(t, c.part, c.midr.Part())
		require.Equal(t, c.name, c.midr.String())
		require.Equal(t, c.inOrder, c.midr.InOrder(), c.name)
	}
}

// The files of a Raspberry Pi 4, a Raspberry Pi 3 with an old kernel, and
// phones and boards of several kinds of cores.
func TestLinuxCores(t *testing.T) {
	for _, c := range []struct {
		name    string
		files   fstest.MapFS
		indices []int
		running MIDR
		want    []Core
	}{
		{
			name:    "sysfs without capacities",
			files:   tree{}.midr("0", "0x00000000410fd083\n").midr("1", "0x00000000410fd083\n").fs(),
			indices: []int{0, 1}, running: midrA72,
			want: []Core{{0, midrA72, "Cortex-A72", true}, {1, midrA72, "Cortex-A72", true}},
		},
		{
			name:    "cpuinfo only",
			files:   tree{"proc/cpuinfo": cpuInfo("0x41", "0x0", "0xd03", "4", 4)}.fs(),
			indices: []int{2, 3},
			want:    []Core{{2, midrA53 &^ 0xf0000, "Cortex-A53", true}, {3, midrA53 &^ 0xf0000, "Cortex-A53", true}},
		},
		{
			name: "sysfs beats cpuinfo",
			files: tree{"proc/cpuinfo": cpuInfo("0x41", "0x0", "0xd03", "4", 1)}.
				midr("0", "0x00000000410fd083\n").fs(),
			indices: []int{0},
			want:    []Core{{0, midrA72, "Cortex-A72", true}},
		},
		{
			name: "little cores are slow whatever their capacity",
			files: tree{}.midr("0", "0x410fd034").capacity("0", "592").
				midr("1", "0x410fd083").capacity("1", "1024").fs(),
			indices: []int{0, 1},
			want:    []Core{{0, midrA53, "Cortex-A53", false}, {1, midrA72, "Cortex-A72", true}},
		},
		{
			name:    "little and big without capacities",
			files:   tree{}.midr("0", "0x412fd050").midr("4", "0x414fd0b1").fs(),
			indices: []int{0, 4},
			want:    []Core{{0, midrA55, "Cortex-A55", false}, {4, midrA76, "Cortex-A76", true}},
		},
		{
			name: "middle cores count",
			files: tree{}.midr("0", "0x412fd050").capacity("0", "250\n").
				midr("4", "0x411fd410").capacity("4", "860\n").
				midr("7", "0x411fd440").capacity("7", "1024\n").fs(),
			indices: []int{0, 4, 7},
			want:    []Core{{0, midrA55, "Cortex-A55", false}, {4, midrA78, "Cortex-A78", true}, {7, midrX1, "Cortex-X1", true}},
		},
		{
			name: "efficiency cores that reorder, by capacity",
			files: tree{}.midr("0", "0x611f0221").capacity("0", "511").
				midr("4", "0x611f0231").capacity("4", "1024").fs(),
			indices: []int{0, 4},
			want:    []Core{{0, midrIcestorm, "Apple M1 Icestorm", false}, {4, midrFirestorm, "Apple M1 Firestorm", true}},
		},
		{
			name:    "half the greatest capacity is fast",
			files:   tree{}.midr("0", "0x410fd034").capacity("0", "512").midr("1", "0x410fd034").capacity("1", "1024").fs(),
			indices: []int{0, 1},
			want:    []Core{{0, midrA53, "Cortex-A53", true}, {1, midrA53, "Cortex-A53", true}},
		},
		{
			name:    "only little cores allowed",
			files:   tree{}.midr("0", "0x410fd034").capacity("0", "400").midr("1", "0x410fd083").capacity("1", "1024").fs(),
			indices: []int{0},
			want:    []Core{{0, midrA53, "Cortex-A53", true}},
		},
		{
			name:    "emulated on an Arm host: the register is right",
			files:   tree{}.midr("0", "0x414fd0b1").midr("1", "0x414fd0b1").fs(),
			indices: []int{0, 1}, running: midrA53,
			want: []Core{{0, midrA53, "Cortex-A53", true}, {1, midrA53, "Cortex-A53", true}},
		},
		{
			name:    "the running core's revision does not hide the others",
			files:   tree{}.midr("0", "0x410fd034").midr("1", "0x410fd083").fs(),
			indices: []int{0, 1}, running: 0x410fd082,
			want: []Core{{0, midrA53, "Cortex-A53", false}, {1, midrA72, "Cortex-A72", true}},
		},
		{
			name:    "cpuinfo of another architecture",
			files:   tree{"proc/cpuinfo": "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel\t\t: 207\nstepping\t: 2\n"}.fs(),
			indices: []int{0}, running: midrA76,
			want: []Core{{0, midrA76, "Cortex-A76", true}},
		},
		{
			name:    "nothing known",
			files:   tree{}.midr("0", "not a number").capacity("0", "-1").fs(),
			indices: []int{0, 1},
			want:    []Core{{0, 0, "unknown core", true}, {1, 0, "unknown core", true}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, linuxCores(c.files, c.indices, c.running))
		})
	}
}

func TestParseCPUInfo(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want map[int]MIDR
	}{
		"two kinds": {
			"processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x2\nCPU part\t: 0xd05\nCPU revision\t: 0\n\n" +
				"processor\t: 4\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: 0xd0b\nCPU revision\t: 1\n\n" +
				"Hardware\t: BCM2835\nRevision\t: c03111\nSerial\t\t: 10000000abcdef01\n",
			map[int]MIDR{0: midrA55 &^ 0xf0000, 4: midrA76 &^ 0xf0000},
		},
		"fields before any processor": {"CPU part\t: 0xd03\n", map[int]MIDR{}},
		"broken numbers":              {"processor\t: x\nCPU part\t: 0xd03\nprocessor : -1\nCPU part : 99999999999\n", map[int]MIDR{}},
		"empty":                       {"", map[int]MIDR{}},
	} {
		require.Equal(t, c.want, parseCPUInfo(c.text), name)
	}
}

func TestEqualCores(t *testing.T) {
	require.Equal(t, []Core{
		{Index: 0, Name: "Apple M2", Fast: true},
		{Index: 1, Name: "Apple M2", Fast: true},
		{Index: 2, Name: "Apple M2", Fast: false},
	}, equalCores("Apple M2", 2, 3))
}

func TestCPUString(t *testing.T) {
	cpu := CPU{DotProduct: true, Int8Matrix: true, Cores: []Core{
		{0, midrA55, "Cortex-A55", false}, {1, midrA55, "Cortex-A55", false}, {2, midrA76, "Cortex-A76", true},
	}}
	require.Equal(t, "2 x Cortex-A55 (slow), 1 x Cortex-A76; dot product; int8 matrix product", cpu.String())
	require.Equal(t, cpu.Cores[2:], cpu.Fast())
	require.Equal(t, "1 x Cortex-A72", CPU{Cores: []Core{{0, midrA72, "Cortex-A72", true}}}.String())
}

// tree holds files by path.
type tree map[string]string

func (f tree) midr(cpu, text string) tree {
	f["sys/devices/system/cpu/cpu"+cpu+"/regs/identification/midr_el1"] = text
	return f
}

func (f tree) capacity(cpu, text string) tree {
	f["sys/devices/system/cpu/cpu"+cpu+"/cpu_capacity"] = text
	return f
}

func (f tree) fs() fstest.MapFS {
	files := fstest.MapFS{}
	for path, text := range f {
		files[path] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

// cpuInfo is the text for n equal cores.
func cpuInfo(implementer, variant, part, revision string, n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "processor\t: %d\nBogoMIPS\t: 38.40\nFeatures\t: fp asimd evtstrm crc32 cpuid\n", i)
		fmt.Fprintf(&text, "CPU implementer\t: %s\nCPU architecture: 8\nCPU variant\t: %s\n", implementer, variant)
		fmt.Fprintf(&text, "CPU part\t: %s\nCPU revision\t: %s\n\n", part, revision)
	}
	return text.String()
}
