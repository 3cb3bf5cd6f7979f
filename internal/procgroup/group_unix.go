//go:build unix

// Package procgroup ends a program together with all that it started.
package procgroup

import (
	"os/exec"
	"syscall"
)

// Own puts a command to be started into a process group of its own.
func Own(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// Kill kills a command that has not been waited for, and all that it
// started.
func Kill(cmd *exec.Cmd) {
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // fails if it has ended
}
