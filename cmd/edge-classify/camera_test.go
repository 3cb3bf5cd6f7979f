package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/classify"
	"edgeclassify/events"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/nettest"
	"edgeclassify/internal/testneed"
	"edgeclassify/preprocess"
	"edgeclassify/stream"
)

const soon = 20 * time.Second // for what should come at once, on a busy machine

// camera is the program running on a camera.
type camera struct {
	t     *testing.T
	lines *bufio.Scanner
	errs  *bytes.Buffer
	end   func() int // stops the program and returns its exit code
}

// watch runs the program until the test ends.
func watch(t *testing.T, args ...string) *camera {
	out, in := io.Pipe()
	ctx, stop := context.WithTimeout(context.Background(), 3*soon) // for all that the test does
	c := &camera{t: t, lines: bufio.NewScanner(out), errs: &bytes.Buffer{}}
	code := make(chan int, 1)
	go func() {
		code <- cli.Run(ctx, "edge-classify", args, cli.Streams{In: &bytes.Buffer{}, Out: in, Err: c.errs}, run)
		in.Close()
	}()
	c.end = sync.OnceValue(func() int {
		stop()
		for c.lines.Scan() { // the program waits for its reader
		}
		return <-code
	})
	t.Cleanup(func() { c.end() })
	return c
}

// line is the next line of standard output.
func (c *camera) line() string {
	if !c.lines.Scan() {
		c.end()
		require.Fail(c.t, "the program has ended", c.errs.String())
	}
	return c.lines.Text()
}

// result skips events.
func (c *camera) result() (r stream.Result) {
	for {
		line := c.line()
		require.NoError(c.t, json.Unmarshal([]byte(line), &r), line)
		if len(r.Top) > 0 {
			return r
		}
	}
}

// event skips results.
func (c *camera) event() (e stream.Event) {
	for {
		line := c.line()
		require.NoError(c.t, json.Unmarshal([]byte(line), &e), line)
		if e.Kind != "" {
			return e
		}
	}
}

func TestCameraResultsAsJSON(t *testing.T) {
	c := watch(t, "-model", smallModel(t), "-camera", "test", "-fps", "100", "-size", "320x240", "-json", "-top", "2")
	last := c.result()
	for range 20 {
		r := c.result()
		require.Greater(t, r.Sequence, last.Sequence)
		require.True(t, r.Time.After(last.Time))
		require.WithinDuration(t, time.Now(), r.Time, soon)
		require.Positive(t, r.AgeMS)
		require.GreaterOrEqual(t, r.AgeMS, r.MS.Preprocess+r.MS.Infer)
		require.Positive(t, r.MS.Preprocess)
		require.Len(t, r.Top, 2)
		require.GreaterOrEqual(t, r.Top[0].Probability, r.Top[1].Probability)
		require.NotEmpty(t, r.Top[0].ID)
		last = r
	}
	require.Zero(t, c.end())
	require.Contains(t, c.errs.String(), "camera is streaming")
	require.Contains(t, c.errs.String(), "msg=stopped")
}

// photoDir is a folder with some of the photographs.
func photoDir(t *testing.T, names ...string) string {
	dir := t.TempDir()
	for _, name := range names {
		copyPhoto(t, dir, name)
	}
	return dir
}

func copyPhoto(t *testing.T, dir, name string) {
	data, err := os.ReadFile(filepath.Join(photos, name))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
}

// A photograph that the camera sees gives what its file gives.
func TestCameraAndFileAgree(t *testing.T) {
	model, dir := write(t, "colours.q8", nettest.Colours()), photoDir(t, "cat.jpg")
	code, out, errs := classifyHere(t, nil, "-model", model, "-json", dir)
	require.Zero(t, code, errs)
	want := parseResults(t, out)["cat.jpg"].Top
	for _, smooth := range []string{"0", "1h"} {
		c := watch(t, "-model", model, "-camera", "file:"+dir, "-fps", "50", "-json", "-smooth", smooth)
		for range 3 {
			got := c.result().Top
			require.Len(t, got, len(want))
			for i := range want {
				require.Equal(t, want[i].Class, got[i].Class)
				require.Equal(t, want[i].Label, got[i].Label)
				require.InDelta(t, want[i].Probability, got[i].Probability, 1e-9)
			}
		}
		require.Zero(t, c.end())
	}
}

func TestWatchEvents(t *testing.T) {
	model := write(t, "colours.q8", nettest.Colours())
	code, out, errs := classifyHere(t, nil, "-model", model, "-json", photos)
	require.Zero(t, code, errs)
	tops := parseResults(t, out)
	require.Equal(t, "red", tops["espresso.jpg"].Top[0].Label)
	require.Equal(t, "blue", tops["rocket.jpg"].Top[0].Label)

	dir := photoDir(t, "espresso.jpg")
	c := watch(t, "-model", model, "-camera", "file:"+dir, "-fps", "50", "-json", "-watch", "Red")
	e := c.event()
	require.Equal(t, stream.Start, e.Kind)
	require.Equal(t, "red", e.Label)
	require.InDelta(t, tops["espresso.jpg"].Top[0].Probability, e.Prob, 1e-9)
	copyPhoto(t, dir, "rocket.jpg")
	require.NoError(t, os.Remove(filepath.Join(dir, "espresso.jpg")))
	require.Equal(t, stream.End, c.event().Kind)
	require.Zero(t, c.end())
}

