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
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/capture"
	"edgeclassify/internal/testneed"
	"edgeclassify/preprocess"
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
	errors  []string       // that the page logged
	pointed map[string]any // where the mouse was pressed
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
		require.Less(b.t, time.Since(start), time.Minute, "%s; the page says: %v %v", expression, b.eval("document.body?.innerText"), b.eval(`document.getElementById("flag")?.value`))
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

// drag moves a mouse or a finger over the picture, from one point in it to another,
// in fractions of its size.
func (b *browser) drag(by string, fromX, fromY, toX, toY float64) {
	b.t.Helper()
	b.eval(`document.getElementById("picture").scrollIntoView()`)
	at := b.eval(`(r => [r.x, r.y, r.width, r.height])(document.getElementById("canvas").getBoundingClientRect())`).([]any)
	point := func(x, y float64) map[string]any {
		return map[string]any{"x": at[0].(float64) + x*at[2].(float64), "y": at[1].(float64) + y*at[3].(float64)}
	}
	for i, p := range []map[string]any{point(fromX, fromY), point((fromX+toX)/2, (fromY+toY)/2), point(toX, toY), point(toX, toY)} {
		if by == "touch" {
			event := map[string]any{"type": [...]string{"touchStart", "touchMove", "touchMove", "touchEnd"}[i], "touchPoints": []any{p}}
			if i == 3 {
				event["touchPoints"] = []any{}
			}
			b.call("Input.dispatchTouchEvent", event)
			continue
		}
		p["type"], p["button"], p["buttons"] = [...]string{"mousePressed", "mouseMoved", "mouseMoved", "mouseReleased"}[i], "left", 1
		b.call("Input.dispatchMouseEvent", p)
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
	s := serve(t, Options{Token: token, Version: "1.2", Stale: 20 * time.Second, Watch: []string{"tiger cat", "lynx"},
		ROI: preprocess.ROI{X: 10, Y: 5, W: 80, H: 90, Percent: true}})
	s.Model(cats("resnet50-keras"))
	s.Status(streaming())
	const present, gone, silent = 0, 1, 2 // its frames are of a minute ago; there are none
	var camera atomic.Int32
	camera.Store(silent)
	cat := photo(t, "cat.jpg")
	stop := make(chan struct{})
	ended := inBackground(func() {
		for n := uint64(1); ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(40 * time.Millisecond):
			}
			f := cat(n)
			switch camera.Load() {
			case gone:
				f.Time = f.Time.Add(-time.Minute)
			case silent:
				continue
			}
			s.show(f)
		}
	})
	defer func() { close(stop); <-ended }()

	t.Run("login", func(t *testing.T) {
		for _, size := range [][2]int{{390, 844}, {1280, 800}} {
			for _, scheme := range []string{"light", "dark"} {
				b.screen(size[0], size[1], scheme)
				b.call("Page.navigate", map[string]any{"url": s.url("/")})
				b.until(`document.activeElement?.id === "token"`)
				require.LessOrEqual(t, b.eval("document.documentElement.scrollWidth"), float64(size[0]))
				b.screenshot(fmt.Sprintf("login-%s-%d", scheme, size[0]))
			}
		}
		for _, try := range [][2]string{{"wrong", "This is not the token."}, {token, ""}} {
			b.call("Input.insertText", map[string]any{"text": try[0]})
			b.press("Enter", 13, "\r")
			if try[1] != "" {
				b.until(`document.getElementById("why")?.textContent === "` + try[1] + `" && document.activeElement?.id === "token"`)
				b.screenshot("login-wrong")
			}
		}
		b.until(`/^Waiting for the first picture/.test(document.getElementById("overlay")?.textContent)`)
		b.errors = nil // 401 is one
	})
	t.Run("nothing yet", func(t *testing.T) {
		b.screen(390, 844, "light")
		b.until(`document.getElementById("watch-labels").children.length === 2`)
		for _, text := range []string{"Nothing yet. Each change of the first label is noted here.", "tiger cat\nnot in view", "lynx\nnot in view"} {
			require.Contains(t, b.eval("document.body.innerText"), text)
		}
		require.Equal(t, true, b.eval(`document.getElementById("choose").disabled`))
		b.screenshot("empty")
		camera.Store(present)
		s.Event(stream.Event{Time: time.Now(), Label: "tiger cat", Kind: stream.Start, Prob: 0.62}, nil)
	})

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
		for at, want := range map[string]float64{"0.1, 0.5": 255, "0.9, 0.5": 255, "0.5, 0.05": 255, "0.5, 0.5": 0, "0.05, 0.5": 0} {
			require.Equal(t, want, b.eval(`((x, y) => marks.getContext("2d").getImageData(x * marks.width, y * marks.height, 1, 1).data[3])(`+at+`)`), "outline at %s", at)
		}
		host, err := os.Hostname()
		require.NoError(t, err)
		require.Equal(t, host+" · resnet50-keras · edge-classify", b.eval("document.title"))
		require.Equal(t, "62 %", b.eval(`document.querySelector("#labels li .prob").textContent`))
		require.Equal(t, "62%", b.eval(`document.querySelector("#labels li .bar").style.width`))
		b.until(`document.getElementById("announcement").textContent === "tiger cat, 62 percent"`)
		require.Contains(t, b.eval("document.body.innerText"), "tabby, a long <b>name</b> & more", "text, and no HTML")
		for _, text := range []string{"live", "/dev/video0", "640×480 YUYV, 30 fps", "50 ms, 99 of 100 within 50 ms", "61.5 °C, slowed down: under-voltage", "Only the outlined part is looked at.",
			"100 received, 3 lost, 2 damaged, restarted 1×", "resnet50-keras", "neondot", "in view: tiger cat", "results per second", "lynx\nnot in view"} {
			require.Contains(t, b.eval("document.body.innerText"), text)
		}
		b.until(`/^picture is \d\.\d s old$/.test(document.getElementById("age").textContent)`)
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
		for range 6 {
			b.press("Tab", 9, "")
			reached = append(reached, b.eval("document.activeElement.innerText"))
			require.Equal(t, "solid", b.eval("getComputedStyle(document.activeElement).outlineStyle"), "the focus is visible")
		}
		require.Equal(t, []any{"Pause", "Save picture", "Choose region", "Newest picture", "Latest as JSON", "Metrics"}, reached)
		b.eval(`document.getElementById("pause").focus()`)
		b.press("Enter", 13, "\r")
		require.Equal(t, "true", b.eval(`document.getElementById("pause").getAttribute("aria-pressed")`))
		require.Regexp(t, "^paused, picture is", b.eval(`document.getElementById("age").textContent`))
		b.screenshot("paused")
		require.Eventually(t, func() bool { return s.screen.viewers.count() == 0 }, time.Minute, 10*time.Millisecond)
		b.press("Enter", 13, "\r")
		b.until(`document.getElementById("overlay").hidden && document.getElementById("age").textContent.startsWith("picture is ")`)
	})
	t.Run("region", func(t *testing.T) {
		b.screen(390, 844, "light")
		flag := `document.getElementById("flag").value`
		b.eval(`document.getElementById("choose").click()`)
		require.Equal(t, "-roi 25%,25%,50%,50%", b.eval(flag))
		b.drag("mouse", 0.1, 0.2, 0.6, 0.8)
		b.until(flag + ` === "-roi 10%,20%,50%,60%"`)
		b.screenshot("region")
		b.screen(390, 844, "dark")
		b.screenshot("region-dark")
		b.press("ArrowRight", 39, "")
		require.Equal(t, "-roi 11%,20%,50%,60%", b.eval(flag))
		b.call("Input.dispatchKeyEvent", map[string]any{"type": "keyDown", "key": "ArrowUp", "modifiers": 8})
		require.Equal(t, "-roi 11%,20%,50%,59%", b.eval(flag))
		b.drag("touch", 0.9, 0.9, 0.7, 0.5)
		b.until(flag + ` === "-roi 70%,50%,20%,40%"`)
		b.drag("touch", 0.5, 0.5, 1.05, 0.5001) // beyond the edge, and lower than can be classified
		b.until("/^-roi 50%,50%,50%,[2-9]%$/.test(" + flag + ")")
		last := b.eval(flag).(string)
		roi, err := preprocess.ParseROI(strings.TrimPrefix(last, "-roi "))
		require.NoError(t, err)
		_, err = roi.Pixels(cat(0).Width, cat(0).Height)
		require.NoError(t, err)
		b.eval(`document.getElementById("copy").click()`)
		b.until(`document.getElementById("copy").textContent === "Copied"`)
		b.eval(`document.getElementById("choose").click()`)
		b.drag("mouse", 0.1, 0.2, 0.6, 0.8)
		require.Equal(t, last, b.eval(flag), "done")
		b.eval(`document.getElementById("choose").click()`)
		b.press("Escape", 27, "")
		require.Equal(t, true, b.eval(`document.getElementById("region").hidden`))
		require.Equal(t, "", b.eval(flag))
		b.screen(1280, 800, "light")
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
		for _, want := range []string{"banner", "main", "contentinfo", "navigation Data", "region Camera", "region What it sees", "region Watched labels",
			"region Numbers", "region Lately", "button Pause", "image Live picture of the camera"} {
			require.Positive(t, roles[want], "%s in %v", want, roles)
		}
	})
	require.Empty(t, b.errors, "the page logs no errors")

	t.Run("a camera that is gone", func(t *testing.T) {
		camera.Store(gone)
		missing := streaming()
		missing.State, missing.Error = capture.Missing, "rpicam-vid: exit status 255: unplugged"
		s.Status(missing)
		b.until(`/^No picture for .* s\nThe camera is not connected. .*\nrpicam-vid: unplugged$/.test(document.getElementById("overlay").textContent)`)
		require.Equal(t, false, b.eval(`document.getElementById("overlay").hidden`))
		require.Equal(t, "not connected", b.eval(`document.getElementById("camera-state").textContent`))
		require.Equal(t, true, b.eval(`document.getElementById("still").inert`), "there is no picture to save")
		require.Contains(t, b.eval(`document.getElementById("announcement").textContent`), "No picture for")
		b.screenshot("no-picture")
		b.screen(390, 844, "dark")
		b.screenshot("no-picture-phone")
		b.screen(1280, 800, "light")
		camera.Store(present)
		s.Status(streaming())
		b.until(`document.getElementById("overlay").hidden`)
	})
}
