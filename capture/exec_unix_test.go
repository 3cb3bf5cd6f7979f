//go:build unix

package capture

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"edgeclassify/internal/syncbuffer"

	"github.com/stretchr/testify/require"
)

func TestExec(t *testing.T) {
	dir := installProgram(t, "camera", `cat $DIR/stream; echo "password $2" >&2; sleep 1000`)
	raw := bytes.Repeat([]byte{7}, 64*48*3/2)
	for name, c := range map[string]struct {
		stream []byte
		format Format
		width  int
	}{
		"raw":  {append(raw, raw...), I420, 64},
		"JPEG": {append(numbered(t, 1, 80), numbered(t, 2, 80)...), MJPEG, 80},
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "stream"), c.stream, 0o600))
		var text syncbuffer.Buffer
		camera, err := Open(t.Context(), "exec:camera 'a b' secret", Options{Width: 64, Height: 48, Log: slog.New(slog.NewTextHandler(&text, nil))})
		require.NoError(t, err, name)
		require.Eventually(t, func() bool { return camera.Status().Frames == 2 }, 10*time.Second, time.Millisecond)
		f := nextWithin(t, camera, 10*time.Second)
		require.Equal(t, []any{c.format, c.width, 48, uint64(1)}, []any{f.Format, f.Width, f.Height, f.Sequence})
		require.Len(t, rgb(t, f), 3*224*224)
		require.Equal(t, "exec:camera", camera.Status().Device)
		require.NoError(t, camera.Close())
	}
	for spec, want := range map[string]string{
		"exec:none --password secret": `exec: "none": executable file not found`,
		"exec:'none":                  "is not closed",
		"exec:''  ":                   "executable file not found",
		"exec:  ":                     "want a program",
		"exec:false --pass secret":    "false: exit status 1: it did not say why",
		"exec:sh -c : secret":         "sh: it has ended",
	} {
		_, err := Open(t.Context(), spec, Options{})
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := Open(ctx, "exec:sleep 1000", Options{Wait: true})
	require.ErrorIs(t, err, context.DeadlineExceeded, "opening can be given up")
	_, err = Open(t.Context(), "exec:camera", Options{Width: 65, Height: 48})
	require.ErrorContains(t, err, "want even numbers")
}
