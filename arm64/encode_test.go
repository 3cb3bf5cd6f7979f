package arm64

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/testneed"
)

// instructions gives every macro of encode_arm64.h in Arm's syntax, with the
// macro's parameters in braces.
var instructions = map[string]string{
	"SDOT_4S_LANE":   "sdot v{d}.4s, v{n}.16b, v{m}.4b[{i}]",
	"SDOT_4S":        "sdot v{d}.4s, v{n}.16b, v{m}.16b",
	"SMMLA_4S":       "smmla v{d}.4s, v{n}.16b, v{m}.16b",
	"SMULL_8H":       "smull v{d}.8h, v{n}.8b, v{m}.8b",
	"SMULL2_8H":      "smull2 v{d}.8h, v{n}.16b, v{m}.16b",
	"SMLAL_8H":       "smlal v{d}.8h, v{n}.8b, v{m}.8b",
	"SMLAL2_8H":      "smlal2 v{d}.8h, v{n}.16b, v{m}.16b",
	"SADALP_4S":      "sadalp v{d}.4s, v{n}.8h",
	"SADDW_4S":       "saddw v{d}.4s, v{n}.4s, v{m}.4h",
	"SADDW2_4S":      "saddw2 v{d}.4s, v{n}.4s, v{m}.8h",
	"SMLAL_4S_LANE":  "smlal v{d}.4s, v{n}.4h, v{m}.h[{i}]",
	"SMLAL2_4S_LANE": "smlal2 v{d}.4s, v{n}.8h, v{m}.h[{i}]",
	"SMLAL_4S":       "smlal v{d}.4s, v{n}.4h, v{m}.4h",
	"SMLAL2_4S":      "smlal2 v{d}.4s, v{n}.8h, v{m}.8h",
	"SMULL_4S":       "smull v{d}.4s, v{n}.4h, v{m}.4h",
	"SMULL2_4S":      "smull2 v{d}.4s, v{n}.8h, v{m}.8h",
	"MUL_4S":         "mul v{d}.4s, v{n}.4s, v{m}.4s",
	"SRSHL_4S":       "srshl v{d}.4s, v{n}.4s, v{m}.4s",
	"SMAX_4S":        "smax v{d}.4s, v{n}.4s, v{m}.4s",
	"SMIN_4S":        "smin v{d}.4s, v{n}.4s, v{m}.4s",
	"SQRDMULH_4S":    "sqrdmulh v{d}.4s, v{n}.4s, v{m}.4s",
	"SSHL_4S":        "sshl v{d}.4s, v{n}.4s, v{m}.4s",
	"SSHR_4S":        "sshr v{d}.4s, v{n}.4s, #{s}",
	"SSHLL_8H":       "sshll v{d}.8h, v{n}.8b, #{s}",
	"SSUBL_8H":       "ssubl v{d}.8h, v{n}.8b, v{m}.8b",
	"SSUBW_8H":       "ssubw v{d}.8h, v{n}.8h, v{m}.8b",
	"SQRSHRN_4H":     "sqrshrn v{d}.4h, v{n}.4s, #{s}",
	"SQRSHRN2_8H":    "sqrshrn2 v{d}.8h, v{n}.4s, #{s}",
	"SQXTN_8B":       "sqxtn v{d}.8b, v{n}.8h",
	"SQXTN2_16B":     "sqxtn2 v{d}.16b, v{n}.8h",
	"SXTL_8H":        "sxtl v{d}.8h, v{n}.8b",
	"SXTL2_8H":       "sxtl2 v{d}.8h, v{n}.16b",
	"STP_Q":          "stp q{l}, q{h}, [x{n}]",
	"PRFM_L2":        "prfm pldl2keep, [x{n}, x{m}]",
	"SMAX_16B":       "smax v{d}.16b, v{n}.16b, v{m}.16b",
	"MLA_4S":         "mla v{d}.4s, v{n}.4s, v{m}.4s",
	"SQXTN_4H":       "sqxtn v{d}.4h, v{n}.4s",
	"SQXTN2_8H":      "sqxtn2 v{d}.8h, v{n}.4s",
	"SXTL_4S":        "sxtl v{d}.4s, v{n}.4h",
	"SXTL2_4S":       "sxtl2 v{d}.4s, v{n}.8h",
	"SSUBL2_8H":      "ssubl2 v{d}.8h, v{n}.16b, v{m}.16b",
	"SADDW_8H":       "saddw v{d}.8h, v{n}.8h, v{m}.8b",
	"SADDW2_8H":      "saddw2 v{d}.8h, v{n}.8h, v{m}.16b",
	"SQADD_8H":       "sqadd v{d}.8h, v{n}.8h, v{m}.8h",
}

// helpers are the macros of the header that are no instructions.
var helpers = map[string]bool{"ENCODE_ND": true, "ENCODE_MND": true, "LANE_S": true, "LANE_H": true}

