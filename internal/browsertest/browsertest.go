// Package browsertest drives Chromium, for tests of pages.
package browsertest

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/testneed"
)

// Browser is a tab of Chromium, driven through its DevTools protocol over
// pipes: JSON messages that end in a zero byte.
type Browser struct {
	Errors  []string // that the page logged
	t       *testing.T
	shots   string // folder of screenshots
	in      *os.File
	out     *bufio.Reader
	session string
	id      int
	pointed map[string]any // where the mouse was pressed
}

type message struct {
	ID     int             `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  json.RawMessage `json:"error,omitempty"`
}

// Launch starts one, which ends with the test. Screenshots are kept in a folder, for
// people to look at.
func Launch(t *testing.T, screenshots string) *Browser {
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
	b := &Browser{t: t, shots: screenshots, in: toBrowser, out: bufio.NewReaderSize(fromBrowser, 1<<20)}
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
	target := b.Call("Target.createTarget", map[string]any{"url": "about:blank"})
	attached := b.Call("Target.attachToTarget", map[string]any{"targetId": target["targetId"], "flatten": true})
	b.session = attached["sessionId"].(string)
	for _, domain := range []string{"Page", "Runtime", "Log", "Accessibility"} {
		b.Call(domain+".enable", nil)
	}
	return b
}

// Call sends a command and waits for its result. Errors that the page logs
// meanwhile are kept.
func (b *Browser) Call(method string, params map[string]any) map[string]any {
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

func (b *Browser) listen(m message) {
	var p struct {
		Type  string
		Entry struct{ Level string }
	}
	_ = json.Unmarshal(m.Params, &p) // messages of other forms are of no interest
	if m.Method == "Runtime.exceptionThrown" ||
		m.Method == "Runtime.consoleAPICalled" && p.Type == "error" ||
		m.Method == "Log.entryAdded" && p.Entry.Level == "error" {
		b.Errors = append(b.Errors, string(m.Params))
	}
}

// Eval returns the value of a JavaScript expression.
func (b *Browser) Eval(expression string) any {
	b.t.Helper()
	answer := b.Call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true})
	require.NotContains(b.t, answer, "exceptionDetails", "%s: %v", expression, answer)
	return answer["result"].(map[string]any)["value"]
}

// Until waits for an expression to be true.
func (b *Browser) Until(expression string) {
	b.t.Helper()
	for start := time.Now(); b.Eval(expression) != true; time.Sleep(50 * time.Millisecond) {
		require.Less(b.t, time.Since(start), time.Minute, "%s; the page says: %v %v", expression, b.Eval("document.body?.innerText"), b.Eval(`document.getElementById("flag")?.value`))
	}
}

// Screen sets the size of the page and whether it is "light" or "dark".
func (b *Browser) Screen(width, height int, scheme string) {
	b.Call("Emulation.setDeviceMetricsOverride", map[string]any{
		"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
	b.Call("Emulation.setEmulatedMedia", map[string]any{"features": []any{
		map[string]any{"name": "prefers-color-scheme", "value": scheme}}})
}

// Press presses and releases a key.
func (b *Browser) Press(key string, code int, text string) {
	for _, kind := range []string{"keyDown", "keyUp"} {
		p := map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
		if kind == "keyDown" {
			p["text"] = text
		}
		b.Call("Input.dispatchKeyEvent", p)
	}
}

// Screenshot keeps a picture of the whole page.
func (b *Browser) Screenshot(name string) {
	b.t.Helper()
	answer := b.Call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true})
	data, err := base64.StdEncoding.DecodeString(answer["data"].(string))
	require.NoError(b.t, err)
	require.NoError(b.t, os.MkdirAll(b.shots, 0o755))
	require.NoError(b.t, os.WriteFile(filepath.Join(b.shots, name+".png"), data, 0o644))
}

// Find is an expression for the visible button of that name, or another element
// that a selector stands for.
func Find(name string) string {
	if strings.ContainsAny(name, "#.[") {
		return `document.querySelector(` + strconv.Quote(name) + `)`
	}
	return `[...document.querySelectorAll("button, a.button")].find(e => (e.ariaLabel ?? e.textContent) === ` + strconv.Quote(name) + ` && e.checkVisibility())`
}

// at is the middle of an element, scrolled to, which nothing covers.
func (b *Browser) at(name string) map[string]any {
	b.t.Helper()
	b.Until(`((e) => {
		if (!e) return false;
		e.scrollIntoView({block: "center", inline: "center"});
		const r = e.getBoundingClientRect();
		return e.contains(document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2));
	})(` + Find(name) + `)`)
	at := b.Eval(`(r => [r.x + r.width / 2, r.y + r.height / 2])(` + Find(name) + `.getBoundingClientRect())`).([]any)
	return map[string]any{"x": at[0], "y": at[1]}
}

// Down presses an element and leaves it pressed, Up ends that: "mouse", "touch", or
// the key " " or "Enter".
func (b *Browser) Down(by, name string) { b.t.Helper(); b.hold(by, name, true) }
func (b *Browser) Up(by string)         { b.t.Helper(); b.hold(by, "", false) }

func (b *Browser) hold(by, name string, down bool) {
	b.t.Helper()
	kind := func(down1, up string) string {
		if down {
			return down1
		}
		return up
	}
	switch by {
	case "mouse":
		if down {
			b.pointed = b.at(name)
		}
		event := map[string]any{"type": kind("mousePressed", "mouseReleased"), "button": "left", "clickCount": 1, "x": b.pointed["x"], "y": b.pointed["y"]}
		b.Call("Input.dispatchMouseEvent", event)
	case "touch":
		points := []any{}
		if down {
			points = append(points, b.at(name))
		}
		b.Call("Input.dispatchTouchEvent", map[string]any{"type": kind("touchStart", "touchEnd"), "touchPoints": points})
	default:
		if down {
			b.at(name)
			b.Eval(Find(name) + `.focus()`)
		}
		code := map[string]int{" ": 32, "Enter": 13}[by]
		event := map[string]any{"type": kind("keyDown", "keyUp"), "key": by, "windowsVirtualKeyCode": code}
		if down {
			event["text"] = map[string]string{" ": " ", "Enter": "\r"}[by]
		}
		b.Call("Input.dispatchKeyEvent", event)
	}
}

// Click presses and releases an element, as Down and Up do.
func (b *Browser) Click(by, name string) {
	b.t.Helper()
	b.Down(by, name)
	b.Up(by)
}
