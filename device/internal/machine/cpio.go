package machine

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// Files are the contents of an initial file system: from the path inside to
// the file outside.
type Files map[string]string

// modes of what an archive holds (inode(7)).
const (
	folderMode = 0o040755
	fileMode   = 0o100755
	deviceMode = 0o020600
	linkMode   = 0o120777
)

// archive returns the files in the format newc of cpio, which the kernel
// unpacks at start (Documentation/driver-api/early-userspace/buffer-format.rst
// in Linux), with the folders that they need.
func (files Files) archive() ([]byte, error) {
	var a archive
	for _, dir := range files.folders() {
		a.add(dir, folderMode, nil)
	}
	a.device("dev/console", 5, 1) // from which the first process reads
	for _, name := range slices.Sorted(maps.Keys(files)) {
		data, err := os.ReadFile(files[name])
		if err != nil {
			return nil, fmt.Errorf("machine: initial file system: %w", err)
		}
		a.add(strings.TrimPrefix(name, "/"), fileMode, data)
	}
	a.add("TRAILER!!!", 0, nil)
	return a.Bytes(), nil
}

// folders are the parents of all files, and where file systems are mounted.
// Parents come before their children.
func (files Files) folders() []string {
	dirs := map[string]bool{"dev": true, "proc": true, "sys": true, "tmp": true}
	for name := range files {
		for dir := path.Dir(strings.TrimPrefix(name, "/")); dir != "."; dir = path.Dir(dir) {
			dirs[dir] = true
		}
	}
	return slices.Sorted(maps.Keys(dirs))
}

// archive is a cpio archive.
type archive struct {
	bytes.Buffer
	inodes int
}

func (a *archive) add(name string, mode int, data []byte) { a.entry(name, mode, 0, 0, data) }

func (a *archive) device(name string, major, minor int) {
	a.entry(name, deviceMode, major, minor, nil)
}

func (a *archive) entry(name string, mode, major, minor int, data []byte) {
	a.inodes++
	a.WriteString("070701")
	const owner, group, links, modified = 0, 0, 1, 0
	for _, v := range []int{a.inodes, mode, owner, group, links, modified, len(data), 0, 0, major, minor, len(name) + 1, 0} {
		fmt.Fprintf(a, "%08x", v)
	}
	a.WriteString(name + "\x00")
	a.align()
	a.Write(data)
	a.align()
}

// align pads to a multiple of four bytes.
func (a *archive) align() {
	for a.Len()%4 != 0 {
		a.WriteByte(0)
	}
}