// An event's picture is kept, and a program gets it.
func TestEventsAreKept(t *testing.T) {
	testneed.Program(t, "sh", "a POSIX shell")
	model, dir := write(t, "colours.q8", nettest.Colours()), t.TempDir()
	c := watch(t, "-model", model, "-camera", "file:"+photoDir(t, "espresso.jpg"), "-fps", "50", "-json", "-watch", "red",
		"-save", filepath.Join(dir, "kept"), "-exec", "sh -c 'cat > "+dir+"/seen.part; mv "+dir+"/seen.part "+dir+"/seen'")
	e := c.event()
	var text []byte
	for text == nil {
		c.result()
		text, _ = os.ReadFile(filepath.Join(dir, "seen"))
	}
	require.Zero(t, c.end())
	var seen, kept events.Record
	require.NoError(t, json.Unmarshal(text, &seen))
	require.Equal(t, e, seen.Event)
	picture, err := os.ReadFile(seen.Picture)
	require.NoError(t, err)
	want, err := os.ReadFile(filepath.Join(photos, "espresso.jpg"))
	require.NoError(t, err)
	require.Equal(t, want, picture)
	text, err = os.ReadFile(strings.TrimSuffix(seen.Picture, ".jpg") + ".json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &kept))
	require.Equal(t, filepath.Base(seen.Picture), kept.Picture)
	kept.Picture = seen.Picture
	require.Equal(t, seen, kept)
}

func TestConfigurationFile(t *testing.T) {
	config := filepath.Join(t.TempDir(), "edge-classify.conf")
	require.NoError(t, os.WriteFile(config, []byte("# a test\nmodel = "+write(t, "colours.q8", nettest.Colours())+"\ncamera = test\nfps = 100\njson = true\ntop = 1\nwatch = blue, n00000001\n"), 0o600))
	c := watch(t, "-config", config)
	require.Len(t, c.result().Top, 1)
	require.Zero(t, c.end())
	c = watch(t, "-config", config, "-top", "2")
	require.Len(t, c.result().Top, 2, "the command line overrides the file")
	require.Zero(t, c.end())
}

func TestBadInputOfCamera(t *testing.T) {
	dir, model := t.TempDir(), write(t, "colours.q8", nettest.Colours())
	config := filepath.Join(dir, "bad.conf")
	require.NoError(t, os.WriteFile(config, []byte("camra = test\n"), 0o600))
	empty := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(empty, []byte("\n"), 0o600))
	with := func(args ...string) []string { return append([]string{"-model", model, "-camera", "test"}, args...) }
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{with("-size", "640"), cli.ExitUsage, "want WIDTHxHEIGHT"},
		{with("-size", "0x480"), cli.ExitUsage, "want WIDTHxHEIGHT"},
		{with("-fps", "-1"), cli.ExitUsage, "-fps -1: want 0 to 1000"},
		{with("-fps", "NaN"), cli.ExitUsage, "-fps NaN"},
		{with("-every", "-1s"), cli.ExitUsage, "-every -1s"},
		{with("-every", "5"), cli.ExitUsage, "-every"},
		{with("-smooth", "0.5"), cli.ExitUsage, `invalid value "0.5" for flag -smooth: want a time such as 500ms`},
		{with("-hold", "-1s"), cli.ExitUsage, "-hold -1s: want 0 or more"},
		{with("-min-prob", "50"), cli.ExitUsage, "-min-prob 50: want 0 to 1"},
		{with("-top", "0"), cli.ExitUsage, "-top 0"},
		{with("-watch", ","), cli.ExitUsage, "the list is empty"},
		{with("-watch", "n00000009999"), cli.ExitUsage, `-watch: no class "n00000009999"`},
		{with("-watch", "reed"), cli.ExitUsage, "did you mean red, green?"},
		{with("-token", "secretsecret"), cli.ExitUsage, "with -http only"},
		{with("-http", "0", "-token", "secretsecret", "-token-file", "x"), cli.ExitUsage, "exclude each other"},
		{with("-http", "0", "-token", "short"), cli.ExitFailure, "token"},
		{with("-http", "0", "-token-file", empty), cli.ExitFailure, "is empty"},
		{with("-http", "nowhere"), cli.ExitFailure, "nowhere"},
		{with("-mqtt-ca", "x"), cli.ExitUsage, "with -mqtt only"},
		{with("-mqtt-update"), cli.ExitUsage, "with -mqtt only"},
		{with("-mqtt", "http://broker"), cli.ExitFailure, "unknown scheme: want mqtt://"},
		{with("-mqtt", "mqtt://broker", "-mqtt-discovery", "a/#"), cli.ExitFailure, `discovery prefix "a/#"`},
		{with("-led", "17=reed"), cli.ExitUsage, "did you mean red, green?"},
		{with("-save", dir), cli.ExitUsage, "with -watch only"},
		{with("-save-max", "0"), cli.ExitUsage, "-save-max 0: want at least 1"},
		{with("-save-bytes", "lots"), cli.ExitUsage, "want a size such as 256MB"},
		{with("-watch", "red", "-save", filepath.Join(model, "x")), cli.ExitFailure, "colours.q8"},
		{with("-watch", "red", "-exec", "no-such-program"), cli.ExitUsage, "no-such-program"},
		{with("-watch", "red", "-exec", "sh '"), cli.ExitUsage, "is not closed"},
		{with("-exec-timeout", "0"), cli.ExitUsage, "-exec-timeout 0s: want more than 0"},
		{with("-led", "x"), cli.ExitFailure, "want PIN=LABEL"},
		{with("-display", "crt"), cli.ExitFailure, `display "crt"`},
		{with("cat.jpg"), cli.ExitUsage, "exclude each other"},
		{[]string{"-model", model, "-every", "1s", "-http", "1", "cat.jpg"}, cli.ExitUsage, "no camera given for -every, -http"},
		{[]string{"-model", model, "-camera", "webcam"}, cli.ExitUsage, `unknown camera "webcam"`},
		{[]string{"-model", model, "-camera", "file:" + filepath.Join(dir, "none")}, cli.ExitFailure, "none"},
		{[]string{"-model", model, "-config", config}, cli.ExitUsage, `bad.conf:1: unknown key "camra", did you mean "camera"?`},
		{[]string{"-config", config + ".none"}, cli.ExitUsage, "bad.conf.none"},
		{[]string{"-camera", "test"}, cli.ExitUsage, "no model given"},
		{[]string{"cameras", "all"}, cli.ExitUsage, "no arguments"},
	} {
		code, out, errs := classifyHere(t, nil, c.args...)
		require.Equal(t, c.code, code, "%v: %s", c.args, errs)
		require.Contains(t, errs, c.want, "%v", c.args)
		require.Empty(t, out, "%v", c.args)
	}
}

