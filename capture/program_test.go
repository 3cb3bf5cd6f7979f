package capture

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMessages(t *testing.T) {
	var text bytes.Buffer
	m := &messages{log: slog.New(slog.NewTextHandler(&text, nil)), program: "p", hide: strings.NewReplacer("secret", "***")}
	for _, part := range []string{"one\ntw", "o\n\n  \n", strings.Repeat("x", 5*maxLine), "\nmy secret\nlast"} {
		n, err := m.Write([]byte(part))
		require.NoError(t, err)
		require.Equal(t, len(part), n)
	}
	require.EqualError(t, m.explain(errStalled), "p: no frames: last")
	require.Contains(t, text.String(), "line=one\n")
	require.Contains(t, text.String(), "line=two\n")
	require.Contains(t, text.String(), `line="my ***"`)
	require.LessOrEqual(t, cap(m.part), 2*maxLine)
	m.begin()
	require.EqualError(t, m.explain(errStalled), "p: no frames")
	require.EqualError(t, m.explain(errors.New("exit status 1")), "p: exit status 1: it did not say why")
}

func TestLevels(t *testing.T) {
	for line, want := range map[string]slog.Level{
		"[0:00:01.2] [9]  INFO Camera camera_manager.cpp:326 no error":     slog.LevelInfo,
		"[0:00:01.2] [9] DEBUG IPA":                                        slog.LevelDebug,
		"[0:00:01.2] [9]  WARN V4L2":                                       slog.LevelWarn,
		"[0:00:01.2] [9] FATAL default":                                    slog.LevelError,
		"ERROR: *** no cameras available ***":                              slog.LevelError,
		"[rtsp @ 0x55d0] [error] method DESCRIBE failed: 401 Unauthorized": slog.LevelError,
		"[h264 @ 0x55d0] [warning] error while decoding MB 1 2":            slog.LevelWarn,
		"** (gst-launch-1.0:123): WARNING **: clock":                       slog.LevelWarn,
		"Setting pipeline to PLAYING ...":                                  slog.LevelInfo,
		"informal":                                                         slog.LevelInfo,
	} {
		require.Equal(t, want, levelOf(line), line)
	}
}

// TestMessagesAreThinnedOut has a program that repeats itself for an hour, and
// is started again and again.
func TestMessagesAreThinnedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		m := &messages{log: slog.New(slog.NewTextHandler(&text, nil))}
		for i := range 3600 {
			if i%100 == 0 {
				m.begin()
			}
			_, err := m.Write([]byte("[0:" + time.Now().Format("04:05") + "] [1234] WARN dequeue timer of 1000000us has expired 0x7f" + strings.Repeat("ab", i%9) + "\n"))
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		require.Equal(t, 6, strings.Count(text.String(), "level=WARN"))
		require.Contains(t, text.String(), "repeated=600")
		for i := range 10_000 { // of different kinds
			_, _ = m.Write([]byte(strings.Repeat("x", i%1000) + "\n"))
		}
		require.LessOrEqual(t, len(m.seen), maxKinds)
	})
}
