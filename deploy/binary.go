package deploy

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
)

// program is the import path of the program that boards run.
const program = "edgeclassify/cmd/edge-classify"

// platform is what Go calls a machine's kind.
type platform struct{ arch, arm string }

// platformOf translates what uname -m says. A 64-bit kernel runs a 64-bit program
// that needs no libraries even below a 32-bit system.
func platformOf(machine string) (platform, error) {
	switch machine {
	case "aarch64", "arm64":
		return platform{arch: "arm64"}, nil
	case "armv7l", "armv8l":
		return platform{"arm", "7"}, nil
	case "armv6l":
		return platform{"arm", "6"}, nil
	case "x86_64", "amd64":
		return platform{arch: "amd64"}, nil
	}
	return platform{}, fmt.Errorf("the board is %q: want aarch64, armv7l, armv6l or x86_64", machine)
}

func (p platform) String() string { return "linux-" + p.arch }

// check tells whether the file is the program, for this platform.
func (p platform) check(file string) error {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return err
	}
	if info.Path != program {
		return fmt.Errorf("%s is the program %s, not edge-classify", file, info.Path)
	}
	built := map[string]string{}
	for _, s := range info.Settings {
		built[s.Key] = s.Value
	}
	if system := built["GOOS"] + "-" + built["GOARCH"]; system != p.String() {
		return fmt.Errorf("%s is made for %s, the board is %v", file, system, p)
	}
	if built["GOARM"] > p.arm {
		return fmt.Errorf("%s is made for ARMv%s, the board is ARMv%s: build it with GOARM=%[3]s", file, built["GOARM"], p.arm)
	}
	if built["CGO_ENABLED"] == "1" {
		return fmt.Errorf("%s needs a C library that the board may lack: build it with CGO_ENABLED=0", file)
	}
	return nil
}

// build is the command that makes the program.
func (p platform) build(ctx context.Context, out string) *exec.Cmd {
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", out, program)
	c.Env = append(os.Environ(), p.environment()...)
	return c
}

func (p platform) environment() []string {
	list := []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + p.arch}
	if p.arm != "" {
		list = append(list, "GOARM="+p.arm)
	}
	return list
}
