package main

import (
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// build is the programs built for one platform.
type build struct {
	os, arch, variant string
	dir               string            // of the rest
	programs          map[string]string // their files, by name
	version           string            // of the sources
	time              time.Time         // of the sources
	notices           string            // the file of third-party notices
}

// newBuild builds the programs, or the one for boards only, below dir.
func newBuild(dir, platform string, boards bool) (*build, error) {
	parts := append(strings.Split(platform, "/"), "")
	if len(parts) < 3 || len(parts) > 4 {
		return nil, fmt.Errorf("platform %q: want OS/ARCHITECTURE, or OS/ARCHITECTURE/VARIANT", platform)
	}
	b := &build{os: parts[0], arch: parts[1], variant: parts[2], dir: filepath.Join(dir, filepath.FromSlash(platform)), programs: map[string]string{}}
	for _, program := range programs {
		if boards && program != "edge-classify" {
			continue
		}
		file := filepath.Join(b.dir, program)
		if b.os == "windows" {
			file += ".exe"
		}
		// Auto, whatever the environment says: the version is in the build information.
		if _, err := b.run("go", "build", "-trimpath", "-buildvcs=auto", "-ldflags", "-s -w", "-o", file, "edgeclassify/cmd/"+program); err != nil {
			return nil, err
		}
		b.programs[program] = file
	}
	if err := b.readVersion(); err != nil {
		return nil, err
	}
	text, err := b.thirdParty()
	if err != nil {
		return nil, err
	}
	b.notices = filepath.Join(b.dir, "THIRD-PARTY-NOTICES")
	return b, os.WriteFile(b.notices, text, 0o644)
}

// run runs a program, with Go's environment for the platform, and gives its output.
func (b *build) run(name string, args ...string) ([]byte, error) {
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+b.os, "GOARCH="+b.arch)
	if b.arch == "arm" {
		c.Env = append(c.Env, "GOARM="+strings.TrimPrefix(b.variant, "v"))
	}
	return output(c)
}

func output(c *exec.Cmd) ([]byte, error) {
	var stderr strings.Builder
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, stderr.String())
	}
	return out, nil
}

// readVersion reads version and time of the sources from the build information.
// SOURCE_DATE_EPOCH, in seconds, takes the time's place (reproducible-builds.org).
func (b *build) readVersion() error {
	info, err := buildinfo.ReadFile(b.programs["edge-classify"])
	if err != nil {
		return err
	}
	b.version, b.time = strings.TrimPrefix(info.Main.Version, "v"), time.Unix(0, 0).UTC()
	if b.version == "" || b.version == "(devel)" {
		b.version = "0.0.0-devel" // sources without a repository
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			if b.time, err = time.Parse(time.RFC3339, s.Value); err != nil {
				return err
			}
		}
	}
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
		}
		b.time = time.Unix(seconds, 0).UTC()
	}
	return nil
}

// file is the name of a file for boards.
func (b *build) file(out, suffix string) string {
	return filepath.Join(out, fmt.Sprintf("edge-classify_%s_%s", b.version, suffix))
}

// debian is the name of the architecture in Debian, of those that boards have.
func (b *build) debian() string {
	return map[string]string{"linux/arm64": "arm64", "linux/arm": "armhf"}[b.os+"/"+b.arch]
}

// deb makes the Debian package by packaging/nfpm.yaml.
func (b *build) deb(out string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	changelog, err := b.changelog()
	if err != nil {
		return err
	}
	folder, err := sources("packaging")
	if err != nil {
		return err
	}
	c := exec.Command("go", "run", nfpm, "package", "--config", "nfpm.yaml", "--packager", "deb", "--target", out)
	c.Dir = folder
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "VERSION="+b.version, "ARCH="+b.debian(), "PROGRAM="+b.programs["edge-classify"],
		"NOTICES="+b.notices, "CHANGELOG="+changelog, fmt.Sprintf("SOURCE_DATE_EPOCH=%d", b.time.Unix()))
	_, err = output(c)
	return err
}

// changelog writes Debian's, of one line.
func (b *build) changelog() (string, error) {
	path := filepath.Join(b.dir, "changelog.gz")
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // a level that there is
	fmt.Fprintf(z, "edge-classify (%s) unstable; urgency=medium\n\n  * Version %[1]s.\n\n -- edge-classify maintainers <maintainers@edge-classify.invalid>  %s\n",
		b.version, b.time.Format(time.RFC1123Z))
	if err := z.Close(); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, packed.Bytes(), 0o644)
}

// sources is a folder of the module.
func sources(folder string) (string, error) {
	root, err := output(exec.Command("go", "list", "-m", "-f", "{{.Dir}}"))
	return filepath.Join(strings.TrimSpace(string(root)), folder), err
}

// components lists the modules in a program, in CycloneDX' format.
func (b *build) components(program, out string) error {
	c := exec.Command("go", "run", "-trimpath", cyclonedx, "bin", "-json", "-std", "-noserial", "-notimestamp",
		"-version", b.version, "-output", out, b.programs[program])
	c.Env = append(os.Environ(), "CGO_ENABLED=0") // the list names the tool by its hash
	_, err := output(c)
	return err
}
