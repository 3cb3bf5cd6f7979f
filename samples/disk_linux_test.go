package samples

import (
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const diskFolder = "SAMPLES_TEST_DISK"

// TestDisk runs TestOnDisk where it may mount a small disk that nobody else sees.
func TestDisk(t *testing.T) {
	program := exec.Command(os.Args[0], "-test.run", "^TestOnDisk$")
	program.Env = append(os.Environ(), diskFolder+"="+t.TempDir())
	program.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	output, err := program.CombinedOutput()
	if program.ProcessState == nil || program.ProcessState.ExitCode() == noMount {
		t.Skipf("no disk can be mounted here: %v %s", err, output)
	}
	require.NoError(t, err, string(output))
}

const noMount = 77

// TestOnDisk tells what a disk that is full, or can only be read, does to a store:
// nothing, and it says so.
func TestOnDisk(t *testing.T) {
	dir := os.Getenv(diskFolder)
	if dir == "" {
		t.Skip("runs within TestDisk")
	}
	mount := func(flags uintptr) error { return unix.Mount("tmpfs", dir, "tmpfs", flags, "size=256k") }
	if err := mount(0); err != nil {
		t.Log(err)
		os.Exit(noMount)
	}
	s := open(t, dir, Options{})
	require.NoError(t, s.AddLabel("cup"))
	var ids []string
	for {
		id, err := s.Add("cup", photo(t, 1), features(1, slices.Repeat([]int16{7}, 2048)...))
		if err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.ErrorContains(t, err, dir)
			break
		}
		ids = append(ids, id)
		require.Less(t, len(ids), 100, "it is never full")
	}
	_, err := s.Trained(func(path string) error { return os.WriteFile(path, make([]byte, 1<<20), 0o600) })
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Empty(t, entries(t, s.headsDir()))
	require.Len(t, entries(t, s.labelDir("cup")), len(ids))
	s = reopen(t, s)
	require.Len(t, all(t, s), len(ids))
	require.NoError(t, s.Delete("cup", ids[0]))
	add(t, s, "cup", features(1, 2))

	require.NoError(t, s.lock.Close()) // which it is written for
	require.NoError(t, mount(unix.MS_REMOUNT|unix.MS_RDONLY))
	_, err = s.Add("cup", photo(t, 1), features(1, 1))
	for _, err := range []error{
		err, s.AddLabel("keys"), s.RenameLabel("cup", "mug"), s.RemoveLabel("cup"), s.Delete("cup", ids[1]),
		s.SetFeatures("cup", ids[1], features(1, 1)), s.Use(0),
	} {
		require.ErrorIs(t, err, syscall.EROFS)
		require.ErrorContains(t, err, "samples: ")
	}
	require.Len(t, all(t, s), len(ids))
	_, err = Open(dir, Options{})
	require.ErrorIs(t, err, syscall.EROFS)
	require.ErrorContains(t, err, dir)
}
