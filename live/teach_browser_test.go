package live

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/browsertest"
)

// says waits for what the panel says last.
func says(t *testing.T, b *browsertest.Browser, text string) {
	t.Helper()
	b.Until(`document.getElementById("teach-said").textContent.includes(` + strconv.Quote(text) + `)`)
}

func addLabel(t *testing.T, b *browsertest.Browser, by, name string) {
	t.Helper()
	b.Click("mouse", "#teach-name")
	b.Call("Input.insertText", map[string]any{"text": name})
	if by == "Enter" {
		b.Press("Enter", 13, "\r")
	} else {
		b.Click(by, "Add")
	}
	says(t, b, name+" added")
	b.Until(`document.getElementById("teach-name").value === "" && ` + browsertest.Find("Hold to collect "+name) + ` !== undefined`)
}

func TestTeachInBrowser(t *testing.T) {
	b := browsertest.Launch(t, screenshots)
	t.Run("no panel without a teacher", func(t *testing.T) {
		plain := serve(t, Options{Token: token, Stale: time.Minute})
		plain.Model(cats("resnet50-keras"))
		b.Call("Page.navigate", map[string]any{"url": plain.url("/?token=correct+horse+battery")})
		b.Until(`document.getElementById("camera-state")?.textContent === "starting" && document.getElementById("model").textContent === "resnet50-keras"`)
		require.Equal(t, true, b.Eval(`document.getElementById("teach").hidden`))
		b.Call("Page.navigate", map[string]any{"url": "about:blank"})
		b.Until(`location.href === "about:blank"`)
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
				b.Screen(size[0], size[1], scheme)
				b.Eval(`document.getElementById("teach").scrollIntoView()`)
				require.LessOrEqual(t, b.Eval("document.documentElement.scrollWidth"), float64(size[0]), "no sideways scrolling")
				b.Screenshot(fmt.Sprintf("teach-%s-%s-%d", name, scheme, size[0]))
			}
		}
		b.Screen(320, 640, "light")
		require.LessOrEqual(t, b.Eval("document.documentElement.scrollWidth"), 320.)
		b.Screen(1280, 800, "light")
	}
	focused := func(name string) string { return `document.activeElement === ` + browsertest.Find(name) }

	b.Screen(1280, 800, "light")
	b.Call("Page.navigate", map[string]any{"url": s.url("/?token=correct+horse+battery")})
	b.Until(`document.readyState === "complete" && document.getElementById("overlay")?.hidden && !document.getElementById("teach").hidden`)

	t.Run("labels", func(t *testing.T) {
		looks("empty")
		require.Equal(t, true, b.Eval(browsertest.Find("Train")+`.disabled`))
		require.Contains(t, b.Eval(`document.getElementById("teach").innerText`), "Before training: photographs of two labels at least.")
		addLabel(t, b, "Enter", "cup")
		addLabel(t, b, "mouse", `<b>"ä"</b> & keys`)
		addLabel(t, b, "touch", "spoon")
		require.Equal(t, []any{"cup", `<b>"ä"</b> & keys`, "spoon"}, b.Eval(`[...document.querySelectorAll("#taught h3")].map(e => e.textContent)`))
		b.Call("Input.insertText", map[string]any{"text": "cup"})
		b.Click("mouse", "Add")
		says(t, b, `there is a label "cup" already`)
		require.Equal(t, "cup", b.Eval(`document.getElementById("teach-name").value`), "to be changed")
		b.Eval(`document.getElementById("teach-name").value = ""`)

		b.Click(" ", `Rename <b>"ä"</b> & keys`)
		b.Until(`document.activeElement.id === "teach-to" && document.activeElement.value === '<b>"ä"</b> & keys'`)
		b.Call("Input.insertText", map[string]any{"text": "keys"})
		b.Screenshot("teach-rename")
		b.Press("Enter", 13, "\r")
		says(t, b, "is called keys")
		b.Until(focused("Rename keys"))
		b.Click("mouse", "Rename keys")
		b.Until(`document.activeElement.id === "teach-to"`)
		b.Press("Escape", 27, "")
		b.Until(focused("Rename keys") + ` && !document.getElementById("teach-ask").open`)

		for _, by := range []string{"mouse", "touch", "Enter"} {
			b.Click(by, "Remove spoon")
			b.Until(`document.activeElement.id === "teach-keep"`)
			b.Click(by, "Keep it")
			b.Until(`!document.getElementById("teach-ask").open`)
		}
		require.Equal(t, "", strings.Join(onlyCalls(pupil, "remove"), ""))
		b.Click("mouse", "Remove spoon")
		b.Until(`document.activeElement.id === "teach-keep"`)
		require.Contains(t, b.Eval(`document.getElementById("teach-ask").innerText`), "Remove spoon? This cannot be undone.")
		b.Screenshot("teach-remove")
		b.Click("mouse", "#teach-do")
		says(t, b, "spoon removed")
		b.Until(`document.querySelectorAll("#taught h3").length === 2 && document.activeElement.id === "teach-name"`)
	})
	t.Run("press and hold", func(t *testing.T) {
		for _, by := range []string{"mouse", "touch", " ", "Enter"} {
			for _, size := range []int{1280, 390} {
				b.Screen(size, 800, "light")
				had := label("cup").Count
				b.Down(by, "Hold to collect cup")
				collects("cup")
				b.Until(fmt.Sprintf(`document.querySelectorAll("#taught .card:first-child .thumbs li").length >= %d`, had+3))
				require.Equal(t, "true", b.Eval(browsertest.Find("Hold to collect cup")+`.getAttribute("aria-pressed")`))
				if by == "touch" && size == 390 {
					b.Screenshot("teach-held")
				}
				b.Up(by)
				collects("")
				says(t, b, "cup: ")
				b.Until(browsertest.Find("Hold to collect cup") + `.getAttribute("aria-pressed") === "false"`)
			}
		}
		b.Screen(1280, 800, "light")
		b.Click("mouse", "Hold to collect keys")
		require.Eventually(t, func() bool { return label("keys").Count > 0 && pupil.State().Collecting == "" }, time.Minute, time.Millisecond, "a short press takes a photograph")
		menu := b.Eval(`!` + browsertest.Find("Hold to collect keys") + `.dispatchEvent(new Event("contextmenu", {cancelable: true}))`)
		require.Equal(t, true, menu, "no menu opens where a finger rests")
	})
	t.Run("what ends a press", func(t *testing.T) {
		for name, end := range map[string]func(){
			"pointercancel": func() {
				b.Call("Input.dispatchTouchEvent", map[string]any{"type": "touchCancel", "touchPoints": []any{}})
			},
			"window loses the focus": func() { b.Eval(`window.dispatchEvent(new Event("blur"))`) },
			"tab is hidden": func() {
				b.Eval(`Object.defineProperty(document, "hidden", {value: true, configurable: true}), document.dispatchEvent(new Event("visibilitychange"))`)
			},
			"focus moves on": func() { b.Eval(`document.getElementById("teach-name").focus()`) },
		} {
			by := " "
			if name == "pointercancel" {
				by = "touch"
			}
			b.Down(by, "Hold to collect cup")
			collects("cup")
			end()
			collects("")
			b.Eval(`delete document.hidden, document.dispatchEvent(new Event("visibilitychange"))`)
			if by == " " {
				b.Up(by)
			}
			time.Sleep(10 * time.Millisecond)
			require.Empty(t, pupil.State().Collecting, name)
		}
		b.Down("mouse", "Hold to collect cup")
		collects("cup")
		b.Call("Page.navigate", map[string]any{"url": "about:blank"})
		collects("")
		b.Up("mouse")
		b.Call("Page.navigate", map[string]any{"url": s.url("/")})
		b.Until(`document.querySelectorAll("#taught h3").length === 2`)

		pupil.asked()
		b.Down("mouse", "Hold to collect cup")
		said := 0
		require.Eventually(t, func() bool { said += len(pupil.asked()); return said >= 4 }, time.Minute, time.Millisecond)
		require.Equal(t, "cup", pupil.State().Collecting, "a button that is held is said to be")
		b.Call("Network.enable", nil)
		offline := func(on bool) {
			b.Call("Network.emulateNetworkConditions", map[string]any{"offline": on, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1})
		}
		offline(true)
		collects("")
		says(t, b, "no connection to the program")
		b.Up("mouse")
		offline(false)
		b.Errors = nil
	})
	t.Run("screen reader", func(t *testing.T) {
		b.Eval(browsertest.Find("Hold to collect keys") + `.click()`) // as assistive technology does
		collects("keys")
		b.Until(browsertest.Find("Hold to collect keys") + `.getAttribute("aria-pressed") === "true"`)
		require.Eventually(t, func() bool { return label("keys").Count > 2 }, time.Minute, time.Millisecond)
		b.Eval(browsertest.Find("Hold to collect keys") + `.click()`)
		collects("")
		names := map[string]int{}
		for _, node := range b.Call("Accessibility.getFullAXTree", nil)["nodes"].([]any) {
			if role, ok := node.(map[string]any)["role"].(map[string]any); ok {
				name, _ := node.(map[string]any)["name"].(map[string]any)
				names[fmt.Sprint(role["value"], " ", name["value"])]++
			}
		}
		for _, want := range []string{"region Teach it", "region Camera", "button Hold to collect cup", "button Rename cup", "button Remove cup", "list Photographs of cup, newest first",
			"button Delete photograph of cup", "textbox Label", "button Train"} {
			require.Positive(t, names[want], "%s in %v", want, names)
		}
		require.Equal(t, "status", b.Eval(`document.getElementById("teach-said").getAttribute("role")`))
	})
	t.Run("photographs", func(t *testing.T) {
		shown := func() []any {
			return b.Eval(`[...document.querySelectorAll("#taught .card:first-child .thumbs li")].map(e => e.dataset.id)`).([]any)
		}
		same := func() {
			t.Helper()
			b.Until(`taught.labels[0].ids.join() === "` + strings.Join(label("cup").IDs, ",") + `"`)
			var got []string
			for _, id := range shown() {
				got = append(got, id.(string))
			}
			require.Equal(t, label("cup").IDs, got, "newest first")
		}
		same()
		b.Until(`[...document.querySelectorAll("#taught .card:first-child .thumbs img")].slice(0, 3).every(img => img.complete && img.naturalWidth > 0)`)
		n := label("cup").Count
		b.Eval(browsertest.Find("Hold to collect cup") + `.focus()`)
		for range 3 {
			b.Press("Tab", 9, "")
		}
		require.Equal(t, "Delete photograph of cup", b.Eval(`document.activeElement.ariaLabel`), "one stop of Tab")
		b.Press("ArrowRight", 39, "")
		b.Press("ArrowRight", 39, "")
		third, fourth := label("cup").IDs[2], label("cup").IDs[3]
		b.Press("Enter", 13, "\r")
		says(t, b, "Photograph of cup deleted")
		b.Until(`document.activeElement.parentElement.dataset.id === "` + fourth + `"`)
		require.NotContains(t, label("cup").IDs, third)
		same()
		b.Press("End", 35, "")
		b.Until(`document.activeElement.previousSibling.naturalWidth > 0`)
		b.Press("Enter", 13, "\r")
		b.Until(fmt.Sprintf(`document.querySelectorAll("#taught .card:first-child .thumbs li").length === %d`, n-2))
		require.Equal(t, shown()[n-3], b.Eval(`document.activeElement.parentElement.dataset.id`), "the focus moves to the last that is left")
		b.Press("Tab", 9, "")
		require.Equal(t, "Hold to collect keys", b.Eval(`document.activeElement.ariaLabel`))
		for i, by := range []string{"mouse", "touch"} {
			first := label("cup").IDs[0]
			b.Click(by, "#taught .card:first-child .thumbs li:first-child .delete")
			b.Until(fmt.Sprintf(`document.querySelectorAll("#taught .card:first-child .thumbs li").length === %d`, n-3-i))
			require.NotContains(t, label("cup").IDs, first)
		}
		same()
	})
	t.Run("training", func(t *testing.T) {
		b.Click("mouse", "Train")
		says(t, b, "Training has begun")
		b.Until(focused("Cancel training"))
		pupil.step(Training{Running: true, Step: "comparing methods", Done: 10, Total: 40})
		b.Until(`document.getElementById("teach-progress").position === 0.25 && document.getElementById("teach-step").textContent === "Training: comparing methods"`)
		looks("training")
		b.Press("Enter", 13, "\r")
		says(t, b, "Training has ended")
		b.Until(focused("Train"))
		require.Equal(t, true, b.Eval(`document.getElementById("teach-result").hidden`))

		b.Click(" ", "Train")
		b.Until(focused("Cancel training"))
		pupil.step(Training{Error: "trainer: samples: the disk is full"})
		says(t, b, "Training failed: the disk is full")
		require.Equal(t, true, b.Eval(`document.getElementById("teach-said").classList.contains("warning")`))

		b.Click("touch", "Train")
		b.Until(`document.getElementById("teach-train").hidden`)
		pupil.step(Training{Of: 30, Accuracy: 28. / 30, Low: 0.787, High: 0.9815, Warnings: []string{"keys has 3 photographs only"},
			Suspects: []TeachSample{{"cup", label("cup").IDs[1]}}})
		says(t, b, "Training has ended")
		text := b.Eval(`document.getElementById("teach").innerText`)
		require.Contains(t, text, "28 of 30 photographs were recognized by what was learnt from the others. Of 100 further ones like them, expect 78 to 99.")
		require.Contains(t, text, "keys has 3 photographs only")
		require.Contains(t, text, "1 photograph may be under the wrong label")
		require.Equal(t, label("cup").IDs[1], b.Eval(`document.querySelector(".suspect").dataset.id`))
		looks("trained")
		b.Click("mouse", "Use it")
		says(t, b, "In use: taught classifier 1")
		b.Until(focused("Train"))
		b.Click("Enter", "Undo")
		says(t, b, "In use: the model's own labels")
		require.Equal(t, []string{"train", "cancel", "train", "train", "use", "undo"}, onlyCalls(pupil, "train", "cancel", "use", "undo"))
	})
	t.Run("export", func(t *testing.T) {
		require.Equal(t, true, b.Eval(browsertest.Find("Export photographs")+`.checkVisibility()`))
		length := b.Eval(`fetch(` + browsertest.Find("Export photographs") + `.href).then(r => r.arrayBuffer()).then(a => a.byteLength)`).(float64)
		var file bytes.Buffer
		require.NoError(t, pupil.Export(&file))
		require.EqualValues(t, file.Len(), length)
		z, err := zip.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
		require.NoError(t, err)
		require.Len(t, z.File, label("cup").Count+label("keys").Count)
	})
	require.Empty(t, b.Errors, "the page logs no errors")

	t.Run("errors", func(t *testing.T) {
		pupil.mu.Lock()
		pupil.broken = errors.New("samples: no space left in /var/lib: <i>delete</i> some")
		pupil.mu.Unlock()
		for _, name := range []string{"Hold to collect cup", "Train", "#taught .card:first-child .thumbs li:first-child .delete"} {
			b.Eval(`tell("")`)
			b.Click("mouse", name)
			says(t, b, "no space left in /var/lib: <i>delete</i> some")
		}
		require.Equal(t, 0., b.Eval(`document.querySelectorAll(".thumbs .old").length`), "what could not be deleted is still there")
		require.Equal(t, "false", b.Eval(browsertest.Find("Hold to collect cup")+`.getAttribute("aria-pressed")`))
		looks("error")
		pupil.mu.Lock()
		pupil.broken = nil
		pupil.state.Full, pupil.state.BaseChanged = "there are 1000 photographs, which is the most: delete some", true
		pupil.mu.Unlock()
		pupil.tell()
		says(t, b, "there are 1000 photographs")
		require.Contains(t, b.Eval(`document.getElementById("teach-in-use").textContent`), "What was taught is for another model")
		b.Errors = nil // the answers
	})
	t.Run("another origin", func(t *testing.T) {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><form method="post" enctype="text/plain" action="%s"><input name='{"label": "cup", "to' value='": "x"}'></form>`, s.url(teachPath+"remove"))
		}))
		defer other.Close()
		pupil.asked()
		b.Call("Page.navigate", map[string]any{"url": other.URL})
		b.Until(`document.forms.length === 1`)
		for kind, mode := range map[string]string{"text/plain": "no-cors", "application/json": "cors"} {
			b.Eval(fmt.Sprintf(`fetch(%q, {method: "POST", credentials: "include", mode: %q, headers: {"Content-Type": %q}, body: '{"label": "cup"}'}).catch(() => "")`,
				s.url(teachPath+"remove"), mode, kind))
		}
		b.Eval(`document.forms[0].submit()`)
		b.Until(`document.body.innerText.includes("only this server's own page may change what is taught")`)
		require.Empty(t, pupil.asked())
		b.Errors = nil // the answers
		b.Call("Page.navigate", map[string]any{"url": s.url("/")})
		b.Until(`document.querySelectorAll("#taught h3").length === 2`)
	})
	t.Run("a token that is no longer right", func(t *testing.T) {
		b.Call("Network.clearBrowserCookies", nil)
		b.Click("mouse", "Train")
		says(t, b, "The token is needed again")
		b.Call("Page.navigate", map[string]any{"url": s.url("/?token=correct+horse+battery")})
		b.Until(`document.querySelectorAll("#taught h3").length === 2`)
		b.Errors = nil
	})
	t.Run("1000 photographs", func(t *testing.T) {
		pupil.mu.Lock()
		for range 1000 - len(pupil.state.Labels[0].IDs) {
			pupil.add(0, cat(0).Data)
		}
		pupil.read = 0
		pupil.mu.Unlock()
		pupil.tell()
		b.Until(`document.querySelectorAll("#taught .card:first-child .thumbs li").length === 1000`)
		b.Until(`document.querySelector("#taught .card:first-child img").complete`)
		pupil.mu.Lock()
		require.Less(t, pupil.read, 200, "those out of sight are not asked for")
		pupil.mu.Unlock()
		looks("1000")
		last := `document.querySelector("#taught .card:first-child li:last-child img")`
		require.Equal(t, 0., b.Eval(last+`.naturalWidth`))
		b.Eval(last + `.scrollIntoView()`)
		b.Until(last + `.naturalWidth > 0`)
		b.Click("mouse", "#taught .card:first-child .thumbs li:last-child .delete")
		b.Until(`document.querySelectorAll("#taught .card:first-child .thumbs li").length === 999`)
	})
	require.Empty(t, b.Errors)
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
