// Package private reads files that hold a secret.
package private

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
)

const (
	maxSecret = 4 << 10 // bytes
	others    = 0o007   // what a file's mode allows everyone
)

// Secret reads the one line that a file holds, without its end. The warning is
// for people, where every user of the machine may read the file.
func Secret(path string) (secret, warning string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", "", err
	}
	secret = strings.TrimRight(string(text), "\r\n")
	switch {
	case len(text) > maxSecret || strings.ContainsAny(secret, "\r\n"):
		return "", "", fmt.Errorf("%s: want one line of at most %d bytes", path, maxSecret)
	case secret == "":
		return "", "", fmt.Errorf("%s is empty", path)
	case runtime.GOOS != "windows" && info.Mode()&others != 0: // where modes tell nothing
		warning = fmt.Sprintf("every user of this machine can get at the secret in %s (mode %04o): chmod 600 %[1]s", path, info.Mode().Perm())
	}
	return secret, warning, nil
}
