package live

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/capture"
	"edgeclassify/internal/testneed"
	"edgeclassify/stream"
)

// screenshots are kept for people to look at.
const screenshots = "../build/screenshots"

// browser is a tab of Chromium, driven through its DevTools protocol over
// pipes: JSON messages that end in a zero byte.
type browser struct {
	t       *testing.T
	in      *os.File
	out     *bufio.Reader
	session string
	id      int
	errors  []string // that the page logged
}

type message struct {
	ID     int             `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  json.RawMessage `json:"error,omitempty"`
}

func launch(t *testing.T) *browser {
	if runtime.GOOS == "windows" {
		t.Skip("pipes to the browser need a POSIX system")
	}
	program := testneed.Program(t, "chromium", "apt-get install chromium")
	in, toBrowser, err := os.Pipe()
	require.NoError(t, err)
	fromBrowser, out, err := os.Pipe()
	require.NoError(t, err)
	var log bytes.Buffer
	c := exec.Command(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	c.ExtraFiles = []*os.File{in, out} // 3 and 4, where it looks for them
	c.Stderr = &log
	require.NoError(t, c.Start())
	in.Close()
	out.Close()
	watchdog := time.AfterFunc(5*time.Minute, func() { c.Process.Kill() })
	b := &browser{t: t, in: toBrowser, out: bufio.NewReaderSize(fromBrowser, 1<<20)}
	t.Cleanup(func() {
		toBrowser.Close() // which ends the browser
		_, _ = io.Copy(io.Discard, b.out)
		c.Wait() // for the log too
		watchdog.Stop()
		fromBrowser.Close()
		if t.Failed() {
			t.Logf("%s", log.Bytes())
		}
	})
	target := b.call("Target.createTarget", map[string]any{"url": "about:blank"})
	attached := b.call("Target.attachToTarget", map[string]any{"targetId": target["targetId"], "flatten": true})
	b.session = attached["sessionId"].(string)
	for _, domain := range []string{"Page", "Runtime", "Log", "Accessibility"} {
		b.call(domain+".enable", nil)
	}
	return b
}

// call sends a command and waits for its result. Errors that the page logs
// meanwhile are kept.
func (b *browser) call(method string, params map[string]any) map[string]any {
	b.t.Helper()
	b.id++
	command := map[string]any{"id": b.id, "method": method}
	if params != nil {
		command["params"] = params
	}
	if b.session != "" {
		command["sessionId"] = b.session
	}
	data, err := json.Marshal(command)
	require.NoError(b.t, err)
	_, err = b.in.Write(append(data, 0))
	require.NoError(b.t, err)
	for {
		data, err := b.out.ReadBytes(0)
		require.NoError(b.t, err, "the browser has ended")
		var m message
		require.NoError(b.t, json.Unmarshal(data[:len(data)-1], &m))
		if m.ID == b.id {
			require.Empty(b.t, string(m.Error), method)
			var result map[string]any
			require.NoError(b.t, json.Unmarshal(m.Result, &result))
			return result
		}
		b.listen(m)
	}
}

func (b *browser) listen(m message) {
	var p struct {
		Type  string
		Entry struct{ Level string }
	}
	_ = json.Unmarshal(m.Params, &p) // messages of other forms are of no interest
	if m.Method == "Runtime.exceptionThrown" ||
		m.Method == "Runtime.consoleAPICalled" && p.Type == "error" ||
		m.Method == "Log.entryAdded" && p.Entry.Level == "error" {
		b.errors = append(b.errors, string(m.Params))
	}
}

// eval returns the value of a JavaScript expression.
func (b *browser) eval(expression string) any {
	b.t.Helper()
	answer := b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true})
	require.NotContains(b.t, answer, "exceptionDetails", "%s: %v", expression, answer)
	return answer["result"].(map[string]any)["value"]
}

// until waits for an expression to be true.
func (b *browser) until(expression string) {
	b.t.Helper()
	for start := time.Now(); b.eval(expression) != true; time.Sleep(50 * time.Millisecond) {
		require.Less(b.t, time.Since(start), time.Minute, "%s; the page says: %v", expression, b.eval("document.body.innerText"))
	}
}

func (b *browser) screen(width, height int, scheme string) {
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{
		"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{
		map[string]any{"name": "prefers-color-scheme", "value": scheme}}})
}

func (b *browser) press(key string, code int, text string) {
	for _, kind := range []string{"keyDown", "keyUp"} {
		p := map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
		if kind == "keyDown" {
			p["text"] = text
		}
		b.call("Input.dispatchKeyEvent", p)
	}
}

func (b *browser) screenshot(name string) {
	b.t.Helper()
	answer := b.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true})
	data, err := base64.StdEncoding.DecodeString(answer["data"].(string))
	require.NoError(b.t, err)
	require.NoError(b.t, os.MkdirAll(screenshots, 0o755))
	require.NoError(b.t, os.WriteFile(filepath.Join(screenshots, name+".png"), data, 0o644))
}

// pixel is an expression for the brightness of the picture's pixels, summed.
const pixel = `[...document.getElementById("canvas").getContext("2d").getImageData(0, 0, 64, 64).data].reduce((a, b) => a + b)`

func TestPageInBrowser(t *testing.T) {
	b := launch(t)
	s := serve(t, Options{Token: token, Version: "1.2", Stale: 2 * time.Second, Watch: []string{"tiger cat", "lynx"}})
	s.Model(cats("resnet50-keras"))
	s.Status(streaming())
	var gone, sequence atomic.Uint64
	cat := photo(t, "cat.jpg")
	stop := make(chan struct{})
	ended := inBackground(func() {
		for n := uint64(1); ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(40 * time.Millisecond):
			}
			if gone.Load() == 0 {
				s.show(cat(n))
				sequence.Store(n)
			}
		}
	})
	defer func() { close(stop); <-ended }()
	s.Event(stream.Event{Time: time.Now(), Label: "tiger cat", Kind: stream.Start, Prob: 0.62}, nil)

	b.screen(1280, 800, "light")
	b.call("Page.navigate", map[string]any{"url": s.url("/?token=correct+horse+battery")})
	b.until(`document.readyState === "complete" && document.getElementById("overlay")?.hidden`)
	b.until(`document.querySelector("#labels li .label")?.textContent === "tiger cat"`)
	require.Equal(t, "/", b.eval("location.pathname + location.search"), "the token does not stay in the address bar")

	t.Run("shows picture, labels and numbers", func(t *testing.T) {
		config := cat(0)
		require.EqualValues(t, config.Width, b.eval("canvas.width"))
		require.EqualValues(t, config.Height, b.eval("canvas.height"))
		require.Greater(t, b.eval(pixel), 64*64*300., "not black")
		require.Equal(t, "62 %", b.eval(`document.querySelector("#labels li .prob").textContent`))
		require.Equal(t, "62%", b.eval(`document.querySelector("#labels li .bar").style.width`))
		b.until(`document.getElementById("announcement").textContent === "tiger cat, 62 percent"`)
		require.Contains(t, b.eval("document.body.innerText"), "tabby, a long <b>name</b> & more", "text, and no HTML")
		for _, text := range []string{"streaming", "/dev/video0", "640×480 YUYV, 30 fps", "50 ms (p90 50, p99 50)", "61.5 °C, under-voltage",
			"resnet50-keras", "neondot", "in view: tiger cat", "results per second"} {
			require.Contains(t, b.eval("document.body.innerText"), text)
		}
		b.until(`/^picture is 0\.\d s old$/.test(document.getElementById("age").textContent)`)
	})
	t.Run("looks", func(t *testing.T) {
		b.screenshot("light")
		b.screen(1280, 800, "dark")
		b.screenshot("dark")
		b.screen(390, 844, "light")
		require.LessOrEqual(t, b.eval("document.documentElement.scrollWidth"), 390., "no sideways scrolling")
		b.screenshot("phone")
		b.screen(320, 640, "dark")
		require.LessOrEqual(t, b.eval("document.documentElement.scrollWidth"), 320.)
		b.screenshot("small-phone")
		b.screen(1280, 800, "light")
	})
	t.Run("keyboard", func(t *testing.T) {
		var reached []any
		for range 4 {
			b.press("Tab", 9, "")
			reached = append(reached, b.eval("document.activeElement.innerText"))
			require.Equal(t, "solid", b.eval("getComputedStyle(document.activeElement).outlineStyle"), "the focus is visible")
		}
		require.Equal(t, []any{"Pause", "Snapshot", "Latest as JSON", "Metrics"}, reached)
		b.eval(`document.getElementById("pause").focus()`)
		b.press("Enter", 13, "\r")
		require.Equal(t, "true", b.eval(`document.getElementById("pause").getAttribute("aria-pressed")`))
		require.Regexp(t, "^paused, picture is", b.eval(`document.getElementById("age").textContent`))
		b.screenshot("paused")
		require.Eventually(t, func() bool { return s.screen.viewers.count() == 0 }, time.Minute, 10*time.Millisecond)
		b.press("Enter", 13, "\r")
		b.until(`document.getElementById("overlay").hidden && document.getElementById("age").textContent.startsWith("picture is 0.")`)
	})
	t.Run("several labels at once", func(t *testing.T) {
		b.until(`showResult({independent: true, top: [{label: "cat", prob: 0.9}, {label: "dog", prob: 0.5}, {label: "elk", prob: 0.49}]}),
			document.getElementById("announcement").textContent === "cat, 90 percent; dog, 50 percent"`)
	})
	t.Run("screen reader", func(t *testing.T) {
		roles := map[string]int{}
		for _, node := range b.call("Accessibility.getFullAXTree", nil)["nodes"].([]any) {
			if role, ok := node.(map[string]any)["role"].(map[string]any); ok {
				name, _ := node.(map[string]any)["name"].(map[string]any)
				roles[fmt.Sprint(role["value"])]++
				roles[fmt.Sprint(role["value"], " ", name["value"])]++
			}
		}
		for _, want := range []string{"banner", "main", "contentinfo", "navigation Data", "region Camera", "region What it sees",
			"region Numbers", "region Lately", "button Pause", "image Live picture of the camera"} {
			require.Positive(t, roles[want], "%s in %v", want, roles)
		}
	})
	require.Empty(t, b.errors, "the page logs no errors")

	t.Run("a camera that is gone", func(t *testing.T) {
		gone.Store(1)
		missing := streaming()
		missing.State, missing.Error = capture.Missing, "unplugged"
		s.Status(missing)
		b.until(`/^No picture since [2-9].* s\nunplugged$/.test(document.getElementById("overlay").textContent)`)
		require.Equal(t, false, b.eval(`document.getElementById("overlay").hidden`))
		require.Equal(t, "missing", b.eval(`document.getElementById("camera-state").textContent`))
		require.Contains(t, b.eval(`document.getElementById("announcement").textContent`), "No picture since")
		b.screenshot("no-picture")
		gone.Store(0)
		s.Status(streaming())
		b.until(`document.getElementById("overlay").hidden`)
	})
	require.Empty(t, b.errors, "the page logs no errors")
}
