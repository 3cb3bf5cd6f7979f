package capture

import (
	"encoding/json"
	"io/fs"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/v4l2"
)

func options(t *testing.T, o Options) Options {
	t.Helper()
	o, err := o.withDefaults()
	require.NoError(t, err)
	return o
}

// tryUSB opens a camera and closes it again.
func tryUSB(t *testing.T, sys *fakeSystem, path string, o Options) (Status, error) {
	t.Helper()
	s, status, err := newUSB(sys, path, options(t, o)).open(t.Context())
	if err == nil {
		s.close()
	}
	require.Zero(t, sys.opened(), "open devices")
	return status, err
}

func TestNegotiation(t *testing.T) {
	fps := func(n uint32) v4l2.Fraction { return v4l2.Fraction{Numerator: 1, Denominator: n} }
	all := []v4l2.FourCC{v4l2.MJPG, v4l2.YU12, v4l2.NV12, v4l2.YUYV}
	for name, c := range map[string]struct {
		offered       []v4l2.FourCC
		width, height int
		wantFPS       float64
		want          Format
		rates         map[v4l2.FourCC]v4l2.Fraction
		adjust        func(*v4l2.PixFormat)

		format           Format
		gotWidth, stride int
		full             bool
		fps              float64
	}{
		"raw at VGA":             {offered: all, format: YUYV, stride: 1280, fps: 30},
		"NV12 before YU12":       {offered: all[:3], format: NV12, stride: 640, fps: 30},
		"YU12 before MJPEG":      {offered: all[:2], format: I420, stride: 640, fps: 30},
		"MJPEG for want of raw":  {offered: all[:1], format: MJPEG, full: true, fps: 30},
		"MJPEG above VGA":        {offered: all, width: 1280, height: 720, format: MJPEG, full: true, fps: 30},
		"raw above VGA":          {offered: all[1:], width: 1280, height: 720, format: YUYV, stride: 2560, fps: 30},
		"JPEG by its other name": {offered: []v4l2.FourCC{v4l2.JPEG}, format: MJPEG, full: true, fps: 30},
		"raw is slow": {offered: all, rates: map[v4l2.FourCC]v4l2.Fraction{v4l2.YUYV: fps(5), v4l2.MJPG: fps(25)},
			format: MJPEG, full: true, fps: 25},
		"raw is slow and alone": {offered: all[3:], rates: map[v4l2.FourCC]v4l2.Fraction{v4l2.YUYV: fps(5)},
			format: YUYV, stride: 1280, fps: 5},
		"slow is wanted": {offered: all, wantFPS: 4, rates: map[v4l2.FourCC]v4l2.Fraction{v4l2.YUYV: fps(5)},
			format: YUYV, stride: 1280, fps: 5},
		"the driver does not tell its rate": {offered: all, rates: map[v4l2.FourCC]v4l2.Fraction{v4l2.YUYV: {}},
			format: YUYV, stride: 1280},
		"another size and stride": {offered: all, adjust: func(p *v4l2.PixFormat) {
			p.Width, p.Height, p.BytesPerLine = 320, 240, 704
		}, format: YUYV, gotWidth: 320, stride: 704, fps: 30},
		"no stride": {offered: all, adjust: func(p *v4l2.PixFormat) { p.BytesPerLine = 0 },
			format: YUYV, stride: 1280, fps: 30},
		"another format": {offered: all, adjust: func(p *v4l2.PixFormat) { p.FourCC, p.BytesPerLine = v4l2.NV12, 640 },
			format: NV12, stride: 640, fps: 30},
		"a format is asked for": {offered: all, want: NV12, format: NV12, stride: 640, fps: 30},
		"MJPEG is asked for":    {offered: all, want: MJPEG, format: MJPEG, full: true, fps: 30},
		"the slow one is asked for": {offered: all, want: YUYV, rates: map[v4l2.FourCC]v4l2.Fraction{v4l2.YUYV: fps(5)},
			format: YUYV, stride: 1280, fps: 5},
		"full range": {offered: all, adjust: func(p *v4l2.PixFormat) { p.Quantization = v4l2.QuantizationFull },
			format: YUYV, stride: 1280, full: true, fps: 30},
	} {
		t.Run(name, func(t *testing.T) {
			camera := newFakeCamera()
			camera.formats, camera.rates, camera.adjust = c.offered, c.rates, c.adjust
			sys := newFakeSystem(map[string]*fakeCamera{"/dev/video0": camera})
			d, err := sys.open("/dev/video0")
			require.NoError(t, err)
			if c.wantFPS == 0 {
				c.wantFPS = 30
			}
			got, err := negotiate(d, options(t, Options{Width: c.width, Height: c.height, FPS: c.wantFPS, Format: c.want}))
			require.NoError(t, err)
			if c.gotWidth == 0 {
				c.gotWidth = max(c.width, 640)
			}
			require.Equal(t, c.format, got.layout.Format)
			require.Equal(t, c.gotWidth, got.layout.Width)
			require.Equal(t, c.stride, got.layout.Stride)
			require.Equal(t, c.full, got.layout.FullRange)
			require.Equal(t, c.fps, got.interval.Rate())
		})
	}
}

