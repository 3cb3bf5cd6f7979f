package live

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/capture"
	"edgeclassify/internal/browsertest"
	"edgeclassify/preprocess"
	"edgeclassify/stream"
)

const screenshots = "../build/screenshots"

// drag moves a mouse or a finger over the picture, from one point in it to another,
// in fractions of its size.
func drag(t *testing.T, b *browsertest.Browser, by string, fromX, fromY, toX, toY float64) {
	t.Helper()
	b.Eval(`document.getElementById("picture").scrollIntoView()`)
	at := b.Eval(`(r => [r.x, r.y, r.width, r.height])(document.getElementById("canvas").getBoundingClientRect())`).([]any)
	point := func(x, y float64) map[string]any {
		return map[string]any{"x": at[0].(float64) + x*at[2].(float64), "y": at[1].(float64) + y*at[3].(float64)}
	}
	for i, p := range []map[string]any{point(fromX, fromY), point((fromX+toX)/2, (fromY+toY)/2), point(toX, toY), point(toX, toY)} {
		if by == "touch" {
			event := map[string]any{"type": [...]string{"touchStart", "touchMove", "touchMove", "touchEnd"}[i], "touchPoints": []any{p}}
			if i == 3 {
				event["touchPoints"] = []any{}
			}
			b.Call("Input.dispatchTouchEvent", event)
			continue
		}
		p["type"], p["button"], p["buttons"] = [...]string{"mousePressed", "mouseMoved", "mouseMoved", "mouseReleased"}[i], "left", 1
		b.Call("Input.dispatchMouseEvent", p)
	}
}

// pixel is an expression for the brightness of the picture's pixels, summed.
const pixel = `[...document.getElementById("canvas").getContext("2d").getImageData(0, 0, 64, 64).data].reduce((a, b) => a + b)`

