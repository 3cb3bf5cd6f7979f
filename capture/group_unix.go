//go:build unix

package capture

import (
	"os/exec"
	"syscall"
)

// ownGroup puts a command to be started into a process group of its own.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// killGroup kills a command that has not been waited for, and all that it
// started.
func killGroup(cmd *exec.Cmd) {
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // fails if it has ended
}