// TestMacrosEncodeWhatTheySay compares Go's object code with LLVM's for every
// macro and every value of each parameter.
func TestMacrosEncodeWhatTheySay(t *testing.T) {
	macros := headerMacros(t)
	for name := range instructions {
		require.Contains(t, macros, name, "no such macro in the header")
	}
	var goLines, llvmLines []string
	rng := rand.New(rand.NewPCG(1, 2))
	for _, name := range slices.Sorted(maps.Keys(macros)) {
		require.Contains(t, instructions, name, "say in Arm's syntax what the macro is")
		parameters := macros[name]
		for _, values := range sweep(rng, instructions[name], parameters) {
			goLines = append(goLines, invocation(name, parameters, values))
			llvmLines = append(llvmLines, substitute(instructions[name], parameters, values))
		}
	}
	want := assembleLLVM(t, llvmLines)
	got := assembleGo(t, goLines)
	require.Equal(t, len(llvmLines), len(want), "instructions assembled by LLVM")
	require.Equal(t, len(goLines), len(got), "instructions assembled by Go")
	for i := range goLines {
		require.Equal(t, want[i], got[i], "%s is not %q", goLines[i], llvmLines[i])
	}
}

// headerMacros returns the parameters of each instruction macro.
func headerMacros(t *testing.T) map[string][]string {
	header, err := os.ReadFile("encode_arm64.h")
	require.NoError(t, err)
	macros := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^#define (\w+)\(([^)]*)\)`).FindAllStringSubmatch(string(header), -1) {
		if !helpers[m[1]] {
			macros[m[1]] = strings.Split(m[2], ", ")
		}
	}
	return macros
}

// sweep gives each parameter each of its values, the others being random.
func sweep(rng *rand.Rand, instruction string, parameters []string) [][]int {
	random := func(p string) int {
		low, high := limits(instruction, p)
		return low + rng.IntN(high-low+1)
	}
	var all [][]int
	for swept, parameter := range parameters {
		low, high := limits(instruction, parameter)
		for value := low; value <= high; value++ {
			values := make([]int, len(parameters))
			for i, p := range parameters {
				values[i] = random(p)
			}
			values[swept] = value
			all = append(all, values)
		}
	}
	return all
}

// limits is the range of a parameter: a lane, a shift or a register. Index 31
// is the stack pointer or the zero register in addresses, V31 elsewhere.
func limits(instruction, parameter string) (low, high int) {
	halfLane := strings.Contains(instruction, ".h[")
	switch {
	case parameter == "i" && halfLane:
		return 0, 7
	case parameter == "i":
		return 0, 3
	case parameter == "s" && strings.HasPrefix(instruction, "sshll"):
		return 0, 7
	case parameter == "s":
		return 1, 16
	case parameter == "m" && halfLane:
		return 0, 15
	case strings.Contains(instruction, "x{"+parameter+"}"):
		return 0, 30
	}
	return 0, 31
}

func invocation(name string, parameters []string, values []int) string {
	return name + "(" + substitute("{"+strings.Join(parameters, "}, {")+"}", parameters, values) + ")"
}

func substitute(template string, parameters []string, values []int) string {
	for i, p := range parameters {
		template = strings.ReplaceAll(template, "{"+p+"}", strconv.Itoa(values[i]))
	}
	return template
}

var llvmEncoding = regexp.MustCompile(`encoding: \[0x(..),0x(..),0x(..),0x(..)\]`)

func assembleLLVM(t *testing.T, lines []string) []string {
	mc := testneed.Program(t, "llvm-mc-19", "apt-get install llvm-19")
	cmd := exec.Command(mc, "-triple=aarch64", "-mattr=+dotprod,+i8mm", "-show-encoding")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	var words []string
	for _, m := range llvmEncoding.FindAllStringSubmatch(output(t, cmd), -1) {
		words = append(words, m[4]+m[3]+m[2]+m[1])
	}
	return words
}

// assembleGo reads the words back from the object file, each on a line like
// "  macros.s:4   0x0   4e82942a   ?".
func assembleGo(t *testing.T, lines []string) []string {
	goTool := testneed.Program(t, "go", "see https://go.dev/dl")
	dir := t.TempDir()
	source, object := filepath.Join(dir, "macros.s"), filepath.Join(dir, "macros.o")
	text := "#include \"encode_arm64.h\"\nTEXT ·macros(SB), 4, $0-0\n" + strings.Join(lines, "\n") + "\n"
	require.NoError(t, os.WriteFile(source, []byte(text), 0o644))
	asm := exec.Command(goTool, "tool", "asm", "-p", "macros", "-I", ".", "-o", object, source)
	asm.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64")
	output(t, asm)

	var words []string
	for _, line := range strings.Split(output(t, exec.Command(goTool, "tool", "objdump", object)), "\n") {
		if f := strings.Fields(line); len(f) > 3 && strings.HasPrefix(f[0], "macros.s:") {
			words = append(words, f[2])
		}
	}
	require.GreaterOrEqual(t, len(words), len(lines))
	for _, word := range words[len(lines):] {
		require.Equal(t, "00000000", word, "padding of the function to 16 bytes")
	}
	return words[:len(lines)]
}

func output(t *testing.T, cmd *exec.Cmd) string {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%v: %s", cmd.Args, stderr.String())
	return string(out)
}
