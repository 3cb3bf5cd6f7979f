package device

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/device/internal/guest"
	"edgeclassify/device/internal/machine"
	"edgeclassify/internal/testneed"
)

const (
	unit     = "edge-classify"
	inUse    = "/var/lib/edge-classify/model.q8"
	watchdog = 8 * time.Second // not the unit's, for which the test would wait long
	token    = "a-token-of-tests"
)

// TestService installs the service on a board, by the package and by deploy, and
// does to it what happens in the field.
func TestService(t *testing.T) {
	findKernel(t)
	const width, height = 160, 120
	files := machine.Files{"/edge-classify.deb": debianPackage(t), "/models/1": colourFile(t), "/models/2": otherColourFile(t)}
	for name, c := range colours() {
		files["/frames/"+name] = write(t, yuy2(plain(c, width, height)))
		files["/frames/"+name+".i420"] = write(t, i420(plain(c, width, height)))
	}
	b := debian(t, files)
	plug := func() {
		b.at("Plug", guest.Webcam{Format: "YUY2", Width: width, Height: height, FPS: 10, Frame: "/frames/green"})
	}
	b.byPackage(plug)
	b.at("Show", "/frames/red")
	b.byDeploy(files)
}

func (b *board) byPackage(plug func()) {
	b.step("installed", func() {
		require.Contains(b, b.run("dpkg -i /edge-classify.deb"), "systemctl enable --now edge-classify")
		require.Contains(b, b.run("id edge-classify"), "(video)")
		require.Equal(b, "640 root:edge-classify", b.run("stat -c '%a %U:%G' /etc/edge-classify/edge-classify.conf"))
		b.run("install -d /etc/systemd/system/edge-classify.service.d && cp /models/1 " + inUse)
		b.file("/etc/systemd/system/edge-classify.service.d/test.conf", fmt.Sprintf("[Service]\nWatchdogSec=%d\n", int(watchdog.Seconds())))
		b.file("/etc/edge-classify/token", token)
		b.run("systemctl daemon-reload")
	})
	b.step("no camera", func() {
		// Neither one that is not plugged in, nor one whose program is not installed.
		for _, camera := range []string{"csi", "usb"} {
			b.watches(camera)
			process := b.property("MainPID")
			time.Sleep(2 * watchdog)
			require.Contains(b, b.property("StatusText"), "camera ")
			require.Equal(b, process, b.property("MainPID"), "restarted though only the camera is away")
		}
	})
	b.step("label", func() {
		plug()
		b.shows("green")
		code, _ := b.page("/healthz", "")
		require.Equal(b, http.StatusOK, code)
		code, _ = b.page("/snapshot.jpg", "")
		require.Equal(b, http.StatusUnauthorized, code)
		code, picture := b.page("/snapshot.jpg", token)
		require.Equal(b, http.StatusOK, code)
		require.True(b, strings.HasPrefix(picture, "\xff\xd8"), "no JPEG file")
	})
	b.step("event", func() {
		b.waits("a program has the event", func() bool {
			return strings.Contains(b.run("cat /var/lib/edge-classify/said || true"), `"label":"green"`)
		})
		require.Contains(b, b.run("ls /var/lib/edge-classify/events"), ".jpg")
	})
	b.step("reload", func() {
		process := b.property("MainPID")
		b.run("cp /models/2 " + inUse + " && systemctl reload edge-classify")
		b.at("Show", "/frames/red")
		b.shows("scarlet")
		require.Equal(b, process, b.property("MainPID"))
		require.Contains(b, b.journal(), "another model runs")
	})
	b.step("watchdog", func() {
		process := b.property("MainPID")
		b.run("kill -STOP " + process)
		b.waits("the service is restarted", func() bool { return b.property("NRestarts") == "1" })
		require.Contains(b, b.journal(), "Watchdog timeout")
		b.at("Show", "/frames/blue")
		b.shows("blue")
		require.NotEqual(b, process, b.property("MainPID"))
	})
	b.step("camera that is a program", func() {
		b.watches("exec:sh -c 'while cat /frames/gray.i420; do sleep 0.2; done'\nsize = 160x120\nfps = 5")
		b.shows("gray")
	})
	b.step("stop", func() {
		limit, err := strconv.ParseInt(b.property("MemoryMax"), 10, 64)
		require.NoError(b, err)
		used := b.run("cat /sys/fs/cgroup/system.slice/edge-classify.service/memory.peak")
		b.Logf("memory: %s bytes at most, of %d", used, limit)
		b.run("systemctl stop edge-classify")
		require.Equal(b, "success", b.property("Result"))
	})
	b.step("removed", func() {
		b.run("dpkg --purge edge-classify")
		require.Equal(b, "not-found", b.property("LoadState"))
		require.NotEmpty(b, b.run("ls "+inUse), "the network is the user's")
	})
}

