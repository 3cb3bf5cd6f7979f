package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/capture"
	"edgeclassify/classify"
	"edgeclassify/stream"
)

// rawFrames are grey frames of all raw formats.
func rawFrames() []*capture.Frame {
	const width, height = 64, 48
	frame := func(format capture.Format, stride int) *capture.Frame {
		return &capture.Frame{Format: format, Width: width, Height: height, Stride: stride, Data: bytes.Repeat([]byte{128}, 2*width*height)}
	}
	return []*capture.Frame{frame(capture.YUYV, 2*width), frame(capture.NV12, width), frame(capture.I420, width)}
}

func resultOf(label string, prob float64, second int) *stream.Result {
	return &stream.Result{
		Time: time.Date(2026, 1, 2, 3, 4, second, 0, time.Local), AgeMS: 45, Dropped: 3, MS: classify.Phases{Infer: 30},
		Top: []classify.Prediction{{Label: label, Probability: prob}, {Label: "dog", Probability: 0.1}}, TemperatureC: 61, Throttled: []string{"under-voltage"},
	}
}

func TestTextIsALinePerChange(t *testing.T) {
	var out bytes.Buffer
	p := newPrinter(options{cameraOptions: cameraOptions{minProb: 0.5}}, &out, slog.New(slog.DiscardHandler))
	for i, prob := range []float64{0.2, 0.3, 0.5, 0.41, 0.6, 0.39} { // sure from 0.5 to 0.4
		p.Result(resultOf("cat", prob, i), nil)
	}
	p.Event(stream.Event{Time: time.Date(2026, 1, 2, 3, 4, 9, 0, time.Local), Label: "cat", Kind: stream.End, Prob: 0.39}, nil)
	require.NoError(t, p.Close())
	require.Equal(t, "03:04:00  (not sure)  cat 20 %  dog 10 %  age 45 ms, infer 30 ms, 3 dropped, 61 °C, under-voltage\n"+
		"03:04:02  cat 50 %  dog 10 %  age 45 ms, infer 30 ms, 1.0 fps, 3 dropped, 61 °C, under-voltage\n"+
		"03:04:05  (not sure)  cat 39 %  dog 10 %  age 45 ms, infer 30 ms, 1.0 fps, 3 dropped, 61 °C, under-voltage\n"+
		"03:04:09  end of cat, 39 %\n", out.String())
}

// Of independent classes all that are seen are labels, each held by itself.
func TestTextOfIndependentClasses(t *testing.T) {
	var out bytes.Buffer
	p := newPrinter(options{cameraOptions: cameraOptions{minProb: 0.5}}, &out, slog.New(slog.DiscardHandler))
	for i, probs := range [][2]float64{{0.2, 0.1}, {0.9, 0.1}, {0.9, 0.6}, {0.9, 0.41}, {0.9, 0.39}, {0.3, 0.1}} {
		p.Result(&stream.Result{
			Time: time.Date(2026, 1, 2, 3, 4, i, 0, time.Local), Independent: true,
			Top: []classify.Prediction{{Label: "cat", Probability: probs[0]}, {Label: "dog", Probability: probs[1]}},
		}, nil)
	}
	require.NoError(t, p.Close())
	const rest = "  age 0 ms, infer 0 ms"
	require.Equal(t, "03:04:00  (none)  cat 20 %  dog 10 %"+rest+", 0 dropped\n"+
		"03:04:01  cat 90 %  dog 10 %"+rest+", 1.0 fps, 0 dropped\n"+
		"03:04:02  cat, dog  cat 90 %  dog 60 %"+rest+", 1.0 fps, 0 dropped\n"+
		"03:04:04  cat 90 %  dog 39 %"+rest+", 1.0 fps, 0 dropped\n"+
		"03:04:05  (none)  cat 30 %  dog 10 %"+rest+", 1.0 fps, 0 dropped\n", out.String())
}

func TestTerminalHasOneLineThatIsRewritten(t *testing.T) {
	var out bytes.Buffer
	p := &textPrinter{lines: newLines(&out, slog.New(slog.DiscardHandler)), width: func() int { return 14 }, least: 0.5}
	p.Result(resultOf("cät", 0.9, 0), nil)
	p.Result(resultOf("cät", 0.9, 1), nil)
	require.NoError(t, p.Close())
	require.Equal(t, clearLine+"03:04:00  cät"+clearLine+"03:04:01  cät"+"\n", out.String())
}

func TestTriggeredResultsAreAllPrinted(t *testing.T) {
	var out bytes.Buffer
	p := newPrinter(options{cameraOptions: cameraOptions{pins: pinOptions{trigger: "GPIO17"}}}, &out, slog.New(slog.DiscardHandler))
	for i := range 3 {
		p.Result(resultOf("cat", 0.9, i), nil)
	}
	require.NoError(t, p.Close())
	require.Equal(t, 3, strings.Count(out.String(), "\n"))
}

// stuck is a reader that takes nothing until it is released.
type stuck struct {
	release chan struct{}
	mu      sync.Mutex
	lines   int
}

func (s *stuck) Write(b []byte) (int, error) {
	<-s.release
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines++
	return len(b), nil
}

func TestSlowReaderStopsNobody(t *testing.T) {
	var log bytes.Buffer
	w := &stuck{release: make(chan struct{})}
	l := newLines(w, slog.New(slog.NewTextHandler(&log, nil)))
	for i := range backlog + 100 {
		l.put(fmt.Appendln(nil, i))
	}
	require.ErrorContains(t, l.Close(), "not read in time")
	close(w.release)
	<-l.done
	require.GreaterOrEqual(t, w.lines, backlog)

	w = &stuck{release: make(chan struct{})}
	l = newLines(w, slog.New(slog.NewTextHandler(&log, nil)))
	for range backlog + 100 {
		l.put(nil)
	}
	close(w.release)
	require.Eventually(t, func() bool { return len(l.queue) == 0 }, soon, time.Millisecond)
	l.put(nil)
	require.NoError(t, l.Close())
	require.Contains(t, log.String(), "results lost")
}

func TestWriteErrorsAreToldOnce(t *testing.T) {
	var log bytes.Buffer
	r, w := io.Pipe()
	r.CloseWithError(errors.New("disk full"))
	l := newLines(w, slog.New(slog.NewTextHandler(&log, nil)))
	for range 10 {
		l.put(nil)
	}
	require.NoError(t, l.Close())
	require.Equal(t, 1, strings.Count(log.String(), "disk full"), log.String())
}

// A loop that is still busy when the program ends may call once more.
func TestLineAfterTheEnd(t *testing.T) {
	var out bytes.Buffer
	l := newLines(&out, slog.New(slog.DiscardHandler))
	l.put([]byte("before\n"))
	require.NoError(t, l.Close())
	require.NotPanics(t, func() { l.put([]byte("behind\n")) })
	require.Equal(t, "before\n", out.String())
}
