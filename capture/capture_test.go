package capture

import (
	"context"
	"errors"
	"image/jpeg"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOpenRefuses(t *testing.T) {
	empty := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(empty, "a.png"), nil, 0o600))
	for spec, want := range map[string]string{
		"":                 `unknown camera ""`,
		"webcam":           "want auto, usb[:/dev/videoN], csi[:N], ",
		"usb:":             "unknown camera",
		"usb:/dev/none":    "/dev/none",
		"usb:200":          "open /dev/video200",
		"200":              "open /dev/video200",
		"/dev/video200":    "open /dev/video200",
		"/dev/none":        "open /dev/none",
		"rstp://u:pw@cam/": `unknown camera "rstp:"`,
		"http://":          "its URL cannot be read",
		"rtsp://u:p#w@cam": "# as %23",
		"csi:":             `unknown camera "csi:"`,
		"csi:front":        "csi:front",
		"csi:-1":           "csi:-1",
		"file:":            "unknown camera",
		"file:/none":       "/none",
		"file:" + empty:    "no JPEG files",
		"test:1":           "unknown camera",
		"auto:/dev/video0": "unknown camera",
	} {
		_, err := Open(t.Context(), spec, Options{})
		require.ErrorContains(t, err, "capture: ", spec)
		require.ErrorContains(t, err, want, spec)
	}
	for want, o := range map[string]Options{
		"size 640x0":                   {Width: 640},
		"size 8x8":                     {Width: 8, Height: 8},
		"size 20000x16":                {Width: 20000, Height: 16},
		"-1 frames":                    {FPS: -1},
		"2000 frames":                  {FPS: 2000},
		"unknown format \"RGB\"":       {Format: "RGB"},
		"test has a format of its own": {Format: MJPEG},
	} {
		_, err := Open(t.Context(), "test", o)
		require.ErrorContains(t, err, want)
	}
}

func TestSynthetic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := Open(t.Context(), "test", Options{Width: 65, Height: 48, FPS: 10})
		require.NoError(t, err)
		defer c.Close()
		began := time.Now()
		last := ""
		for i := range 20 {
			f, err := c.Next(t.Context())
			require.NoError(t, err)
			require.Equal(t, uint64(i), f.Sequence)
			require.Equal(t, time.Duration(i)*100*time.Millisecond, f.Time.Sub(began))
			require.Len(t, rgb(t, f), 3*224*224)
			require.NotEqual(t, last, string(f.Data), "it moves")
			last = string(f.Data)
		}
		time.Sleep(1050 * time.Millisecond) // a slow caller
		f, err := c.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(29), f.Sequence)
		require.Equal(t, 50*time.Millisecond, time.Since(f.Time))
		s := c.Status()
		require.Equal(t, Status{Device: "test", State: Streaming, Since: began, Due: s.Due, Format: YUYV,
			Width: 65, Height: 48, FPS: 10, Frames: 30}, s)
	})
}

func TestSyntheticDoesNotAllocate(t *testing.T) {
	open, err := openSynthetic("", options(t, Options{Width: 64, Height: 48, FPS: 1000}))
	require.NoError(t, err)
	s, _, err := open(t.Context())
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(20, func() {
		a, err := s.next()
		if err != nil {
			t.Fatal(err)
		}
		s.release(a.newest)
	}))
}

func writePhotograph(t testing.TB, path string, width int) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, jpeg.Encode(f, scene(width, 48), nil))
	require.NoError(t, f.Close())
}

func TestPhotographs(t *testing.T) {
	dir := t.TempDir()
	writePhotograph(t, filepath.Join(dir, "a.jpg"), 64)
	writePhotograph(t, filepath.Join(dir, "c.JPEG"), 80)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.jpg"), []byte("no photograph"), 0o600))
	synctest.Test(t, func(t *testing.T) {
		c, err := Open(t.Context(), "file:"+dir, Options{})
		require.NoError(t, err)
		defer c.Close()
		var widths []int
		next := func() {
			f, err := c.Next(t.Context())
			require.NoError(t, err)
			require.Equal(t, MJPEG, f.Format)
			require.Len(t, rgb(t, f), 3*224*224)
			widths = append(widths, f.Width)
		}
		began := time.Now()
		for range 3 {
			next()
		}
		require.Equal(t, 3*time.Second, time.Since(began), "one a second, the damaged one as well")
		writePhotograph(t, filepath.Join(dir, "d.jpg"), 96)
		for range 4 {
			next()
		}
		require.Equal(t, []int{64, 80, 64, 80, 64, 80, 96}, widths, "the next round has what was added")
		require.Equal(t, uint64(3), c.Status().Corrupt)

		require.NoError(t, os.RemoveAll(dir))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, Missing, c.Status().State)
		require.Contains(t, c.Status().Error, syscall.ENOENT.Error())
	})
}

func TestAuto(t *testing.T) {
	var usbErr, csiErr error
	attempt := func(device string, err *error) opener {
		return func(context.Context) (session, Status, error) {
			if *err != nil {
				return nil, Status{}, *err
			}
			return stuck{}, Status{Device: device}, nil
		}
	}
	auto := func() opener { return firstOf(attempt("usb", &usbErr), attempt("csi", &csiErr)) }

	open := auto()
	_, status, err := open(t.Context())
	require.NoError(t, err)
	require.Equal(t, "usb", status.Device)
	usbErr = fs.ErrNotExist
	_, _, err = open(t.Context())
	require.ErrorIs(t, err, fs.ErrNotExist, "it stays with what it has found")

	open = auto()
	_, status, err = open(t.Context())
	require.NoError(t, err)
	require.Equal(t, "csi", status.Device)

	csiErr = errors.New("no program")
	_, _, err = auto()(t.Context())
	require.ErrorIs(t, err, usbErr)
	require.ErrorIs(t, err, csiErr)
	require.ErrorContains(t, err, "found no camera. USB: ")
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	c, err := Open(t.Context(), "test", Options{Width: 64, Height: 48, FPS: 1000})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for c.Status().Frames < 50 {
			time.Sleep(time.Millisecond)
		}
	}()
	var sum, frames int
	for last := uint64(0); frames < 20 || c.Status().Frames < 50; frames++ {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		f, err := c.Next(ctx)
		cancel()
		require.NoError(t, err)
		require.True(t, frames == 0 || f.Sequence > last)
		last = f.Sequence
		for _, v := range f.Data {
			sum += int(v)
		}
	}
	require.Positive(t, sum)
	<-done
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
}
