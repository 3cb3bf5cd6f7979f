package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/cli"
)

// Names of files are shown, and obeyed by no terminal.
func TestHostileNames(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("its file names have no control characters")
	}
	const picture, broken = "a\x1b]0;b\a\u202e\u009b31m\r.jpg", "c\x1b[31m\u2066.jpg"
	dir := t.TempDir()
	data, err := os.ReadFile(filepath.Join(photos, "cat.jpg"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, picture), data, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, broken), []byte("\x1b"), 0o600))
	safe := func(text string) {
		t.Helper()
		require.Equal(t, -1, strings.IndexFunc(text, func(r rune) bool {
			return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
		}), "%q", text)
	}

	code, out, errs := classifyHere(t, nil, "-model", smallModel(t), dir)
	require.Equal(t, cli.ExitFailure, code)
	safe(out + errs)
	require.Contains(t, out, `a\u001b]0;b\u0007\u202e\u009b31m\u000d.jpg`)
	require.Contains(t, errs, `c\u001b[31m\u2066.jpg`)

	code, out, errs = classifyHere(t, nil, "-model", smallModel(t), "-json", dir)
	require.Equal(t, cli.ExitFailure, code)
	safe(out + errs)
	lines := json.NewDecoder(bytes.NewBufferString(out))
	for _, name := range []string{picture, broken} {
		var r result
		require.NoError(t, lines.Decode(&r))
		require.Equal(t, filepath.Join(dir, name), r.Path)
	}

	_, _, errs = classifyHere(t, nil, "-model", "\x1b[2Jx.q8\u202e", dir)
	safe(errs)
	_, _, errs = classifyHere(t, nil, "-\x1b[2J", dir)
	safe(errs)
}
