package events

import (
	"bytes"
	"encoding/json"
	"image/jpeg"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/capture"
	"edgeclassify/classify"
	"edgeclassify/internal/syncbuffer"
	"edgeclassify/internal/testneed"
	"edgeclassify/stream"
)

// logs keeps lines for tests to read.
type logs struct{ syncbuffer.Buffer }

const soon = 20 * time.Second // on a busy machine

func (l *logs) wait(t *testing.T, text string, times int) {
	require.Eventually(t, func() bool { return strings.Count(l.String(), text) == times }, soon, time.Millisecond, "%d times: %s", times, text)
}

// open is a sink that has been told of a model, a camera and a result.
func open(t *testing.T, o Options) (*Events, *logs) {
	log := &logs{}
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	e, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })
	e.Model(stream.Model{Name: "net", SHA256: "beef"})
	e.Status(capture.Status{Device: "test", State: capture.Streaming})
	e.Result(&stream.Result{Sequence: 7, AgeMS: 30, Top: []classify.Prediction{{Label: "cat", Probability: 0.9}}}, nil)
	return e, log
}

// end closes a sink that has done all that it was told, which takes longer than Close
// waits on a busy machine.
func end(t *testing.T, e *Events) {
	e.stop()
	for _, ended := range e.ended {
		select {
		case <-ended:
		case <-time.After(soon):
			require.FailNow(t, "it does not end")
		}
	}
	require.NoError(t, e.Close())
}

func frame() *capture.Frame {
	const width, height = 64, 48
	return &capture.Frame{Format: capture.YUYV, Width: width, Height: height, Stride: 2 * width, Data: bytes.Repeat([]byte{128}, 2*width*height)}
}

// event is one in that second.
func event(second int, label, kind string) stream.Event {
	return stream.Event{Time: time.Date(2026, 1, 2, 3, 4, second, 5e6, time.UTC), Label: label, Kind: kind, Prob: 0.9}
}

func names(t *testing.T, dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestEventsAreKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	e, log := open(t, Options{Dir: dir, MaxEvents: 10, MaxBytes: 1e6})
	f := frame()
	e.Event(event(1, "Egyptian cat/../\x1b[2J", stream.Start), f)
	clear(f.Data) // it is the camera's again
	e.Event(event(2, "ägyptische Katze", stream.End), nil)
	end(t, e)
	require.Empty(t, log.String())
	require.Equal(t, []string{
		"event-20260102T030401.005Z-start-Egyptian_cat______2J.jpg",
		"event-20260102T030401.005Z-start-Egyptian_cat______2J.json",
		"event-20260102T030402.005Z-end-ägyptische_Katze.json",
	}, names(t, dir))

	picture, err := os.Open(filepath.Join(dir, names(t, dir)[0]))
	require.NoError(t, err)
	defer picture.Close()
	img, err := jpeg.Decode(picture)
	require.NoError(t, err)
	require.Equal(t, 64, img.Bounds().Dx())
	r, _, _, _ := img.At(5, 5).RGBA()
	require.NotZero(t, r, "the frame as it was")

	var got Record
	read := func(name string) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		got = Record{}
		require.NoError(t, json.Unmarshal(text, &got))
	}
	read(names(t, dir)[1])
	require.Equal(t, Record{
		Event: event(1, "Egyptian cat/../\x1b[2J", stream.Start), Camera: "test", Top: []classify.Prediction{{Label: "cat", Probability: 0.9}},
		Sequence: 7, AgeMS: 30, Model: "beef", ModelName: "net", Picture: names(t, dir)[0],
	}, got)
	read(names(t, dir)[2])
	require.Equal(t, Record{Event: event(2, "ägyptische Katze", stream.End), Camera: "test", Model: "beef", ModelName: "net"}, got, "nothing was seen")
}

func TestFileNamesAreShort(t *testing.T) {
	name := fileName(&Record{Event: event(1, strings.Repeat("ä", 1000), stream.Start)})
	require.Less(t, len(name), 120)
	require.True(t, strings.HasSuffix(name, "ä"))
	require.True(t, ours.MatchString(name+".jpg"))
}

// The oldest go first, and what is not an event stays.
func TestFolderIsBounded(t *testing.T) {
	dir := t.TempDir()
	others := []string{
		"event-20200101T000000.000Z-start-cat.jpeg", "event-20200101T000000.000Z-start-cat.x.jpg", "event-20200101-start-cat.jpg",
		"aevent-20200101T000000.000Z-start-cat.jpg", ".event-20200101T000000.000Z-start-cat.jpg.0123abcd.tmp", "photo.jpg",
	}
	for _, name := range others {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600))
	}
	folder := "event-20200101T000000.000Z-start-folder.jpg"
	require.NoError(t, os.Mkdir(filepath.Join(dir, folder), 0o700))
	abandoned := filepath.Join(dir, ".event-20200101T000000.000Z-start-dog.jpg.0123abcd.tmp")
	require.NoError(t, os.WriteFile(abandoned, []byte("half"), 0o600))
	require.NoError(t, os.Chtimes(abandoned, time.Time{}, time.Now().Add(-time.Hour)))

	e, log := open(t, Options{Dir: dir, MaxEvents: 3, MaxBytes: 1e6})
	for second := range 7 {
		e.Event(event(second, "cat", stream.Start), frame())
	}
	end(t, e)
	require.Empty(t, log.String())
	a := album{dir: dir}
	list, err := a.list()
	require.NoError(t, err)
	require.Len(t, list, 3)
	size := int64(0)
	for i, k := range list {
		require.Equal(t, fileName(&Record{Event: event(4+i, "cat", stream.Start)}), k.name)
		require.Len(t, k.files, 2)
		size = max(size, k.bytes)
	}
	require.Len(t, names(t, dir), len(others)+1+6)
	require.Subset(t, names(t, dir), append(others, folder))

	e, _ = open(t, Options{Dir: dir, MaxEvents: 3, MaxBytes: 2*size + size/2}) // another run
	e.Event(event(8, "cat", stream.Start), frame())
	end(t, e)
	list, err = a.list()
	require.NoError(t, err)
	require.Len(t, list, 2, "by bytes")
	require.Equal(t, fileName(&Record{Event: event(8, "cat", stream.Start)}), list[1].name)

	e, log = open(t, Options{Dir: dir, MaxEvents: 3, MaxBytes: size / 2})
	e.Event(event(9, "cat", stream.Start), frame())
	end(t, e)
	require.Contains(t, log.String(), "may be kept")
	list, err = a.list()
	require.NoError(t, err)
	require.Len(t, list, 2, "nothing goes for one that does not fit anyway")
}

