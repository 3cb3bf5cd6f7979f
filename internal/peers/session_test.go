package peers

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/testneed"
)

func TestAPeerThatEndsSaysWhy(t *testing.T) {
	shell := testneed.Program(t, "sh", "it is part of every Unix")
	s, err := start("m", exec.Command(shell, "-c", `echo '{"version": "1.2"}'; echo no memory >&2; exit 3`))
	require.NoError(t, err)
	require.Equal(t, "1.2", s.Version)
	_, _, err = s.Run(make([]float32, 1<<16), 1) // more than a pipe holds
	require.ErrorContains(t, err, "exit status 3")
	require.ErrorContains(t, err, "no memory")

	_, err = start("m", exec.Command(shell, "-c", `echo '{"error": "no such operation"}'`))
	require.EqualError(t, err, "m: no such operation")
}