func TestNegotiationFails(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fakeCamera)
		want   string
		format Format
	}{
		"another is asked for": {change: func(c *fakeCamera) { c.formats = []v4l2.FourCC{v4l2.YUYV} }, format: MJPEG, want: "it offers YUYV, and not MJPEG as asked for"},
		"raw Bayer only":       {change: func(c *fakeCamera) { c.formats = []v4l2.FourCC{'B' | 'A'<<8 | '8'<<16 | '1'<<24} }, want: "it offers BA81; of use are YUYV"},
		"nothing":              {change: func(c *fakeCamera) { c.formats = nil }, want: "it offers no pixel formats"},
		"gives another":        {change: func(c *fakeCamera) { c.adjust = func(p *v4l2.PixFormat) { p.FourCC = 'X' } }, want: "of no use"},
		"lines too short":      {change: func(c *fakeCamera) { c.adjust = func(p *v4l2.PixFormat) { p.BytesPerLine = 640 } }, want: "driver is faulty"},
		"image too small":      {change: func(c *fakeCamera) { c.adjust = func(p *v4l2.PixFormat) { p.SizeImage /= 2 } }, want: "driver is faulty"},
		"no size":              {change: func(c *fakeCamera) { c.adjust = func(p *v4l2.PixFormat) { p.Width = 0 } }, want: "driver is faulty"},
		"few buffers":          {change: func(c *fakeCamera) { c.buffers = 2 }, want: "its driver has 2 buffers: need 3"},
		"in use":               {change: func(c *fakeCamera) { c.errs["SetFormat"] = syscall.EBUSY }, want: "in use by motion (process 123)"},
		"in use later":         {change: func(c *fakeCamera) { c.errs["Map"] = syscall.EBUSY }, want: "in use by motion (process 123)"},
		"bus is full":          {change: func(c *fakeCamera) { c.errs["Start"] = syscall.ENOSPC }, want: "the USB bus is full"},
		"forbidden":            {change: func(c *fakeCamera) { c.openErr = syscall.EACCES }, want: "sudo usermod -aG video USER"},
		"metadata node":        {change: func(c *fakeCamera) { c.caps = 0x04a00000 }, want: "/dev/video0 (HD Webcam): it gives no pictures"},
		"not a camera":         {change: func(c *fakeCamera) { c.errs["Capability"] = syscall.ENOTTY }, want: "/dev/video0: Capability: inappropriate ioctl"},
	} {
		t.Run(name, func(t *testing.T) {
			camera := newFakeCamera()
			c.change(camera)
			sys := newFakeSystem(map[string]*fakeCamera{"/dev/video0": camera})
			_, err := tryUSB(t, sys, "/dev/video0", Options{Format: c.format})
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "/dev/video0")
			require.Equal(t, camera.mapped, camera.unmapped)
		})
	}
}

