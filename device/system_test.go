package device

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/device/internal/guest"
	"edgeclassify/device/internal/machine"
	"edgeclassify/internal/testneed"
)

// board is a machine that runs Debian.
type board struct {
	*device
	key string // path of what opens ssh for the user pi
}

// debian boots a board that runs Debian, with the virtual USB host and a
// network.
func debian(t *testing.T, files machine.Files) *board {
	t.Helper()
	findKernel(t) // or this test is not wanted
	testneed.Program(t, "ssh", "apt-get install openssh-client")
	system, err := machine.FindSystem(os.Getenv("DEVICE_CACHE"))
	if err != nil {
		testneed.Missing(t, "%v: %s", err, machine.Install)
	}
	key := filepath.Join(t.TempDir(), "key")
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput()
	require.NoError(t, err, "%s", out)
	all := machine.Files{"/etc/ssh/keys": key + ".pub"}
	for inside, outside := range files {
		all[inside] = outside
	}
	start := time.Now()
	d := boot(t, setup{board: machine.Debian("cortex-a76", system), modules: append(webcamModules(), "virtio-pci", "virtio-net"), files: all})
	b := &board{d, key}
	t.Logf("booted within %.1f s", time.Since(start).Seconds())
	b.waits("ssh answers", func() bool { return exec.Command("ssh", b.ssh("true")...).Run() == nil })
	t.Logf("ssh answers after %.1f s", time.Since(start).Seconds())
	return b
}

// ssh are the arguments of ssh that run a command as the user pi.
func (b *board) ssh(command ...string) []string {
	host, port, _ := strings.Cut(b.machine.Address(machine.SSH), ":")
	return append([]string{"-i", b.key, "-p", port, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "pi@" + host}, command...)
}

// run runs a shell's command as root and returns what it prints. It must
// succeed.
func (b *board) run(command string) string {
	b.Helper()
	p := &program{device: b.device}
	b.call("Start", guest.Command{Args: []string{"/bin/sh", "-c", "exec 2>&1; " + command}}, &p.number)
	out, code := p.output(commandTime)
	require.Zero(b, code, "%s: %s", command, out)
	return strings.TrimSpace(out)
}

// commandTime is longer than systemctl, or dpkg, takes on a busy host.
const commandTime = 2 * time.Minute

// waits waits for a condition.
func (b *board) waits(what string, holds func() bool) {
	b.Helper()
	for end := time.Now().Add(commandTime); !holds(); time.Sleep(200 * time.Millisecond) {
		require.True(b, time.Now().Before(end), "not within %v: %s", commandTime, what)
	}
}
