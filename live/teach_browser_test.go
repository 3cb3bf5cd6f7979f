package live

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// find is an expression for the visible button of that name, or another element
// that a selector stands for.
func find(name string) string {
	if strings.ContainsAny(name, "#.[") {
		return `document.querySelector(` + strconv.Quote(name) + `)`
	}
	return `[...document.querySelectorAll("button, a.button")].find(e => (e.ariaLabel ?? e.textContent) === ` + strconv.Quote(name) + ` && e.checkVisibility())`
}

// at is the middle of an element, scrolled to, which nothing covers.
func (b *browser) at(name string) map[string]any {
	b.t.Helper()
	b.until(`((e) => {
		if (!e) return false;
		e.scrollIntoView({block: "center", inline: "center"});
		const r = e.getBoundingClientRect();
		return e.contains(document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2));
	})(` + find(name) + `)`)
	at := b.eval(`(r => [r.x + r.width / 2, r.y + r.height / 2])(` + find(name) + `.getBoundingClientRect())`).([]any)
	return map[string]any{"x": at[0], "y": at[1]}
}

// down presses an element and leaves it pressed, up ends that: "mouse", "touch", or
// the key " " or "Enter".
func (b *browser) down(by, name string) { b.t.Helper(); b.hold(by, name, true) }
func (b *browser) up(by string)         { b.t.Helper(); b.hold(by, "", false) }

func (b *browser) hold(by, name string, down bool) {
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
		b.call("Input.dispatchMouseEvent", event)
	case "touch":
		points := []any{}
		if down {
			points = append(points, b.at(name))
		}
		b.call("Input.dispatchTouchEvent", map[string]any{"type": kind("touchStart", "touchEnd"), "touchPoints": points})
	default:
		if down {
			b.at(name)
			b.eval(find(name) + `.focus()`)
		}
		code := map[string]int{" ": 32, "Enter": 13}[by]
		event := map[string]any{"type": kind("keyDown", "keyUp"), "key": by, "windowsVirtualKeyCode": code}
		if down {
			event["text"] = map[string]string{" ": " ", "Enter": "\r"}[by]
		}
		b.call("Input.dispatchKeyEvent", event)
	}
}

func (b *browser) click(by, name string) {
	b.t.Helper()
	b.down(by, name)
	b.up(by)
}

// says waits for what the panel says last.
func (b *browser) says(text string) {
	b.t.Helper()
	b.until(`document.getElementById("teach-said").textContent.includes(` + strconv.Quote(text) + `)`)
}

func (b *browser) addLabel(by, name string) {
	b.t.Helper()
	b.at("#teach-name")
	b.eval(`document.getElementById("teach-name").focus()`)
	b.call("Input.insertText", map[string]any{"text": name})
	if by == "Enter" {
		b.press("Enter", 13, "\r")
	} else {
		b.click(by, "Add")
	}
	b.says(name + " added")
	b.until(`document.getElementById("teach-name").value === "" && ` + find("Hold to collect "+name) + ` !== undefined`)
}