// A disk that goes and comes is told of once each.
func TestFolderGoesAndComes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	e, log := open(t, Options{Dir: dir, MaxEvents: 10, MaxBytes: 1e6})
	require.NoError(t, os.Remove(dir))
	for second := range 5 {
		e.Event(event(second, "cat", stream.Start), frame())
	}
	log.wait(t, "event folder fails", 1)
	require.Eventually(t, func() bool { return len(e.keep.waiting) == 0 }, soon, time.Millisecond)
	require.NoError(t, os.Mkdir(dir, 0o700))
	e.Event(event(8, "cat", stream.Start), frame())
	e.Event(event(9, "cat", stream.Start), frame())
	log.wait(t, "event folder works again", 1)
	end(t, e)
	require.Contains(t, names(t, dir), fileName(&Record{Event: event(9, "cat", stream.Start)})+".jpg")
	require.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
}

func shell(t *testing.T, script string) []string {
	return []string{testneed.Program(t, "sh", "a POSIX shell"), "-c", script}
}

func TestProgramGetsEvents(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(t.TempDir(), "list")
	o := Options{Dir: dir, MaxEvents: 10, MaxBytes: 1e6, Timeout: soon, Command: append(shell(t, `cat >> "$0"; echo seen; exit 3`), list)}
	e, log := open(t, o)
	e.Event(event(1, "cat", stream.Start), frame())
	e.Event(event(2, "cat", stream.End), nil)
	log.wait(t, "line=seen", 2)
	log.wait(t, "exit status 3", 1)
	end(t, e)
	text, err := os.ReadFile(list)
	require.NoError(t, err)
	var first, second Record
	lines := json.NewDecoder(bytes.NewReader(text))
	require.NoError(t, lines.Decode(&first))
	require.NoError(t, lines.Decode(&second))
	require.Equal(t, "start", first.Kind)
	require.FileExists(t, first.Picture)
	require.True(t, filepath.IsAbs(first.Picture))
	require.Equal(t, "end", second.Kind)
	require.Empty(t, second.Picture)
}

// A program that takes long is killed with what it started, and does not hold up
// the stream.
func TestProgramIsBounded(t *testing.T) {
	const hang = `echo begun; sleep 1000 & sleep 1000`
	e, log := open(t, Options{Timeout: 50 * time.Millisecond, Command: shell(t, hang)})
	e.Event(event(1, "cat", stream.Start), nil)
	log.wait(t, "killed after 50ms", 1)
	end(t, e)

	e, log = open(t, Options{Timeout: time.Hour, Command: shell(t, hang)})
	e.Event(event(0, "cat", stream.Start), nil)
	log.wait(t, "line=begun", 1)
	for second := range waitingRuns + 10 {
		e.Event(event(second%60, "cat", stream.Start), nil)
	}
	require.Equal(t, 1, strings.Count(log.String(), "too many events wait"))
	end(t, e) // although it hangs

	e, log = open(t, Options{Timeout: soon, Command: shell(t, `sleep 1000 & echo begun`)})
	e.Event(event(1, "cat", stream.Start), nil)
	log.wait(t, "left a program", 1)
	end(t, e)

	e, log = open(t, Options{Timeout: soon, Command: shell(t, `i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done; head -c 5000 /dev/zero | tr '\0' x`)})
	e.Event(event(1, "cat", stream.Start), nil)
	log.wait(t, "says more", 1)
	end(t, e)
	require.Equal(t, maxLines+1, strings.Count(log.String(), "\n"))
}

func TestErrors(t *testing.T) {
	for want, o := range map[string]Options{
		"neither":         {},
		"at least 1":      {Dir: t.TempDir(), MaxBytes: 1},
		"events_test.go":  {Dir: "events_test.go/x", MaxEvents: 1, MaxBytes: 1},
		"no-such-program": {Command: []string{"no-such-program"}, Timeout: 1},
		"run for 0s":      {Command: shell(t, "")},
	} {
		_, err := Open(o)
		require.ErrorContains(t, err, want)
	}
}

func TestResultsAllocateNothing(t *testing.T) {
	e, _ := open(t, Options{Dir: t.TempDir(), MaxEvents: 1, MaxBytes: 1})
	r := &stream.Result{Top: make([]classify.Prediction, 5)}
	e.Result(r, nil)
	require.Zero(t, testing.AllocsPerRun(100, func() { e.Result(r, nil) }))
}
