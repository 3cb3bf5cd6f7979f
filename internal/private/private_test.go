package private

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	for text, want := range map[string]string{
		"pass word": "pass word", " a \n": " a ", "a\r\n": "a",
		"": "is empty", "\n": "is empty", "a\nb\n": "want one line", strings.Repeat("a", maxSecret+1): "want one line",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		secret, warning, err := Secret(file)
		if err != nil {
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, file)
			continue
		}
		require.Equal(t, want, secret, "%q", text)
		require.True(t, warning == "" || runtime.GOOS == "windows")
	}
	_, _, err := Secret(file + "2")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestWarning(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes of files tell nothing here")
	}
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("s3cret"), 0o600))
	for mode, warns := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: false, 0o644: true, 0o604: true, 0o602: true} {
		require.NoError(t, os.Chmod(file, mode))
		_, warning, err := Secret(file)
		require.NoError(t, err)
		require.Equal(t, warns, warning != "", "%v: %s", mode, warning)
		require.NotContains(t, warning, "s3cret")
	}
}
