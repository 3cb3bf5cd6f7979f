//go:build unix

package capture

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"edgeclassify/internal/syncbuffer"

	"github.com/stretchr/testify/require"
)

const cameraList = `Available cameras
-----------------
0 : imx219 [3280x2464 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx219@10)
    Modes: 'SRGGB10_CSI2P' : 640x480 [206.65 fps - (1000, 752)/1280x960 crop]
                             1640x1232 [41.85 fps - (0, 0)/3280x2464 crop]
1 : imx708_wide [4608x2592] (/base/axi/pcie@1000120000/rp1/i2c@88000/imx708@1a)
`

// installProgram puts a shell script into PATH as the vendor's program. It
// finds its arguments in $* and its folder in $DIR.
func installProgram(t *testing.T, name, script string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	text := fmt.Sprintf("#!/bin/sh\nDIR=%s\ncase $1 in --list-cameras) cat $DIR/list >&2; exit;; esac\n%s", dir, script)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "list"), []byte(cameraList), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700))
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	return dir
}

// frames is a script that writes frames of 128x32 as fast as they are read,
// each begun by its number.
const frames = `n=0; while :; do printf %04d $n; head -c 6140 /dev/zero; n=$((n+1)); done`

func openProgram(t *testing.T, o Options) Camera {
	t.Helper()
	c, err := Open(t.Context(), "csi", o)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestProgramGivesFrames(t *testing.T) {
	dir := installProgram(t, "rpicam-vid", `echo "$*" >$DIR/arguments; `+frames)
	c := openProgram(t, Options{Width: 100, Height: 31, FPS: 12.5})
	f := nextWithin(t, c, 10*time.Second)
	require.Equal(t, []any{I420, 128, 32, 128, true, 6144},
		[]any{f.Format, f.Width, f.Height, f.Stride, f.FullRange, len(f.Data)}, "the width needs no padding")
	for range 5 {
		f = nextWithin(t, c, 10*time.Second)
		number, err := strconv.Atoi(string(f.Data[:4]))
		require.NoError(t, err)
		require.Equal(t, f.Sequence, uint64(number), "frames are whole")
		require.WithinDuration(t, time.Now(), f.Time, 10*time.Second)
	}
	s := c.Status()
	require.Equal(t, []any{"csi:0", Streaming, I420, 128, 32, 12.5},
		[]any{s.Device, s.State, s.Format, s.Width, s.Height, s.FPS})
	arguments, err := os.ReadFile(filepath.Join(dir, "arguments"))
	require.NoError(t, err)
	require.Equal(t, "-n -t 0 -v 0 --camera 0 --codec yuv420 --width 128 --height 32 --framerate 12.5 --denoise cdn_off --flush -o -\n",
		string(arguments))
}

// TestProgramIsKilled closes the camera and expects the end of all that the
// program has started.
func TestProgramIsKilled(t *testing.T) {
	dir := installProgram(t, "libcamera-vid", `sleep 1000 & echo $! >$DIR/child; echo $$ >$DIR/parent; `+frames)
	c := openProgram(t, Options{Width: 128, Height: 32})
	nextWithin(t, c, 10*time.Second)
	began := time.Now()
	require.NoError(t, c.Close())
	require.Less(t, time.Since(began), 10*time.Second)
	for _, name := range []string{"parent", "child"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		id, err := strconv.Atoi(strings.TrimSpace(string(text)))
		require.NoError(t, err)
		require.Eventually(t, func() bool { return ended(id) }, 20*time.Second, 5*time.Millisecond, name)
	}
}

// ended reports whether a process has ended; one that nobody has waited for
// counts.
func ended(id int) bool {
	if syscall.Kill(id, 0) != nil {
		return true
	}
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
	return err == nil && strings.Contains(string(state), ") Z ")
}

func TestProgramIsStartedAgain(t *testing.T) {
	var text syncbuffer.Buffer
	dir := installProgram(t, "rpicam-vid", `[ -e $DIR/once ] || { touch $DIR/once; head -c 7000 /dev/zero; until [ -e $DIR/taken ]; do sleep 0.01; done; echo "ERROR: camera timed out" >&2; exit 3; }; `+frames)
	c := openProgram(t, Options{Width: 128, Height: 32, Log: slog.New(slog.NewTextHandler(&text, nil))})
	require.Zero(t, nextWithin(t, c, 10*time.Second).Data[0])
	require.NoError(t, os.WriteFile(filepath.Join(dir, "taken"), nil, 0o600))
	f := nextWithin(t, c, 10*time.Second)
	require.Equal(t, "000", string(f.Data[:3]), "half a frame of the former program is not taken")
	require.GreaterOrEqual(t, f.Sequence, uint64(1))
	require.Equal(t, uint64(1), c.Status().Restarts)
	require.NoError(t, c.Close())
	require.Contains(t, text.String(), `line="ERROR: camera timed out"`)
	require.Contains(t, text.String(), "exit status 3: ERROR: camera timed out")
}

// TestBusyCamera has a program that says what holds the camera before its last
// line.
func TestBusyCamera(t *testing.T) {
	installProgram(t, "rpicam-vid", `cat >&2 <<'END'
[0:12:34.567890123] [1234]  INFO Camera camera_manager.cpp:326 libcamera v0.5.2
[0:12:34.668000000] [1237]  WARN RPiSdn sdn.cpp:40 Using legacy SDN tuning
[0:12:34.700000000] [1234] ERROR V4L2 v4l2_device.cpp:390 Unable to set controls: Device or resource busy
[0:12:34.768000000] [1234]  INFO Camera camera.cpp:1055 Pipeline handler in use by another process
ERROR: *** failed to acquire camera /base/soc/i2c0mux/i2c@1/imx219@10 ***
END
exit 255`)
	var text syncbuffer.Buffer
	_, err := Open(t.Context(), "csi", Options{Log: slog.New(slog.NewTextHandler(&text, nil))})
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.ErrorContains(t, err, "exit status 255: Pipeline handler in use by another process: stop the other program")
	for level, line := range map[string]string{"INFO": "libcamera v0.5.2", "WARN": "legacy SDN", "ERROR": "to acquire camera"} {
		require.Regexp(t, "level="+level+".*"+line, text.String())
	}
}

func TestNoProgram(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Open(t.Context(), "csi", Options{})
	require.ErrorContains(t, err, "neither rpicam-vid nor libcamera-vid is installed")

	dir := installProgram(t, "rpicam-vid", frames)
	_, err = Open(t.Context(), "csi:7", Options{})
	require.ErrorContains(t, err, "no camera csi:7: there is csi:0 (imx219) and csi:1 (imx708_wide)")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "list"), []byte("No cameras available!\n"), 0o600))
	_, err = Open(t.Context(), "csi", Options{})
	require.ErrorContains(t, err, "finds no camera: check the ribbon cable")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "rpicam-vid"), []byte("#!/bin/sh\necho 'no such thing' >&2; exit 1"), 0o700))
	_, err = Open(t.Context(), "csi", Options{})
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.ErrorContains(t, err, "no such thing")
}

