package fleet

import (
	"fmt"
	"os"
	"syscall"
)

// identity is device and inode of a file, as in JOURNAL_STREAM. Programs
// inherit that variable even where their output goes elsewhere.
func identity(f *os.File) string {
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}
