package device

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/device/internal/guest"
	"edgeclassify/device/internal/machine"
	"edgeclassify/q8"
	"edgeclassify/stream"
)

// TestModelReplaced writes another network over the one in use, again and again
// while frames come. Each result is one of the two networks' own.
func TestModelReplaced(t *testing.T) {
	findKernel(t)
	times := 100
	if testing.Short() {
		times = 10
	}
	const width, height = 160, 120
	paths := []string{colourFile(t), otherColourFile(t)}
	files := machine.Files{modelPath: paths[0], "/models/0": paths[0], "/models/1": paths[1], "/frames/red": write(t, yuy2(plain(colours()["red"], width, height)))}
	label := map[string]string{sum(t, paths[0]): "red", sum(t, paths[1]): "scarlet"}
	d := boot(t, setup{board: machine.Virt("cortex-a76"), modules: webcamModules(), files: files})
	d.at("Plug", guest.Webcam{Format: "YUY2", Width: width, Height: height, FPS: 15, Frame: "/frames/red"})
	p := d.watch("usb")

	answers := map[string]map[stream.Digest]bool{} // by network
	var all, switches int
	var before guest.Usage
	until := func(model string) {
		last := p.last.Model
		p.until(callTime, "of the network "+model, func(r seen) bool {
			if all++; answers[r.Result.Model] == nil {
				answers[r.Result.Model] = map[stream.Digest]bool{}
			}
			answers[r.Result.Model][r.LogitsSHA256] = true
			require.Equal(p, label[r.Result.Model], r.label())
			if r.Result.Model != last {
				switches++
			}
			last = r.Result.Model
			return r.Result.Model == model
		})
	}
	until(sum(t, paths[0]))
	for i := range times {
		next := (i + 1) % 2
		p.at("Copy", guest.Copy{From: "/models/" + string(rune('0'+next)), To: modelPath})
		p.at("Signal", guest.Signal{Process: p.number, Number: int(syscall.SIGHUP)})
		until(sum(t, paths[next]))
		if i == times/2 {
			before = p.usage()
		}
	}
	after := p.usage()
	t.Logf("%d results; from %+v to %+v", all, before, after)
	require.Equal(t, times+1, switches, "it went back and forth")
	require.Len(t, answers, 2)
	for model, logits := range answers {
		require.Len(t, logits, 1, "%s, which sees one picture, answers differently", label[model])
	}
	require.Equal(t, before.Files, after.Files)
	require.LessOrEqual(t, after.KiB, before.KiB+2048) // what Go has not given back yet
	require.NotContains(t, p.newErrors(), "camera gives no frames")

	d.at("Write", guest.File{Path: modelPath, Contents: "cut short"})
	p.at("Signal", guest.Signal{Process: p.number, Number: int(syscall.SIGHUP)})
	p.logs("the one before goes on")
	require.Equal(t, p.last.Model, p.from(d.at("Now", guest.None{}), callTime).Result.Model)
	code, _ := p.stop()
	require.Zero(t, code)
}

// sum is the SHA-256 by which results name a network.
func sum(t testing.TB, path string) string {
	t.Helper()
	f, err := q8.Open(path)
	require.NoError(t, err)
	defer f.Close()
	return f.SHA256
}