func TestTeachInBrowser(t *testing.T) {
	b := launch(t)
	t.Run("no panel without a teacher", func(t *testing.T) {
		plain := serve(t, Options{Token: token, Stale: time.Minute})
		plain.Model(cats("resnet50-keras"))
		b.call("Page.navigate", map[string]any{"url": plain.url("/?token=correct+horse+battery")})
		b.until(`document.getElementById("camera-state")?.textContent === "starting" && document.getElementById("model").textContent === "resnet50-keras"`)
		require.Equal(t, true, b.eval(`document.getElementById("teach").hidden`))
		b.call("Page.navigate", map[string]any{"url": "about:blank"})
		b.until(`location.href === "about:blank"`)
	})
	pupil := newTeacher()
	s := serve(t, Options{Token: token, Teach: pupil, Stale: time.Minute})
	s.Model(cats("resnet50-keras"))
	s.Status(streaming())
	cat := photo(t, "cat.jpg")
	stop := make(chan struct{})
	ended := inBackground(func() {
		for n := uint64(1); ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
			f := cat(n)
			s.show(f)
			pupil.take(f.Data)
		}
	})
	defer func() { close(stop); <-ended }()
	label := func(name string) TeachLabel {
		for _, l := range pupil.State().Labels {
			if l.Name == name {
				return l
			}
		}
		return TeachLabel{}
	}
	collects := func(name string) {
		t.Helper()
		require.Eventually(t, func() bool { return pupil.State().Collecting == name }, time.Minute, time.Millisecond, "collecting %q", name)
	}
	looks := func(name string) {
		for _, size := range [][2]int{{390, 844}, {1280, 800}} {
			for _, scheme := range []string{"light", "dark"} {
				b.screen(size[0], size[1], scheme)
				b.eval(`document.getElementById("teach").scrollIntoView()`)
				require.LessOrEqual(t, b.eval("document.documentElement.scrollWidth"), float64(size[0]), "no sideways scrolling")
				b.screenshot(fmt.Sprintf("teach-%s-%s-%d", name, scheme, size[0]))
			}
		}
		b.screen(320, 640, "light")
		require.LessOrEqual(t, b.eval("document.documentElement.scrollWidth"), 320.)
		b.screen(1280, 800, "light")
	}
	focused := func(name string) string { return `document.activeElement === ` + find(name) }

	b.screen(1280, 800, "light")
	b.call("Page.navigate", map[string]any{"url": s.url("/?token=correct+horse+battery")})
	b.until(`document.readyState === "complete" && document.getElementById("overlay")?.hidden && !document.getElementById("teach").hidden`)

	t.Run("labels", func(t *testing.T) {
		looks("empty")
		require.Equal(t, true, b.eval(find("Train")+`.disabled`))
		require.Contains(t, b.eval(`document.getElementById("teach").innerText`), "Before training: photographs of two labels at least.")
		b.addLabel("Enter", "cup")
		b.addLabel("mouse", `<b>"ä"</b> & keys`)
		b.addLabel("touch", "spoon")
		require.Equal(t, []any{"cup", `<b>"ä"</b> & keys`, "spoon"}, b.eval(`[...document.querySelectorAll("#taught h3")].map(e => e.textContent)`))
		b.call("Input.insertText", map[string]any{"text": "cup"})
		b.click("mouse", "Add")
		b.says(`there is a label "cup" already`)
		require.Equal(t, "cup", b.eval(`document.getElementById("teach-name").value`), "to be changed")
		b.eval(`document.getElementById("teach-name").value = ""`)

		b.click(" ", `Rename <b>"ä"</b> & keys`)
		b.until(`document.activeElement.id === "teach-to" && document.activeElement.value === '<b>"ä"</b> & keys'`)
		b.call("Input.insertText", map[string]any{"text": "keys"})
		b.screenshot("teach-rename")
		b.press("Enter", 13, "\r")
		b.says("is called keys")
		b.until(focused("Rename keys"))
		b.click("mouse", "Rename keys")
		b.until(`document.activeElement.id === "teach-to"`)
		b.press("Escape", 27, "")
		b.until(focused("Rename keys") + ` && !document.getElementById("teach-ask").open`)

		for _, by := range []string{"mouse", "touch", "Enter"} {
			b.click(by, "Remove spoon")
			b.until(`document.activeElement.id === "teach-keep"`)
			b.click(by, "Keep it")
			b.until(`!document.getElementById("teach-ask").open`)
		}
		require.Equal(t, "", strings.Join(onlyCalls(pupil, "remove"), ""))
		b.click("mouse", "Remove spoon")
		b.until(`document.activeElement.id === "teach-keep"`)
		require.Contains(t, b.eval(`document.getElementById("teach-ask").innerText`), "Remove spoon? This cannot be undone.")
		b.screenshot("teach-remove")
		b.click("mouse", "#teach-do")
		b.says("spoon removed")
		b.until(`document.querySelectorAll("#taught h3").length === 2 && document.activeElement.id === "teach-name"`)
	})
	t.Run("press and hold", func(t *testing.T) {
		for _, by := range []string{"mouse", "touch", " ", "Enter"} {
			for _, size := range []int{1280, 390} {
				b.screen(size, 800, "light")
				had := label("cup").Count
				b.down(by, "Hold to collect cup")
				collects("cup")
				b.until(fmt.Sprintf(`document.querySelectorAll("#taught .card:first-child .thumbs li").length >= %d`, had+3))
				require.Equal(t, "true", b.eval(find("Hold to collect cup")+`.getAttribute("aria-pressed")`))
				if by == "touch" && size == 390 {
					b.screenshot("teach-held")
				}
				b.up(by)
				collects("")
				b.says("cup: ")
				b.until(find("Hold to collect cup") + `.getAttribute("aria-pressed") === "false"`)
			}
		}
		b.screen(1280, 800, "light")
		b.click("mouse", "Hold to collect keys")
		require.Eventually(t, func() bool { return label("keys").Count > 0 && pupil.State().Collecting == "" }, time.Minute, time.Millisecond, "a short press takes a photograph")
		menu := b.eval(`!` + find("Hold to collect keys") + `.dispatchEvent(new Event("contextmenu", {cancelable: true}))`)
		require.Equal(t, true, menu, "no menu opens where a finger rests")
	})
	t.Run("what ends a press", func(t *testing.T) {
		for name, end := range map[string]func(){
			"pointercancel": func() {
				b.call("Input.dispatchTouchEvent", map[string]any{"type": "touchCancel", "touchPoints": []any{}})
			},
			"window loses the focus": func() { b.eval(`window.dispatchEvent(new Event("blur"))`) },
			"tab is hidden": func() {
				b.eval(`Object.defineProperty(document, "hidden", {value: true, configurable: true}), document.dispatchEvent(new Event("visibilitychange"))`)
			},
			"focus moves on": func() { b.eval(`document.getElementById("teach-name").focus()`) },
		} {
			by := " "
			if name == "pointercancel" {
				by = "touch"
			}
			b.down(by, "Hold to collect cup")
			collects("cup")
			end()
			collects("")
			b.eval(`delete document.hidden, document.dispatchEvent(new Event("visibilitychange"))`)
			if by == " " {
				b.up(by)
			}
			time.Sleep(10 * time.Millisecond)
			require.Empty(t, pupil.State().Collecting, name)
		}
		b.down("mouse", "Hold to collect cup")
		collects("cup")
		b.call("Page.navigate", map[string]any{"url": "about:blank"})
		collects("")
		b.up("mouse")
		b.call("Page.navigate", map[string]any{"url": s.url("/")})
		b.until(`document.querySelectorAll("#taught h3").length === 2`)

		pupil.asked()
		b.down("mouse", "Hold to collect cup")
		require.Eventually(t, func() bool { return len(pupil.State().Labels[0].IDs) > 0 && len(pupil.calls) >= 4 }, time.Minute, time.Millisecond)
		require.Equal(t, "cup", pupil.State().Collecting, "a button that is held is said to be")
		b.call("Network.enable", nil)
		offline := func(on bool) {
			b.call("Network.emulateNetworkConditions", map[string]any{"offline": on, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1})
		}
		offline(true)
		collects("")
		b.says("no connection to the program")
		b.up("mouse")
		offline(false)
		b.errors = nil
	})
	t.Run("screen reader", func(t *testing.T) {
		b.eval(find("Hold to collect keys") + `.click()`) // as assistive technology does
		collects("keys")
		b.until(find("Hold to collect keys") + `.getAttribute("aria-pressed") === "true"`)
		require.Eventually(t, func() bool { return label("keys").Count > 2 }, time.Minute, time.Millisecond)
		b.eval(find("Hold to collect keys") + `.click()`)
		collects("")
		names := map[string]int{}
		for _, node := range b.call("Accessibility.getFullAXTree", nil)["nodes"].([]any) {
			if role, ok := node.(map[string]any)["role"].(map[string]any); ok {
				name, _ := node.(map[string]any)["name"].(map[string]any)
				names[fmt.Sprint(role["value"], " ", name["value"])]++
			}
		}
		for _, want := range []string{"region Teach it", "region Camera", "button Hold to collect cup", "button Rename cup", "button Remove cup", "list Photographs of cup, newest first",
			"button Delete photograph of cup", "textbox Label", "button Train"} {
			require.Positive(t, names[want], "%s in %v", want, names)
		}
		require.Equal(t, "status", b.eval(`document.getElementById("teach-said").getAttribute("role")`))
	})
	t.Run("photographs", func(t *testing.T) {
		shown := func() []any {
			return b.eval(`[...document.querySelectorAll("#taught .card:first-child .thumbs li")].map(e => e.dataset.id)`).([]any)
		}
		same := func() {
			t.Helper()
			b.until(`taught.labels[0].ids.join() === "` + strings.Join(label("cup").IDs, ",") + `"`)
			var got []string
			for _, id := range shown() {
				got = append(got, id.(string))
			}
			require.Equal(t, label("cup").IDs, got, "newest first")
		}
		same()
		b.until(`[...document.querySelectorAll("#taught .card:first-child .thumbs img")].slice(0, 3).every(img => img.complete && img.naturalWidth > 0)`)
		n := label("cup").Count
		b.eval(find("Hold to collect cup") + `.focus()`)
		for range 3 {
			b.press("Tab", 9, "")
		}
		require.Equal(t, "Delete photograph of cup", b.eval(`document.activeElement.ariaLabel`), "one stop of Tab")
		b.press("ArrowRight", 39, "")
		b.press("ArrowRight", 39, "")
		third, fourth := label("cup").IDs[2], label("cup").IDs[3]
		b.press("Enter", 13, "\r")
		b.says("Photograph of cup deleted")
		b.until(`document.activeElement.parentElement.dataset.id === "` + fourth + `"`)
		require.NotContains(t, label("cup").IDs, third)
		same()
		b.press("End", 35, "")
		b.until(`document.activeElement.previousSibling.naturalWidth > 0`)
		b.press("Enter", 13, "\r")
		b.until(fmt.Sprintf(`document.querySelectorAll("#taught .card:first-child .thumbs li").length === %d`, n-2))
		require.Equal(t, shown()[n-3], b.eval(`document.activeElement.parentElement.dataset.id`), "the focus moves to the last that is left")
		b.press("Tab", 9, "")
		require.Equal(t, "Hold to collect keys", b.eval(`document.activeElement.ariaLabel`))
		for i, by := range []string{"mouse", "touch"} {
			first := label("cup").IDs[0]
			b.click(by, "#taught .card:first-child .thumbs li:first-child .delete")
			b.until(fmt.Sprintf(`document.querySelectorAll("#taught .card:first-child .thumbs li").length === %d`, n-3-i))
			require.NotContains(t, label("cup").IDs, first)
		}
		same()
	})
	t.Run("training", func(t *testing.T) {
		b.click("mouse", "Train")
		b.says("Training has begun")
		b.until(focused("Cancel training"))
		pupil.step(Training{Running: true, Step: "comparing methods", Done: 10, Total: 40})
		b.until(`document.getElementById("teach-progress").position === 0.25 && document.getElementById("teach-step").textContent === "Training: comparing methods"`)
		looks("training")
		b.press("Enter", 13, "\r")
		b.says("Training has ended")
		b.until(focused("Train"))
		require.Equal(t, true, b.eval(`document.getElementById("teach-result").hidden`))

		b.click(" ", "Train")
		b.until(focused("Cancel training"))
		pupil.step(Training{Error: "trainer: samples: the disk is full"})
		b.says("Training failed: the disk is full")
		require.Equal(t, true, b.eval(`document.getElementById("teach-said").classList.contains("warning")`))

		b.click("touch", "Train")
		b.until(`document.getElementById("teach-train").hidden`)
		pupil.step(Training{Of: 30, Accuracy: 28. / 30, Low: 0.787, High: 0.9815, Warnings: []string{"keys has 3 photographs only"},
			Suspects: []TeachSample{{"cup", label("cup").IDs[1]}}})
		b.says("Training has ended")
		text := b.eval(`document.getElementById("teach").innerText`)
		require.Contains(t, text, "28 of 30 photographs were recognized by what was learnt from the others. Of 100 further ones like them, expect 78 to 99.")
		require.Contains(t, text, "keys has 3 photographs only")
		require.Contains(t, text, "1 photograph may be under the wrong label")
		require.Equal(t, label("cup").IDs[1], b.eval(`document.querySelector(".suspect").dataset.id`))
		looks("trained")
		b.click("mouse", "Use it")
		b.says("In use: taught classifier 1")
		b.until(focused("Train"))
		b.click("Enter", "Undo")
		b.says("In use: the model's own labels")
		require.Equal(t, []string{"train", "cancel", "train", "train", "use", "undo"}, onlyCalls(pupil, "train", "cancel", "use", "undo"))
	})
	t.Run("export", func(t *testing.T) {
		require.Equal(t, true, b.eval(find("Export photographs")+`.checkVisibility()`))
		length := b.eval(`fetch(` + find("Export photographs") + `.href).then(r => r.arrayBuffer()).then(a => a.byteLength)`).(float64)
		var file bytes.Buffer
		require.NoError(t, pupil.Export(&file))
		require.EqualValues(t, file.Len(), length)
		z, err := zip.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
		require.NoError(t, err)
		require.Len(t, z.File, label("cup").Count+label("keys").Count)
	})
	require.Empty(t, b.errors, "the page logs no errors")

	t.Run("errors", func(t *testing.T) {
		pupil.mu.Lock()
		pupil.broken = errors.New("samples: no space left in /var/lib: <i>delete</i> some")
		pupil.mu.Unlock()
		for _, name := range []string{"Hold to collect cup", "Train", "#taught .card:first-child .thumbs li:first-child .delete"} {
			b.eval(`tell("")`)
			b.click("mouse", name)
			b.says("no space left in /var/lib: <i>delete</i> some")
		}
		require.Equal(t, 0., b.eval(`document.querySelectorAll(".thumbs .old").length`), "what could not be deleted is still there")
		require.Equal(t, "false", b.eval(find("Hold to collect cup")+`.getAttribute("aria-pressed")`))
		looks("error")
		pupil.mu.Lock()
		pupil.broken = nil
		pupil.state.Full, pupil.state.BaseChanged, pupil.state.InUse = "there are 1000 photographs, which is the most: delete some", true, 1
		pupil.mu.Unlock()
		pupil.tell()
		b.says("there are 1000 photographs")
		require.Contains(t, b.eval(`document.getElementById("teach-in-use").textContent`), "The model was replaced since that was taught")
		b.errors = nil // the answers
	})
	t.Run("a token that is no longer right", func(t *testing.T) {
		b.call("Network.clearBrowserCookies", nil)
		b.click("mouse", "Train")
		b.says("The token is needed again")
		b.call("Page.navigate", map[string]any{"url": s.url("/?token=correct+horse+battery")})
		b.until(`document.querySelectorAll("#taught h3").length === 2`)
		b.errors = nil
	})
	t.Run("1000 photographs", func(t *testing.T) {
		pupil.mu.Lock()
		for range 1000 - len(pupil.state.Labels[0].IDs) {
			pupil.add(0, cat(0).Data)
		}
		pupil.read = 0
		pupil.mu.Unlock()
		pupil.tell()
		b.until(`document.querySelectorAll("#taught .card:first-child .thumbs li").length === 1000`)
		b.until(`document.querySelector("#taught .card:first-child img").complete`)
		pupil.mu.Lock()
		require.Less(t, pupil.read, 200, "those out of sight are not asked for")
		pupil.mu.Unlock()
		looks("1000")
		last := `document.querySelector("#taught .card:first-child li:last-child img")`
		require.Equal(t, 0., b.eval(last+`.naturalWidth`))
		b.eval(last + `.scrollIntoView()`)
		b.until(last + `.naturalWidth > 0`)
		b.click("mouse", "#taught .card:first-child .thumbs li:last-child .delete")
		b.until(`document.querySelectorAll("#taught .card:first-child .thumbs li").length === 999`)
	})
	require.Empty(t, b.errors)
}

// onlyCalls are those that a teacher got that begin with one of the words.
func onlyCalls(pupil *teacher, words ...string) []string {
	var calls []string
	for _, call := range pupil.asked() {
		for _, word := range words {
			if strings.HasPrefix(call, word) {
				calls = append(calls, call)
			}
		}
	}
	return calls
}