func (b *board) byDeploy(files machine.Files) {
	quantize := testneed.Built(b, "edgeclassify/cmd/quantize")
	deploy := func(args ...string) string {
		c := exec.Command(quantize, append([]string{"deploy", "pi@board"}, args...)...)
		c.Env = append(os.Environ(), "PATH="+b.bin+":"+os.Getenv("PATH"))
		out, err := c.CombinedOutput()
		require.NoError(b, err, "%s", out)
		return string(out)
	}
	b.step("deploy shows what it would do", func() {
		require.Contains(b, deploy("-model", files["/models/1"], "-dry-run"), "systemctl restart edge-classify")
		require.Equal(b, "not-found", b.property("LoadState"))
	})
	b.step("deploy installs", func() {
		out := deploy("-model", files["/models/1"], "-camera", "usb", "-smooth", "0", "-http", ":8080", "-token", token)
		require.Contains(b, out, "self-test passes")
		b.Logf("%s", out)
		require.Contains(b, out, "the board sees: ")
		b.shows("red")
		require.Equal(b, "enabled", b.property("UnitFileState"))
		code, _ := b.page("/snapshot.jpg", token)
		require.Equal(b, http.StatusOK, code)
	})
	b.step("deploy updates", func() {
		require.Contains(b, deploy("-model", files["/models/2"]), "the model to "+inUse)
		b.shows("scarlet")
		code, _ := b.page("/snapshot.jpg", token)
		require.Equal(b, http.StatusOK, code, "the settings stay")
		process := b.property("MainPID")
		require.Contains(b, deploy("-model", files["/models/2"]), "nothing has changed")
		require.Equal(b, process, b.property("MainPID"))
	})
	b.step("stop what was deployed", func() {
		b.run("systemctl disable --now edge-classify")
		require.Equal(b, "inactive", b.property("ActiveState"))
	})
}

// debianPackage makes the package as it is released.
func debianPackage(t testing.TB) (path string) {
	t.Helper()
	cmd := exec.Command("go", "run", "edgeclassify/internal/release", "-deb", "-platforms", "linux/arm64", "-out", t.TempDir())
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.NoError(t, err, "%s: %s", cmd, errs.String())
	return strings.TrimSpace(string(out))
}

// file writes a file that the service may read.
func (b *board) file(path, text string) {
	b.Helper()
	b.run(fmt.Sprintf("cat >%s <<'END'\n%s\nEND", path, text))
}

// watches starts the service with a camera, and all that writes or starts
// programs.
func (b *board) watches(camera string) {
	b.Helper()
	b.file("/etc/edge-classify/edge-classify.conf", "model = "+inUse+"\ncamera = "+camera+`
wait = true
smooth = 0
http = :8080
token-file = /etc/edge-classify/token
watch = green
hold = 0
save = /var/lib/edge-classify/events
exec = sh -c 'cat >/var/lib/edge-classify/said'`)
	b.run("systemctl restart edge-classify")
}

// property is what systemd knows of the service.
func (b *board) property(name string) string {
	b.Helper()
	return b.run("systemctl show --value --property " + name + " " + unit)
}

// shows waits for the service to say that it sees a label.
func (b *board) shows(label string) {
	b.Helper()
	b.waits("the service sees "+label, func() bool { return strings.HasPrefix(b.property("StatusText"), label) })
}

func (b *board) journal() string {
	b.Helper()
	return b.run("journalctl --no-pager --output cat --unit " + unit)
}

// page asks the live page, from outside.
func (b *board) page(path, token string) (code int, body string) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+b.machine.Address(machine.Page)+path, nil)
	require.NoError(b, err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	require.NoError(b, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(b, err)
	return answer.StatusCode, string(text)
}
