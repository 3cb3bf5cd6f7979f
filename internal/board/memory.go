package board

import (
	"io/fs"
	"math"
	"path"
	"strings"
)

// Memory is how many bytes programs have in all, and how many more this one can
// have before the system swaps or ends it: those of the machine, or less where a
// control group, such as a service's or a container's, limits them. 0 stands for
// what is not known. (Linux, Documentation/filesystems/proc.rst and
// Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.)
func Memory(root fs.FS) (total, available int64) {
	total, available = kilobytes(root, "proc/meminfo", "MemTotal:"), kilobytes(root, "proc/meminfo", "MemAvailable:")
	for line := range strings.Lines(read(root, "proc/self/cgroup")) {
		// hierarchy:controllers:/group; version 2 has no controllers.
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		g := cgroup{root: root, top: "sys/fs/cgroup", limit: "memory.max", usage: "memory.current", unused: "inactive_file "}
		if fields[1] == "memory" {
			g = cgroup{root, "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "}
		} else if fields[1] != "" {
			continue
		}
		// Each group limits those below it. Where the names are not this program's,
		// as in some containers, the top is its own.
		for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
			limit, left := g.memory(group)
			total, available = least(total, limit), least(available, left)
			if group == "/" {
				break
			}
		}
	}
	return total, available
}

// cgroup is where a version of control groups says what it allows.
type cgroup struct {
	root         fs.FS
	top          string
	limit, usage string // files of bytes
	unused       string // of memory.stat: the file cache that is dropped first
}

// memory is a group's limit, and what is left of it; 0 where there is none.
func (g *cgroup) memory(group string) (limit, left int64) {
	dir := path.Join(g.top, group)
	limit, ok := number(g.root, path.Join(dir, g.limit), 10)
	if !ok || limit <= 0 || limit > math.MaxInt64/2 { // "max", or version 1's largest number
		return 0, 0
	}
	used, _ := number(g.root, path.Join(dir, g.usage), 10)
	for line := range strings.Lines(read(g.root, path.Join(dir, "memory.stat"))) {
		if value, ok := strings.CutPrefix(line, g.unused); ok {
			used -= decimal(value)
		}
	}
	return limit, max(1, limit-used) // none left is not unknown
}

// least is the smaller of two sizes of which 0 is not known.
func least(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}
