package v4l2

import (
	"cmp"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Nodes lists the video nodes of the system by number, of which cameras are
// a part.
func Nodes() []Node { return nodes("/dev", "/sys/class/video4linux") }

func nodes(dev, class string) []Node {
	const prefix = "video"
	paths, _ := filepath.Glob(filepath.Join(dev, prefix+"[0-9]*")) // fails for bad patterns only
	number := func(path string) int {
		n, _ := strconv.Atoi(strings.TrimPrefix(filepath.Base(path), prefix))
		return n
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	list := make([]Node, len(paths))
	for i, path := range paths {
		name, _ := os.ReadFile(filepath.Join(class, filepath.Base(path), "name")) // containers may lack it
		list[i] = Node{path, strings.TrimSpace(string(name))}
	}
	return list
}

// Holders names the programs that have path open, as far as /proc lets the
// caller see.
func Holders(path string) []string {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	var holders []string
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // fails for bad patterns only
	for _, link := range links {
		if open, err := os.Readlink(link); err != nil || open != target {
			continue
		}
		process := filepath.Dir(filepath.Dir(link))
		name, _ := os.ReadFile(filepath.Join(process, "comm")) // it may just have ended
		holder := fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), filepath.Base(process))
		if !slices.Contains(holders, holder) {
			holders = append(holders, holder)
		}
	}
	return holders
}

// Group names the group that owns path, "" if that is not known.
func Group(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	g, err := user.LookupGroupId(strconv.Itoa(int(stat.Gid)))
	if err != nil {
		return ""
	}
	return g.Name
}