func TestFirstUSBCamera(t *testing.T) {
	metadata, csi, busy, good := newFakeCamera(), newFakeCamera(), newFakeCamera(), newFakeCamera()
	metadata.caps = 0x04a00000
	csi.bus = "platform:3f801000.csi"
	busy.errs["SetFormat"] = syscall.EBUSY
	good.card = "Second"
	sys := newFakeSystem(map[string]*fakeCamera{
		"/dev/video0": csi, "/dev/video1": metadata, "/dev/video2": busy, "/dev/video3": good})
	status, err := tryUSB(t, sys, "", Options{})
	require.NoError(t, err)
	require.Equal(t, "/dev/video3 (Second)", status.Device)

	sys.plug("/dev/video3", nil)
	_, err = tryUSB(t, sys, "", Options{})
	require.ErrorIs(t, err, syscall.EBUSY)

	sys.plug("/dev/video2", nil)
	_, err = tryUSB(t, sys, "", Options{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "no USB camera among the system's video devices")

	csi.openErr = syscall.EACCES
	_, err = tryUSB(t, sys, "", Options{})
	require.ErrorContains(t, err, "usermod", "perhaps it is the camera, were it allowed to ask")
}

// TestSameCamera says which camera counts as the one that was used.
func TestSameCamera(t *testing.T) {
	node := func(path, card, bus string) found {
		return found{path, v4l2.Capability{Card: card, Bus: bus}}
	}
	used := identity{card: "A", bus: "usb-1", unique: true}
	twins := used
	twins.unique = false
	a1, a2, b1 := node("/dev/video0", "A", "usb-1"), node("/dev/video2", "A", "usb-2"), node("/dev/video4", "B", "usb-1")
	for name, c := range map[string]struct {
		path  string
		used  identity
		nodes []found
		want  []found
	}{
		"at its place first":           {"", used, []found{b1, a2, a1}, []found{a1, a2}},
		"moved":                        {"/dev/video0", used, []found{b1, a2}, []found{a2}},
		"not its twin":                 {"/dev/video0", twins, []found{b1, a2}, nil},
		"any, where none was named":    {"", twins, []found{b1, a2}, []found{b1, a2}},
		"none but the one named":       {"/dev/video4", used, []found{b1}, nil},
		"on USB only, without a name":  {"", identity{}, []found{node("/dev/video1", "C", "platform:isp"), b1}, []found{b1}},
		"the used one on another kind": {"/dev/video1", identity{"C", "platform:x", true}, []found{node("/dev/video1", "C", "platform:x")}, []found{node("/dev/video1", "C", "platform:x")}},
	} {
		u := &usb{path: c.path, used: c.used}
		require.Equal(t, c.want, u.candidates(c.nodes), name)
	}
}

func TestRememberTwins(t *testing.T) {
	sys := newFakeSystem(map[string]*fakeCamera{"/dev/video0": newFakeCamera()})
	u := newUSB(sys, "", options(t, Options{}))
	s, _, err := u.open(t.Context())
	require.NoError(t, err)
	s.close()
	require.True(t, u.used.unique)

	sys.plug("/dev/video1", newFakeCamera())
	s, _, err = u.open(t.Context())
	require.NoError(t, err)
	s.close()
	require.False(t, u.used.unique)
}

func TestListUSB(t *testing.T) {
	range_, bayer, metadata, forbidden := newFakeCamera(), newFakeCamera(), newFakeCamera(), newFakeCamera()
	range_.formats = []v4l2.FourCC{v4l2.YUYV}
	range_.sizes = []v4l2.Size{{Width: 640, Height: 480, MaxWidth: 640, MaxHeight: 480}, {Width: 16, Height: 16, MaxWidth: 1920, MaxHeight: 1080}}
	bayer.formats = []v4l2.FourCC{'p' | 'B'<<8 | 'A'<<16 | 'A'<<24}
	metadata.caps = 0x04a00000
	forbidden.openErr = syscall.EACCES
	list := listUSB(newFakeSystem(map[string]*fakeCamera{
		"/dev/video0": range_, "/dev/video1": metadata, "/dev/video2": bayer, "/dev/video3": forbidden}))
	require.Len(t, list, 3)
	require.Equal(t, Device{Camera: "usb:/dev/video0", Name: "HD Webcam", Bus: "usb-0000:01:00.0-1.2", Driver: "fake",
		Formats: []DeviceFormat{{FourCC: "YUYV", Format: YUYV, Sizes: []Size{
			{Width: 640, Height: 480, FPS: []float64{30, 15}},
			{Width: 16, Height: 16, MaxWidth: 1920, MaxHeight: 1080, FPS: []float64{30, 15}},
		}}}}, list[0])
	require.Equal(t, "none of its formats is of use", list[1].Problem)
	require.Contains(t, list[2].Problem, "usermod")

	text, err := json.Marshal(list[2])
	require.NoError(t, err)
	require.JSONEq(t, `{"camera":"usb:/dev/video3","name":"HD Webcam","problem":"open /dev/video3: permission denied: only root and the group video may use it: sudo usermod -aG video USER, then log in again"}`, string(text))
}
