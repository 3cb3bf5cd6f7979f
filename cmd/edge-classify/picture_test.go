package main

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/classify"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/nettest"
	"edgeclassify/preprocess"
	"edgeclassify/stream"
)

// What a camera sees, turned and in part, is what the file gives with the same flags.
func TestCameraAndFileAreTurnedAlike(t *testing.T) {
	model, dir := smallModel(t), photoDir(t, "rocket.jpg")
	hashes := map[string]bool{}
	for _, flags := range [][]string{
		nil, {"-rotate", "90"}, {"-flip", "h"}, {"-rotate", "270", "-flip", "v"},
		{"-roi", "50,30,201,203"}, {"-rotate", "180", "-roi", "10%,20%,50%,40%"},
	} {
		code, out, errs := classifyHere(t, nil, append([]string{"-model", model, "-top", "100", "-json", dir}, flags...)...)
		require.Zero(t, code, errs)
		want := parseResults(t, out)["rocket.jpg"]
		hashes[want.LogitsHash] = true
		c := watch(t, append([]string{"-model", model, "-camera", "file:" + dir, "-top", "100", "-json"}, flags...)...)
		require.InDeltaMapValues(t, byLabel(want.Top), byLabel(c.result().Top), 1e-9, flags)
		require.Zero(t, c.end())
	}
	require.Len(t, hashes, 6, "each of the flags changes something")
}

func byLabel(top []classify.Prediction) map[string]float64 {
	probs := map[string]float64{}
	for _, p := range top {
		probs[p.Label] = p.Probability
	}
	return probs
}

func TestBadPictureFlags(t *testing.T) {
	model, photo := write(t, "colours.q8", nettest.Colours()), photoDir(t, "cat.jpg")
	for _, c := range []struct {
		flags []string
		code  int
		want  string
	}{
		{[]string{"-rotate", "45"}, cli.ExitUsage, "want 0, 90, 180 or 270"},
		{[]string{"-flip", "left"}, cli.ExitUsage, `flip "left": want h`},
		{[]string{"-roi", "1,2,3"}, cli.ExitUsage, "want X,Y,W,H"},
		{[]string{"-picture-memory", "12 apples"}, cli.ExitUsage, "want a size such as 256MB"},
		{[]string{"-picture-memory", "10"}, cli.ExitUsage, "-picture-memory 10: want at least 1MB"},
		{[]string{"-roi", "0,0,9000,9000"}, cli.ExitFailure, "does not fit the picture of "},
	} {
		code, _, errs := classifyHere(t, nil, append([]string{"-model", model, photo}, c.flags...)...)
		require.Equal(t, c.code, code, c.flags)
		require.Contains(t, errs, c.want, c.flags)
	}
}

// The error says what to allow, and that suffices.
func TestPictureMemory(t *testing.T) {
	model, picture := write(t, "colours.q8", nettest.Colours()), filepath.Join(t.TempDir(), "large.png")
	var file bytes.Buffer
	require.NoError(t, png.Encode(&file, image.NewNRGBA(image.Rect(0, 0, 1000, 600))))
	require.NoError(t, os.WriteFile(picture, file.Bytes(), 0o600))
	for _, path := range []string{picture, "-"} {
		code, _, errs := classifyHere(t, file.Bytes(), "-model", model, "-picture-memory", "2MB", path)
		require.Equal(t, cli.ExitFailure, code)
		require.Contains(t, errs, "decoding 1000x600 pixels of this kind takes 3MB of memory, and it may take 2MB")
		require.Contains(t, errs, "-picture-memory 3MB")
		code, _, errs = classifyHere(t, file.Bytes(), "-model", model, "-picture-memory", "3MB", path)
		require.Zero(t, code, errs)
	}
	require.Equal(t, cli.Size(128e6), pictureMemory(512e6, 100e6))
	require.Equal(t, cli.Size(preprocess.DefaultMemory), pictureMemory(64e9, 0))
	require.Equal(t, cli.Size(preprocess.DefaultMemory), pictureMemory(0, 0), "not known")
}

// Turning and cropping frames costs no allocation.
func TestTurnedFramesDoNotAllocate(t *testing.T) {
	m, err := classify.Open(smallModel(t), classify.Options{Threads: 2})
	require.NoError(t, err)
	defer m.Close()
	roi := preprocess.ROI{X: 10, Y: 5, W: 50, H: 90, Percent: true}
	c, probs := stream.NewClassifier(m, roi), make([]float64, len(m.Classes()))
	for _, f := range rawFrames() {
		f.Orientation = 6
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if _, err := c.Classify(f, probs); err != nil {
				t.Fatal(err)
			}
		}), f.Format)
	}
}
