// Package machine makes and runs the virtual machines of the device tests:
// Debian's arm64 kernel in QEMU, with an initial file system that holds an
// agent, the programs under test and the kernel modules they need.
package machine

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Install is what must be done before a kernel can be had.
const Install = "dpkg --add-architecture arm64 && apt-get update (Debian)"

// Kernel is an unpacked kernel package.
type Kernel struct{ dir string }

// FindKernel returns the kernel in the cache folder. If there is none it gets
// Debian's current one through apt, without installing it.
func FindKernel(cache string) (*Kernel, error) {
	dir := filepath.Join(cache, "kernel")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := fetchKernel(cache, dir); err != nil {
			return nil, fmt.Errorf("machine: no arm64 kernel in %s: %w", cache, err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("machine: %w", err)
	}
	return &Kernel{dir}, nil
}

// fetchKernel unpacks beside dir and then renames, so that dir is whole.
func fetchKernel(cache, dir string) error {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(cache, "unpacking-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	name, err := packageName()
	if err != nil {
		return err
	}
	if _, err := run(temp, "apt-get", "download", "--quiet", name); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(temp, "*.deb"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("apt-get download %s left %d packages", name, len(files))
	}
	if _, err := run(temp, "dpkg-deb", "--extract", filepath.Base(files[0]), "kernel"); err != nil {
		return err
	}
	return os.Rename(filepath.Join(temp, "kernel"), dir)
}

var dependency = regexp.MustCompile(`Depends: (linux-image-\S+)`)

// packageName is the package that linux-image-arm64 stands for.
func packageName() (string, error) {
	out, err := run("", "apt-cache", "depends", "linux-image-arm64:arm64")
	if err != nil {
		return "", err
	}
	match := dependency.FindSubmatch(out)
	if match == nil {
		return "", errors.New("apt knows no linux-image-arm64:arm64")
	}
	return string(match[1]), nil
}

func run(dir, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("%s: %w: %s", cmd, err, exit.Stderr)
	}
	return out, err
}

// Image is the path of the kernel itself.
func (k *Kernel) Image() (string, error) { return k.find("boot/vmlinuz-*") }

// DeviceTree is the path of a board's device tree, such as bcm2837-rpi-3-b.
func (k *Kernel) DeviceTree(board string) (string, error) {
	return k.find("usr/lib/linux-image-*/broadcom/" + board + ".dtb")
}

// find is the path of the one file that matches.
func (k *Kernel) find(pattern string) (string, error) {
	found, err := filepath.Glob(filepath.Join(k.dir, pattern))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("machine: %d files %s in %s: want one", len(found), pattern, k.dir)
	}
	return found[0], nil
}

// Modules returns the paths of the modules with these names and of those that
// they need, in the order in which they must be loaded.
func (k *Kernel) Modules(names ...string) ([]string, error) {
	all, err := k.modules()
	if err != nil {
		return nil, err
	}
	var order []string
	var add func(name string) error
	add = func(name string) error {
		path, ok := all[moduleName(name)]
		if !ok {
			return fmt.Errorf("machine: the kernel in %s has no module %s", k.dir, name)
		}
		if slices.Contains(order, path) {
			return nil
		}
		needs, err := dependencies(path)
		if err != nil {
			return err
		}
		for _, n := range needs {
			if err := add(n); err != nil {
				return err
			}
		}
		order = append(order, path)
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// modules are the paths of all modules by name.
func (k *Kernel) modules() (map[string]string, error) {
	all := map[string]string{}
	err := filepath.WalkDir(filepath.Join(k.dir, "lib/modules"), func(path string, _ fs.DirEntry, err error) error {
		if base, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok {
			all[moduleName(base)] = path
		}
		return err
	})
	return all, err
}

// moduleName makes of dashes and underscores the same: the kernel does so.
func moduleName(name string) string { return strings.ReplaceAll(name, "-", "_") }

// dependencies are the names that a module lists in its section .modinfo, as
// the field depends.
func dependencies(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("machine: %w", err)
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("machine: %s is no kernel module", path)
	}
	info, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("machine: %s: %w", path, err)
	}
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := strings.CutPrefix(string(field), "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}
