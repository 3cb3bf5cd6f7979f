package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/kerastest"
	"edgeclassify/internal/testneed"
)

// From Teachable Machine's export to its labels on a board: two commands.
func TestTeachableMachineOnABoard(t *testing.T) {
	testneed.Long(t, "quantizes a network and emulates a board")
	qemu := testneed.Program(t, "qemu-aarch64", "apt-get install qemu-user")
	dir := t.TempDir()
	program, model, photo := buildProgram(t, forBoards...), filepath.Join(dir, "my.q8"), filepath.Join(photos, "cat.jpg")
	quantize := exec.Command("go", "run", "../quantize", "build", "-model", kerastest.TeachableMachine(t, 96, "Katze", "Hund", "Maus"), "-images", photos, "-method", "fast", "-out", model)
	text, err := quantize.CombinedOutput()
	require.NoError(t, err, string(text))
	require.Contains(t, string(text), "labels: 3, Katze to Maus, by softmax (from metadata.json)")
	require.Contains(t, string(text), "mean 127.5, std 127.5")

	board, err := exec.Command(qemu, "-cpu", "cortex-a53", program, "-model", model, "-json", photo).Output()
	require.NoError(t, err)
	_, here, errs := classifyHere(t, nil, "-model", model, "-json", photo)
	want, got := parseResults(t, here), parseResults(t, string(board))
	requireSameBits(t, want, got, errs)
	names := map[string]bool{}
	for _, p := range got["cat.jpg"].Top {
		names[p.Label] = true
	}
	require.Equal(t, map[string]bool{"Katze": true, "Hund": true, "Maus": true}, names)
}