// The real program: signals, exit code, page and log.
func TestProgramStopsWhenAsked(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGTERM")
	}
	program := buildProgram(t)
	model := smallModel(t)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd := exec.Command(program, "-model", model, "-camera", "test", "-json", "-http", "localhost:0")
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		errs, err := cmd.StderrPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { cmd.Process.Kill() })

		address := make(chan string, 1)
		go func() {
			found := regexp.MustCompile(`address=(http://\S+)`)
			for lines := bufio.NewScanner(errs); lines.Scan(); {
				if m := found.FindStringSubmatch(lines.Text()); m != nil {
					address <- m[1]
				}
			}
		}()
		lines := bufio.NewScanner(out)
		require.True(t, lines.Scan())
		require.True(t, json.Valid(lines.Bytes()), lines.Text())
		page := <-address
		response, err := http.Get(page + "/api/latest")
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.True(t, json.Valid(body), string(body))

		viewer, err := http.Get(page + "/api/events") // does not keep it from stopping
		require.NoError(t, err)
		defer viewer.Body.Close()
		start := time.Now()
		require.NoError(t, cmd.Process.Signal(signal))
		for lines.Scan() {
			require.True(t, json.Valid(lines.Bytes()), lines.Text())
		}
		require.NoError(t, cmd.Wait(), "exit code 0")
		require.Less(t, time.Since(start), soon/4, "the viewer's patience would take half of it")
	}
}

// A frame that takes seconds does not keep the program from stopping.
func TestStopDoesNotWaitForASlowFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		ended <- io.ErrUnexpectedEOF
		busy, err := await(ctx, ended)
		require.False(t, busy)
		require.Equal(t, io.ErrUnexpectedEOF, err)
		stop()
		start := time.Now()
		busy, err = await(ctx, ended)
		require.True(t, busy)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, halt, time.Since(start))
	})
}

func TestCamerasAsJSON(t *testing.T) {
	code, out, errs := classifyHere(t, nil, "cameras", "-json")
	require.Zero(t, code, errs)
	var list struct{ Cameras []map[string]any }
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	require.NotNil(t, list.Cameras)
	code, out, _ = classifyHere(t, nil, "cameras")
	require.Zero(t, code)
	require.NotEmpty(t, out)
}

// One frame through the real classifier costs no allocation.
func TestRawFramesDoNotAllocate(t *testing.T) {
	m, err := classify.Open(smallModel(t), classify.Options{Threads: 2})
	require.NoError(t, err)
	defer m.Close()
	c, probs := stream.NewClassifier(m, preprocess.ROI{}), make([]float64, len(m.Classes()))
	for _, f := range rawFrames() {
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if _, err := c.Classify(f, probs); err != nil {
				t.Fatal(err)
			}
		}), f.Format)
		sum := 0.0
		for _, p := range probs {
			sum += p
		}
		require.InDelta(t, 1, sum, 1e-9)
	}
}
