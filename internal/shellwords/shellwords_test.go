package shellwords

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var lines = map[string][]string{
	"":                              nil,
	" \t\n":                         nil,
	"--lens-position 2.5":           {"--lens-position", "2.5"},
	`a "b c" 'd "e'`:                {"a", "b c", `d "e`},
	`a""b '' ""`:                    {"ab", "", ""},
	`a\ b "c\"d\n" '\' \'`:          {"a b", `c"d\n`, `\`, "'"},
	`--text="50 %"x`:                {"--text=50 %x"},
	"gst-launch-1.0 v4l2src ! x\\$": {"gst-launch-1.0", "v4l2src", "!", "x$"},
}

func TestSplit(t *testing.T) {
	for line, want := range lines {
		words, err := Split(line)
		require.NoError(t, err, line)
		require.Equal(t, want, words, line)
	}
	for line, want := range map[string]string{`a "b`: "quote \"", `'`: "quote '", `a\`: "backslash"} {
		_, err := Split(line)
		require.ErrorContains(t, err, want, line)
	}
}

// A shell splits the lines alike.
func TestAsTheShellDoes(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell: sh")
	}
	for line, want := range lines {
		out, err := exec.Command(shell, "-c", "for w in "+strings.TrimRight(line, " \t\n")+`; do printf '%s\n' "$w"; done`).Output()
		require.NoError(t, err, line)
		require.Equal(t, want, append([]string(nil), strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")[:len(want)]...), line)
	}
}

func FuzzSplit(f *testing.F) {
	for line := range lines {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := Split(line)
		if err != nil {
			return
		}
		quoted := ""
		for _, w := range words {
			quoted += " '" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		again, err := Split(quoted)
		require.NoError(t, err)
		require.Equal(t, words, again)
	})
}
