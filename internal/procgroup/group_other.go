//go:build !unix

package procgroup

import "os/exec"

func Own(*exec.Cmd) {}

// Kill kills a command that has not been waited for.
func Kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill() // fails if it has ended
}
