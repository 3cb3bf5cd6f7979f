package device

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/classify"
	"edgeclassify/device/internal/guest"
	"edgeclassify/device/internal/machine"
	"edgeclassify/internal/testneed"
)

// webcamModules are the driver of USB webcams, and the virtual USB host.
func webcamModules() []string { return []string{"uvcvideo", "vhci-hcd"} }

// TestWebcamFormats shows colours to a webcam of each raw format.
func TestWebcamFormats(t *testing.T) {
	const width, height = 320, 240
	files := colourModel(t)
	for name, c := range colours() {
		for format, encode := range rawFormats() {
			files["/frames/"+name+"."+format] = write(t, encode(plain(c, width, height)))
		}
	}
	d := boot(t, setup{board: machine.Virt("cortex-a76"), modules: webcamModules(), files: files})
	for format := range rawFormats() {
		d.step(format, func() {
			d.at("Plug", guest.Webcam{Format: format, Width: width, Height: height, FPS: 15, Frame: "/frames/gray." + format})
			p := d.watch("usb", "-wait")
			p.count(3, callTime)
			require.Contains(d, p.newErrors(), "width=320 height=240")
			for name := range colours() {
				shown := d.at("Show", "/frames/"+name+"."+format)
				p.resumes(shown.Add(frameTime), name)
			}
			p.stop()
			d.at("Unplug", guest.None{})
		})
	}
}

// rawFormats encode a picture as a camera sends it, by format.
func rawFormats() map[string]func(image.Image) []byte {
	return map[string]func(image.Image) []byte{"YUY2": yuy2, "NV12": nv12, "I420": i420}
}

// limited is the YCbCr of a pixel in the range of video, 16 to 235 and 16 to
// 240, as cameras send it (ITU-R BT.601).
func limited(c color.Color) (y, cb, cr byte) {
	full := color.YCbCrModel.Convert(c).(color.YCbCr)
	scale := func(v byte, zero, span int) byte { return byte(zero + ((int(v)-zero)*span+127)/255) }
	return byte(16 + (int(full.Y)*219+127)/255), scale(full.Cb, 128, 224), scale(full.Cr, 128, 224)
}

// yuy2 takes the colour of every second pixel.
func yuy2(m image.Image) (b []byte) {
	r := m.Bounds()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x+1 < r.Max.X; x += 2 {
			y0, cb, cr := limited(m.At(x, y))
			y1, _, _ := limited(m.At(x+1, y))
			b = append(b, y0, cb, y1, cr)
		}
	}
	return b
}

func nv12(m image.Image) []byte {
	luma, cb, cr := planes(m)
	for i := range cb {
		luma = append(luma, cb[i], cr[i])
	}
	return luma
}

func i420(m image.Image) []byte {
	luma, cb, cr := planes(m)
	return append(append(luma, cb...), cr...)
}

// planes takes the colour of every second pixel of every second line.
func planes(m image.Image) (luma, cb, cr []byte) {
	r := m.Bounds()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			l, b, r := limited(m.At(x, y))
			luma = append(luma, l)
			if x%2 == 0 && y%2 == 0 {
				cb, cr = append(cb, b), append(cr, r)
			}
		}
	}
	return luma, cb, cr
}

// write writes a file for a machine.
func write(t testing.TB, b []byte) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	_, err = f.Write(b)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return f.Name()
}

// TestReplug unplugs the webcam again and again.
func TestReplug(t *testing.T) {
	cycles := 20
	if testing.Short() {
		cycles = 6
	}
	settled := cycles / 2 // cycles after which the program has all it needs
	const width, height = 320, 240
	files := colourModel(t)
	for name, c := range colours() {
		var b bytes.Buffer
		require.NoError(t, jpeg.Encode(&b, plain(c, width, height), nil))
		files["/frames/"+name] = write(t, b.Bytes())
	}
	d := boot(t, setup{board: machine.Virt("cortex-a76"), modules: webcamModules(), files: files})
	plug := func(colour string) time.Time {
		return d.at("Plug", guest.Webcam{Format: "MJPG", Width: width, Height: height, FPS: 15, Frame: "/frames/" + colour})
	}
	plug("gray")
	p := d.watch("usb", "-wait")
	p.count(3, callTime)
	colour := []string{"red", "green", "blue"}
	var before guest.Usage
	var longest time.Duration
	for i := range cycles {
		unplugged := d.at("Unplug", guest.None{})
		time.Sleep(time.Second)
		for _, r := range p.results(0) {
			require.True(t, r.Time.Before(unplugged.Add(frameTime)), "a frame of %v: the camera has been away since %v", r.Time, unplugged)
		}
		plugged := plug(colour[i%len(colour)])
		longest = max(longest, p.resumes(plugged, colour[i%len(colour)]))
		if i == settled {
			before = p.usage()
		}
	}
	after := p.usage()
	t.Logf("%d cycles; results again after %.1f s at most; from %+v to %+v", cycles, longest.Seconds(), before, after)
	require.Equal(t, before.Files, after.Files)
	require.LessOrEqual(t, after.Threads, before.Threads+1) // Go may start one at any time
	require.LessOrEqual(t, after.KiB, before.KiB+2048)      // the buffers of four cycles
	code, _ := p.stop()
	require.Zero(t, code)
}

