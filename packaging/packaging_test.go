// Package packaging_test checks what goes into the Debian package.
package packaging_test

import (
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/config"
	"edgeclassify/internal/testneed"
)

// run runs a program and gives its output.
func run(t *testing.T, env []string, program string, args ...string) string {
	c := exec.Command(program, args...)
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s %s: %s", program, args, out)
	return string(out)
}

// build makes the package, which holds the real program.
func build(t *testing.T) string {
	if testing.Short() {
		t.Skip("builds the program and the tool that packs it")
	}
	testneed.Program(t, "dpkg-deb", "apt-get install dpkg")
	dir := t.TempDir()
	out := run(t, []string{"SOURCE_DATE_EPOCH=1000000000"}, "go", "run", "../internal/release", "-deb", "-platforms", "linux/arm64", "-out", dir)
	lines := strings.Fields(out) // behind what Go says that it downloads
	deb := lines[len(lines)-1]
	require.Regexp(t, `/edge-classify_[0-9].*_arm64\.deb$`, deb)
	return deb
}

func TestPackage(t *testing.T) {
	deb := build(t)
	list := run(t, []string{"TZ=UTC"}, "dpkg-deb", "-c", deb)
	for _, want := range []string{
		`-rwxr-xr-x root/root +\d{7,8} 2001-09-09 01:46 \./usr/bin/edge-classify\n`,
		` \./usr/lib/systemd/system/edge-classify\.service\n`,
		` \./etc/edge-classify/edge-classify\.conf\n`,
		` \./usr/share/doc/edge-classify/copyright\n`,
		` \./usr/share/doc/edge-classify/THIRD-PARTY-NOTICES\n`,
		` \./usr/share/doc/edge-classify/changelog\.gz\n`,
	} {
		require.Regexp(t, want, list)
	}
	require.NotContains(t, list, ".q8", "the network is the user's")
	for line := range strings.Lines(list) {
		require.Regexp(t, `^(d|-)rw.r-.r-. root/root +\d+ 2001-09-09 01:46 `, line)
	}

	for field, want := range map[string]string{"Package": "edge-classify", "Version": `\d\S+`, "Architecture": "arm64", "Depends": "adduser", "Installed-Size": `\d{4,5}`} {
		require.Regexp(t, "^"+want+"\n$", run(t, nil, "dpkg-deb", "-f", deb, field))
	}
	require.Contains(t, run(t, nil, "dpkg-deb", "-f", deb, "Description"), "/var/lib/edge-classify/model.q8")

	root := t.TempDir()
	run(t, nil, "dpkg-deb", "-x", deb, root)
	run(t, nil, "dpkg-deb", "-e", deb, filepath.Join(root, "DEBIAN"))
	check := exec.Command("md5sum", "--check", "--quiet", "DEBIAN/md5sums")
	check.Dir = root
	out, err := check.CombinedOutput()
	require.NoError(t, err, string(out))
	conffiles, err := os.ReadFile(filepath.Join(root, "DEBIAN/conffiles"))
	require.NoError(t, err)
	require.Equal(t, "/etc/edge-classify/edge-classify.conf\n", string(conffiles))
}

// stubs are programs that write down how they are called.
func stubs(t *testing.T, scripts map[string]string) (env []string, calls func() string) {
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	for name, body := range scripts {
		text := "#!/bin/sh\necho " + name + " \"$@\" >>" + log + "\n" + body + "\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700))
	}
	return []string{"PATH=" + dir + ":" + os.Getenv("PATH")}, func() string {
		text, _ := os.ReadFile(log)
		return string(text)
	}
}

// The user joins the groups that there are, and only those.
func TestInstallation(t *testing.T) {
	testneed.Program(t, "sh", "install a POSIX shell")
	env, calls := stubs(t, map[string]string{
		"adduser": "", "install": "", "systemctl": "", "dpkg-statoverride": "exit 1", "chown": "", "chmod": "",
		"getent": `[ "$2" != i2c ]`,
	})
	out := run(t, env, "sh", "debian/postinst", "configure", "")
	require.Contains(t, out, "put a network at /var/lib/edge-classify/model.q8")
	require.Regexp(t, "adduser --quiet --system --group .* edge-classify\n", calls())
	require.Contains(t, calls(), "adduser --quiet edge-classify video\n")
	require.Contains(t, calls(), "adduser --quiet edge-classify gpio\n")
	require.NotContains(t, calls(), "adduser --quiet edge-classify i2c\n")
	require.Empty(t, run(t, env, "sh", "debian/postinst", "configure", "1.0"), "an upgrade needs no advice")
	require.Empty(t, run(t, env, "sh", "debian/prerm", "upgrade", "1.0"))
	require.Empty(t, run(t, env, "sh", "debian/postrm", "upgrade"))
}

// The settings as shipped, and those that are commented out, are flags.
func TestSettings(t *testing.T) {
	text, err := os.ReadFile("edge-classify.conf")
	require.NoError(t, err)
	all := regexp.MustCompile(`(?m)^#([a-z])`).ReplaceAll(text, []byte("$1"))
	path := filepath.Join(t.TempDir(), "all.conf")
	require.NoError(t, os.WriteFile(path, all, 0o600))

	program := testneed.Built(t, "edgeclassify/cmd/edge-classify")
	help := run(t, nil, program, "-h")
	f := flag.NewFlagSet("", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	set := map[string]string{}
	for _, match := range regexp.MustCompile(`(?m)^  -([a-z0-9-]+)(?: \S+)?$`).FindAllStringSubmatch(help, -1) {
		f.Func(match[1], "", func(value string) error { set[match[1]] = value; return nil })
	}
	require.NoError(t, config.Apply(f, path, "config"))
	require.Equal(t, "/var/lib/edge-classify/model.q8", set["model"])
	require.Equal(t, "27=tabby:0.6", set["led"])
	require.GreaterOrEqual(t, len(set), 15)
}

func TestUnit(t *testing.T) {
	text, err := os.ReadFile("edge-classify.service")
	require.NoError(t, err)
	unit := string(text)
	for _, line := range []string{"Type=notify", "User=edge-classify", "Restart=always", "StateDirectory=edge-classify", "WatchdogSec=60", "NoNewPrivileges=yes", "StandardError=journal", "MemoryMax=75%"} {
		require.Contains(t, unit, "\n"+line+"\n")
	}
	require.NotRegexp(t, `(?m)^(DevicePolicy|DeviceAllow|PrivateDevices|ProtectClock|SupplementaryGroups)=`, unit, "see the comments there")

	analyze := testneed.Program(t, "systemd-analyze", "apt-get install systemd")
	// The program is not installed where tests run.
	local := filepath.Join(t.TempDir(), "edge-classify.service")
	require.NoError(t, os.WriteFile(local, []byte(strings.ReplaceAll(unit, "/usr/bin/edge-classify", "/bin/true")), 0o600))
	out := run(t, nil, analyze, "--man=no", "verify", local)
	for line := range strings.Lines(out) {
		require.NotContains(t, line, "edge-classify.service", "of our unit")
	}
	run(t, nil, analyze, "security", "--offline=yes", "--threshold=19", local)
}
