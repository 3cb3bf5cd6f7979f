package device

import (
	"fmt"
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
	bin string // folder of a command ssh that knows the host board
}

// debian boots a board that runs Debian, with the virtual USB host and a
// network.
func debian(t *testing.T, files machine.Files) *board {
	t.Helper()
	findKernel(t) // or this test is not wanted
	client := testneed.Program(t, "ssh", "apt-get install openssh-client")
	system, err := machine.FindSystem(os.Getenv("DEVICE_CACHE"))
	if err != nil {
		testneed.Missing(t, "%v: %s", err, machine.Install)
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput()
	require.NoError(t, err, "%s", out)
	all := machine.Files{"/etc/ssh/keys": key + ".pub"}
	for inside, outside := range files {
		all[inside] = outside
	}
	start := time.Now()
	d := boot(t, setup{board: machine.Debian("cortex-a76", system), modules: append(webcamModules(), "virtio-pci", "virtio-net"), files: all})
	t.Logf("booted within %.1f s", time.Since(start).Seconds())
	host, port, _ := strings.Cut(d.machine.Address(machine.SSH), ":")
	settings := fmt.Sprintf("Host board\nHostName %s\nPort %s\nIdentityFile %s\nBatchMode yes\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n", host, port, key)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config"), []byte(settings), 0o600))
	ssh := fmt.Sprintf("#!/bin/sh\nexec %s -o ConnectTimeout=120 -F %s/config \"$@\"\n", client, dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ssh"), []byte(ssh), 0o700))
	b := &board{d, dir}
	b.waits("ssh answers", func() bool { return exec.Command(filepath.Join(b.bin, "ssh"), "pi@board", "true").Run() == nil })
	t.Logf("ssh answers after %.1f s", time.Since(start).Seconds())
	return b
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
const commandTime = 4 * time.Minute

// waits waits for a condition.
func (b *board) waits(what string, holds func() bool) {
	b.Helper()
	for end := time.Now().Add(commandTime); !holds(); time.Sleep(200 * time.Millisecond) {
		require.True(b, time.Now().Before(end), "not within %v: %s", commandTime, what)
	}
}