func TestPageInBrowser(t *testing.T) {
	b := browsertest.Launch(t, screenshots)
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
				b.Screen(size[0], size[1], scheme)
				b.Call("Page.navigate", map[string]any{"url": s.url("/")})
				b.Until(`document.activeElement?.id === "token"`)
				require.LessOrEqual(t, b.Eval("document.documentElement.scrollWidth"), float64(size[0]))
				b.Screenshot(fmt.Sprintf("login-%s-%d", scheme, size[0]))
			}
		}
		for _, try := range [][2]string{{"wrong", "This is not the token."}, {token, ""}} {
			b.Call("Input.insertText", map[string]any{"text": try[0]})
			b.Press("Enter", 13, "\r")
			if try[1] != "" {
				b.Until(`document.getElementById("why")?.textContent === "` + try[1] + `" && document.activeElement?.id === "token"`)
				b.Screenshot("login-wrong")
			}
		}
		b.Until(`/^Waiting for the first picture/.test(document.getElementById("overlay")?.textContent)`)
		b.Errors = nil // 401 is one
	})
	t.Run("nothing yet", func(t *testing.T) {
		b.Screen(390, 844, "light")
		b.Until(`document.getElementById("watch-labels").children.length === 2`)
		for _, text := range []string{"Nothing yet. Each change of the first label is noted here.", "tiger cat\nnot in view", "lynx\nnot in view"} {
			require.Contains(t, b.Eval("document.body.innerText"), text)
		}
		require.Equal(t, true, b.Eval(`document.getElementById("choose").disabled`))
		b.Screenshot("empty")
		camera.Store(present)
		s.Event(stream.Event{Time: time.Now(), Label: "tiger cat", Kind: stream.Start, Prob: 0.62}, nil)
	})

	b.Screen(1280, 800, "light")
	b.Call("Page.navigate", map[string]any{"url": s.url("/?token=correct+horse+battery")})
	b.Until(`document.readyState === "complete" && document.getElementById("overlay")?.hidden`)
	b.Until(`document.querySelector("#labels li .label")?.textContent === "tiger cat"`)
	require.Equal(t, "/", b.Eval("location.pathname + location.search"), "the token does not stay in the address bar")

	t.Run("shows picture, labels and numbers", func(t *testing.T) {
		config := cat(0)
		require.EqualValues(t, config.Width, b.Eval("canvas.width"))
		require.EqualValues(t, config.Height, b.Eval("canvas.height"))
		require.Greater(t, b.Eval(pixel), 64*64*300., "not black")
		for at, want := range map[string]float64{"0.1, 0.5": 255, "0.9, 0.5": 255, "0.5, 0.05": 255, "0.5, 0.5": 0, "0.05, 0.5": 0} {
			require.Equal(t, want, b.Eval(`((x, y) => marks.getContext("2d").getImageData(x * marks.width, y * marks.height, 1, 1).data[3])(`+at+`)`), "outline at %s", at)
		}
		host, err := os.Hostname()
		require.NoError(t, err)
		require.Equal(t, host+" · resnet50-keras · edge-classify", b.Eval("document.title"))
		require.Equal(t, "62 %", b.Eval(`document.querySelector("#labels li .prob").textContent`))
		require.Equal(t, "62%", b.Eval(`document.querySelector("#labels li .bar").style.width`))
		b.Until(`document.getElementById("announcement").textContent === "tiger cat, 62 percent"`)
		require.Contains(t, b.Eval("document.body.innerText"), "tabby, a long <b>name</b> & more", "text, and no HTML")
		for _, text := range []string{"live", "/dev/video0", "640×480 YUYV, 30 fps", "50 ms, 99 of 100 within 50 ms", "61.5 °C, slowed down: under-voltage", "Only the outlined part is looked at.",
			"100 received, 3 lost, 2 damaged, restarted 1×", "resnet50-keras", "neondot", "in view: tiger cat", "results per second", "lynx\nnot in view"} {
			require.Contains(t, b.Eval("document.body.innerText"), text)
		}
		b.Until(`/^picture is \d\.\d s old$/.test(document.getElementById("age").textContent)`)
	})
	t.Run("looks", func(t *testing.T) {
		b.Screenshot("light")
		b.Screen(1280, 800, "dark")
		b.Screenshot("dark")
		b.Screen(390, 844, "light")
		require.LessOrEqual(t, b.Eval("document.documentElement.scrollWidth"), 390., "no sideways scrolling")
		b.Screenshot("phone")
		b.Screen(320, 640, "dark")
		require.LessOrEqual(t, b.Eval("document.documentElement.scrollWidth"), 320.)
		b.Screenshot("small-phone")
		b.Screen(1280, 800, "light")
	})
	t.Run("keyboard", func(t *testing.T) {
		var reached []any
		for range 6 {
			b.Press("Tab", 9, "")
			reached = append(reached, b.Eval("document.activeElement.innerText"))
			require.Equal(t, "solid", b.Eval("getComputedStyle(document.activeElement).outlineStyle"), "the focus is visible")
		}
		require.Equal(t, []any{"Pause", "Save picture", "Choose region", "Newest picture", "Latest as JSON", "Metrics"}, reached)
		b.Eval(`document.getElementById("pause").focus()`)
		b.Press("Enter", 13, "\r")
		require.Equal(t, "true", b.Eval(`document.getElementById("pause").getAttribute("aria-pressed")`))
		require.Regexp(t, "^paused, picture is", b.Eval(`document.getElementById("age").textContent`))
		b.Screenshot("paused")
		require.Eventually(t, func() bool { return s.screen.viewers.count() == 0 }, time.Minute, 10*time.Millisecond)
		b.Press("Enter", 13, "\r")
		b.Until(`document.getElementById("overlay").hidden && document.getElementById("age").textContent.startsWith("picture is ")`)
	})
	t.Run("region", func(t *testing.T) {
		b.Screen(390, 844, "light")
		flag := `document.getElementById("flag").value`
		b.Eval(`document.getElementById("choose").click()`)
		require.Equal(t, "-roi 25%,25%,50%,50%", b.Eval(flag))
		drag(t, b, "mouse", 0.1, 0.2, 0.6, 0.8)
		b.Until(flag + ` === "-roi 10%,20%,50%,60%"`)
		b.Screenshot("region")
		b.Screen(390, 844, "dark")
		b.Screenshot("region-dark")
		b.Press("ArrowRight", 39, "")
		require.Equal(t, "-roi 11%,20%,50%,60%", b.Eval(flag))
		b.Call("Input.dispatchKeyEvent", map[string]any{"type": "keyDown", "key": "ArrowUp", "modifiers": 8})
		require.Equal(t, "-roi 11%,20%,50%,59%", b.Eval(flag))
		drag(t, b, "touch", 0.9, 0.9, 0.7, 0.5)
		b.Until(flag + ` === "-roi 70%,50%,20%,40%"`)
		drag(t, b, "touch", 0.5, 0.5, 1.05, 0.5001) // beyond the edge, and lower than can be classified
		b.Until("/^-roi 50%,50%,50%,[2-9]%$/.test(" + flag + ")")
		last := b.Eval(flag).(string)
		roi, err := preprocess.ParseROI(strings.TrimPrefix(last, "-roi "))
		require.NoError(t, err)
		_, err = roi.Pixels(cat(0).Width, cat(0).Height)
		require.NoError(t, err)
		b.Eval(`document.getElementById("copy").click()`)
		b.Until(`document.getElementById("copy").textContent === "Copied"`)
		b.Eval(`document.getElementById("choose").click()`)
		drag(t, b, "mouse", 0.1, 0.2, 0.6, 0.8)
		require.Equal(t, last, b.Eval(flag), "done")
		b.Eval(`document.getElementById("choose").click()`)
		b.Press("Escape", 27, "")
		require.Equal(t, true, b.Eval(`document.getElementById("region").hidden`))
		require.Equal(t, "", b.Eval(flag))
		b.Screen(1280, 800, "light")
	})
	t.Run("several labels at once", func(t *testing.T) {
		b.Until(`showResult({independent: true, top: [{label: "cat", prob: 0.9}, {label: "dog", prob: 0.5}, {label: "elk", prob: 0.49}]}),
			document.getElementById("announcement").textContent === "cat, 90 percent; dog, 50 percent"`)
	})
	t.Run("screen reader", func(t *testing.T) {
		roles := map[string]int{}
		for _, node := range b.Call("Accessibility.getFullAXTree", nil)["nodes"].([]any) {
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
	require.Empty(t, b.Errors, "the page logs no errors")

	t.Run("a camera that is gone", func(t *testing.T) {
		camera.Store(gone)
		missing := streaming()
		missing.State, missing.Error = capture.Missing, "rpicam-vid: exit status 255: unplugged"
		s.Status(missing)
		b.Until(`/^No picture for .* s\nThe camera is not connected. .*\nrpicam-vid: unplugged$/.test(document.getElementById("overlay").textContent)`)
		require.Equal(t, false, b.Eval(`document.getElementById("overlay").hidden`))
		require.Equal(t, "not connected", b.Eval(`document.getElementById("camera-state").textContent`))
		require.Equal(t, true, b.Eval(`document.getElementById("still").inert`), "there is no picture to save")
		require.Contains(t, b.Eval(`document.getElementById("announcement").textContent`), "No picture for")
		b.Screenshot("no-picture")
		b.Screen(390, 844, "dark")
		b.Screenshot("no-picture-phone")
		b.Screen(1280, 800, "light")
		camera.Store(present)
		s.Status(streaming())
		b.Until(`document.getElementById("overlay").hidden`)
	})
}
