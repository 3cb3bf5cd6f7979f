//go:build !unix

package capture

import "os/exec"

func ownGroup(*exec.Cmd) {}

// killGroup kills a command that has not been waited for.
func killGroup(cmd *exec.Cmd) {
	_ = cmd.Process.Kill() // fails if it has ended
}