// photograph is what a webcam is shown, and how.
type photograph struct {
	name, format string
	encode       func(t testing.TB, path string, m image.Image) []byte
}

// TestPhotographs shows photographs to webcams: the label is that of the file.
func TestPhotographs(t *testing.T) {
	photographs := []photograph{
		{"cat.jpg", "MJPG", func(t testing.TB, path string, _ image.Image) []byte {
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			return b
		}},
		{"espresso.jpg", "MJPG", func(t testing.TB, _ string, m image.Image) []byte {
			var b bytes.Buffer
			require.NoError(t, jpeg.Encode(&b, m, &jpeg.Options{Quality: 90}))
			return withoutTables(b.Bytes())
		}},
		{"tripod.jpg", "YUY2", func(_ testing.TB, _ string, m image.Image) []byte { return yuy2(m) }},
	}
	findKernel(t) // before the work of making a model
	model := resnet50(t)
	files := machine.Files{modelPath: model}
	var cameras []guest.Webcam
	for _, ph := range photographs {
		path := filepath.Join("../testdata/photos", ph.name)
		m := decode(t, path)
		files["/frames/"+ph.name] = write(t, ph.encode(t, path, m))
		cameras = append(cameras, guest.Webcam{Format: ph.format, Width: m.Rect.Dx(), Height: m.Rect.Dy(), FPS: 10, Frame: "/frames/" + ph.name})
	}
	d := boot(t, setup{board: machine.Virt("cortex-a76"), modules: webcamModules(), files: files})
	d.at("Plug", cameras[0])
	p, want := d.watch("usb", "-wait", "-every", "1s"), best(t, model, photographs)
	for i, ph := range photographs {
		if i > 0 {
			d.at("Unplug", guest.None{})
			d.at("Plug", cameras[i])
		}
		got := p.from(d.at("Now", guest.None{}), bootTime)
		t.Logf("%s by %s: %s %.2f, the file %s %.2f; %.0f ms", ph.name, ph.format, got.label(), got.Top[0].Probability, want[i].Label, want[i].Probability, got.MS.Infer)
		require.Equal(t, want[i].Label, got.label())
		require.InDelta(t, want[i].Probability, got.Top[0].Probability, 0.1)
	}
}

// resnet50 is the path of the quantized network.
func resnet50(t testing.TB) string {
	t.Helper()
	testneed.Weights(t, "resnet50-keras")
	path := filepath.Join(t.TempDir(), "resnet50.q8")
	cmd := exec.Command("go", "run", "edgeclassify/cmd/quantize", "build", "-model", "resnet50-keras", "-out", path)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", cmd, out)
	return path
}

// best are the most probable classes of the files, on this machine.
func best(t testing.TB, model string, photographs []photograph) (all []classify.Prediction) {
	t.Helper()
	m, err := classify.Open(model, classify.Options{})
	require.NoError(t, err)
	defer m.Close()
	for _, ph := range photographs {
		top, err := m.ClassifyFile(filepath.Join("../testdata/photos", ph.name))
		require.NoError(t, err)
		all = append(all, top[0])
	}
	return all
}

func decode(t testing.TB, path string) *image.RGBA {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	m, err := jpeg.Decode(f)
	require.NoError(t, err)
	rgba := image.NewRGBA(image.Rectangle{Max: m.Bounds().Size()})
	draw.Draw(rgba, rgba.Rect, m, m.Bounds().Min, draw.Src)
	return rgba
}

// withoutTables leaves the Huffman tables out of a JPEG file, as many webcams
// do: they mean the standard ones, which Go's encoder uses.
func withoutTables(file []byte) []byte {
	const tables, scan = 0xc4, 0xda // markers (ITU-T T.81, table B.1)
	out := file[:2:2]
	for rest := file[2:]; ; {
		size := 2 + int(rest[2])<<8 + int(rest[3])
		switch rest[1] {
		case scan:
			return append(out, rest...)
		case tables:
		default:
			out = append(out, rest[:size]...)
		}
		rest = rest[size:]
	}
}