// TestListHangs ends the wait for a program that does not answer, and what it
// started.
func TestListHangs(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "rpicam-vid")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\nsleep 1000 & echo $! >"+dir+"/child; wait"), 0o700))
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(3*time.Second)) // in which it starts one
	defer cancel()
	_, err := listCSI(ctx, program)
	require.ErrorContains(t, err, "--list-cameras hangs: no answer")
	require.NotContains(t, err.Error(), "killed")
	text, err := os.ReadFile(filepath.Join(dir, "child"))
	require.NoError(t, err)
	id, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return ended(id) }, 20*time.Second, 5*time.Millisecond)
}

func TestRpicamOptions(t *testing.T) {
	dir := installProgram(t, "rpicam-vid", `for a; do echo "[$a]"; done >$DIR/arguments; `+frames)
	c := openProgram(t, Options{Width: 128, Height: 32, Rpicam: `--autofocus-mode manual --lens-position 2.5 --roi=0.25,0.25,0.5,0.5 --ev -0.5 --tuning-file "/a b.json" --denoise off`})
	nextWithin(t, c, 10*time.Second)
	arguments, err := os.ReadFile(filepath.Join(dir, "arguments"))
	require.NoError(t, err)
	text := strings.ReplaceAll(string(arguments), "\n", "")
	require.Contains(t, text, "[--autofocus-mode][manual][--lens-position][2.5][--roi=0.25,0.25,0.5,0.5][--ev][-0.5][--tuning-file][/a b.json][--denoise][off][--flush][-o][-]")
	require.NotContains(t, text, "cdn_off")

	for options, want := range map[string]string{
		"-o file": "-o would break the pipe", "-ofile": "-ofile would", "--output=x": "--output=x would", "--outp x": "--outp would",
		"--codec h264": "--codec would", "-t 5": "-t would", "-n": "-n would", "--width 5": "--width: use -size",
		"--framerate 5": "use -fps", "--camera 1": "use -camera csi:N", "--config f": "--config would", "--metadata -": "--metadata would",
		"2.5": "want an option", "--gain '2": "is not closed",
	} {
		_, err := Open(t.Context(), "csi", Options{Rpicam: options})
		require.ErrorContains(t, err, want, options)
	}
	_, err = Open(t.Context(), "test", Options{Rpicam: "--gain 2"})
	require.ErrorContains(t, err, "they are of use with csi")
}

func TestParseCSI(t *testing.T) {
	require.Equal(t, []csiCamera{
		{0, "imx219", "/base/soc/i2c0mux/i2c@1/imx219@10", []Size{
			{Width: 640, Height: 480, FPS: []float64{206.65}}, {Width: 1640, Height: 1232, FPS: []float64{41.85}}}},
		{1, "imx708_wide", "/base/axi/pcie@1000120000/rp1/i2c@88000/imx708@1a", nil},
	}, parseCSI(cameraList))
	require.Empty(t, parseCSI("No cameras available!\n"))
}

func TestListCSI(t *testing.T) {
	installProgram(t, "rpicam-vid", frames)
	list, err := List()
	require.NoError(t, err)
	var cameras []string
	for _, d := range list {
		if d.Driver == "libcamera" {
			cameras = append(cameras, d.Camera+" "+d.Name)
		}
	}
	require.Equal(t, []string{"csi:0 imx219", "csi:1 imx708_wide"}, cameras)
}
