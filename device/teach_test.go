package device

import (
	"encoding/json"
	"fmt"
	"image"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/device/internal/guest"
	"edgeclassify/device/internal/machine"
	"edgeclassify/internal/testneed"
	"edgeclassify/live"
)

// TestTaught teaches a board through its page what a webcam shows, and cuts its power.
func TestTaught(t *testing.T) {
	findKernel(t)
	const views = 4 // of each photograph; nothing is taught of the last
	files := colourModel(t)
	photographs := map[string]string{"coffee": "espresso.jpg", "rocket": "rocket.jpg"}
	for label, name := range photographs {
		for i, view := range crops(decode(t, filepath.Join("../testdata/photos", name)), views) {
			files[viewOf(label, i)] = write(t, yuy2(view))
		}
	}
	disk := emptyDisk(t)
	p := startPupil(t, files, disk, viewOf("rocket", 0))
	require.Contains(t, colours(), p.count(1, bootTime)[0].label())
	for label := range photographs {
		p.wish("add", fmt.Sprintf(`{"label": %q}`, label))
		for i := range views - 1 {
			p.shown(viewOf(label, i))
			p.collect(label)
		}
	}
	p.wish("train", "{}")
	s := p.state("trained", func(s live.TeachState) bool { return !s.Training.Running })
	require.Empty(t, s.Training.Error)
	require.True(t, s.Trained)
	require.Contains(t, colours(), p.shown(viewOf("coffee", 0)).label(), "not in use yet")
	p.wish("use", "{}")
	s = p.state("in use", func(s live.TeachState) bool { return s.InUse == 1 })
	for label := range photographs {
		require.Equal(t, label, p.shown(viewOf(label, views-1)).label())
	}
	taught := p.last

	p.wish("collect", `{"label": "rocket", "on": true}`)
	p.state("one more", func(now live.TeachState) bool { return samples(now) > samples(s) })
	p.machine.Close() // as if the plug were pulled
	again := startPupil(t, files, disk, viewOf("rocket", views-1))
	r := again.count(1, bootTime)[0]
	require.Equal(t, taught.Model, r.Model, "from the first frame on")
	require.Equal(t, "rocket", r.label())
	after := again.state("in use", func(s live.TeachState) bool { return s.InUse == 1 })
	require.GreaterOrEqual(t, samples(after), samples(s))
	require.Equal(t, "coffee", again.shown(viewOf("coffee", views-1)).label())
	again.wish("undo", "{}")
	again.until(callTime, "of the model itself", func(r seen) bool { return r.Model != taught.Model })
	code, _ := again.stop()
	require.Zero(t, code)
}

// viewOf is the file of a view in the machine.
func viewOf(label string, i int) string { return fmt.Sprintf("/frames/%s.%d", label, i) }

const viewWidth, viewHeight = 320, 240

// crops are parts of a picture beside each other.
func crops(m *image.RGBA, n int) (all []image.Image) {
	spare := m.Rect.Size().Sub(image.Pt(viewWidth, viewHeight))
	for i := range n {
		at := image.Pt(spare.X*i/(n-1), spare.Y*i/(n-1))
		all = append(all, m.SubImage(image.Rect(0, 0, viewWidth, viewHeight).Add(at)))
	}
	return all
}

// emptyDisk is a disk with nothing on it.
func emptyDisk(t *testing.T) (path string) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+string(os.PathListSeparator)+"/usr/sbin")
	program := testneed.Program(t, "mke2fs", "apt-get install e2fsprogs")
	path = filepath.Join(t.TempDir(), "disk")
	out, err := exec.Command(program, "-q", "-t", "ext4", path, "64M").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// pupil is a program that is taught through its page.
type pupil struct{ *program }

const page = "http://127.0.0.1:8080/api/teach/"

// startPupil boots a board with a disk that keeps what is taught.
func startPupil(t *testing.T, files machine.Files, disk, shows string) pupil {
	t.Helper()
	board := machine.Virt("cortex-a76")
	board.Disk = disk
	d := boot(t, setup{board: board, files: files, modules: append(webcamModules(), "virtio-pci", "virtio-blk", "crc32c_generic", "ext4")})
	d.at("Mount", guest.Mount{Device: "/dev/vda", Folder: "/disk"})
	d.at("Plug", guest.Webcam{Format: "YUY2", Width: viewWidth, Height: viewHeight, FPS: 10, Frame: shows})
	return pupil{d.watch("usb", "-wait", "-teach", "/disk/taught", "-http", "127.0.0.1:8080")}
}

// shown shows a view, and is the first result of it.
func (p pupil) shown(view string) seen {
	p.Helper()
	return p.from(p.at("Show", view).Add(frameTime), callTime)
}

func (p pupil) ask(method, name, body string) (a guest.Answer) {
	p.Helper()
	p.call("Ask", guest.Request{Method: method, URL: page + name, Body: body}, &a)
	return a
}

// wish has something changed.
func (p pupil) wish(name, body string) {
	p.Helper()
	require.Equal(p, guest.Answer{Status: http.StatusNoContent}, p.ask(http.MethodPost, name, body))
}

// state waits for a state, and reads results in the meantime.
func (p pupil) state(what string, reached func(live.TeachState) bool) (s live.TeachState) {
	p.Helper()
	p.eventually(callTime, what, func() bool {
		a := p.ask(http.MethodGet, "", "")
		require.Equal(p, http.StatusOK, a.Status, a.Body)
		s = live.TeachState{}
		require.NoError(p, json.Unmarshal([]byte(a.Body), &s))
		return reached(s)
	})
	return s
}

// collect takes a sample of what is shown, or some.
func (p pupil) collect(label string) {
	p.Helper()
	have := samples(p.state("known", func(live.TeachState) bool { return true }))
	body := `{"label": %q, "on": %t}`
	p.wish("collect", fmt.Sprintf(body, label, true))
	p.state("a sample of "+label, func(s live.TeachState) bool { return samples(s) > have })
	p.wish("collect", fmt.Sprintf(body, label, false))
}

// samples are those of all labels.
func samples(s live.TeachState) (n int) {
	for _, l := range s.Labels {
		n += l.Count
	}
	return n
}
