package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/browsertest"
	"edgeclassify/internal/nettest"
)

// Two labels are taught by hand, on the page of the real program that sees photographs,
// used, kept over a kill, and undone.
func TestTaughtInBrowser(t *testing.T) {
	needSignals(t)
	b := browsertest.Launch(t, "../../build/screenshots")
	model, dir, view, built := filepath.Join(t.TempDir(), "model.q8"), t.TempDir(), t.TempDir(), buildProgram(t)
	require.NoError(t, os.WriteFile(model, know(t, nettest.Colours()).file, 0o600))
	show := func(photo, before string) {
		data, err := os.ReadFile(filepath.Join(photos, photo))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(view, ".part"), data, 0o600))
		require.NoError(t, os.Rename(filepath.Join(view, ".part"), filepath.Join(view, photo)))
		require.NoError(t, os.RemoveAll(filepath.Join(view, before)))
	}
	show("cat.jpg", "none.jpg")
	args := []string{"-model", model, "-teach", dir, "-camera", "file:" + view, "-fps", "5", "-smooth", "0", "-hold", "0"}
	p := startPupil(t, built, args...)
	visit := func() {
		t.Helper()
		b.Call("Page.navigate", map[string]any{"url": p.page})
		b.Until(`document.readyState === "complete" && document.getElementById("overlay")?.hidden && !document.getElementById("teach").hidden`)
	}
	says := func(text string) {
		t.Helper()
		b.Until(`document.getElementById("teach-said").textContent.includes(` + strconv.Quote(text) + `)`)
	}
	sees := func(label string) {
		t.Helper()
		b.Until(`document.querySelector("#labels li .label")?.textContent === "` + label + `"`)
	}
	collect := func(by, label string) {
		t.Helper()
		b.Down(by, "Hold to collect "+label)
		b.Until(`document.querySelectorAll("[aria-label^='Photographs of ` + label + `'] img").length >= 4`)
		b.Up(by)
		says(label + ": ")
		b.Until(`document.querySelector("[aria-label^='Photographs of ` + label + `'] img").naturalWidth > 0`)
	}
	b.Screen(390, 844, "light")
	visit()
	for _, label := range []string{"my cat", "my rocket"} {
		b.Click("touch", "#teach-name")
		b.Call("Input.insertText", map[string]any{"text": label})
		b.Press("Enter", 13, "\r")
		says(label + " added")
	}
	collect("touch", "my cat")
	require.Contains(t, b.Eval(`document.getElementById("teach-missing").textContent`), "my rocket")
	show("rocket.jpg", "cat.jpg")
	p.frames(3)
	collect(" ", "my rocket")

	b.Click("touch", "Train")
	b.Until(browsertest.Find("Use it") + ` !== undefined`)
	b.Screenshot("taught")
	b.Click("touch", "Use it")
	says("In use: taught classifier 1")
	sees("my rocket")
	show("cat.jpg", "rocket.jpg")
	sees("my cat")
	require.Empty(t, b.Errors)

	require.NoError(t, p.cmd.Process.Kill())
	_ = p.cmd.Wait()
	p = startPupil(t, built, args...)
	visit()
	sees("my cat")
	require.Equal(t, "In use: taught classifier 1.", b.Eval(`document.getElementById("teach-in-use").textContent`))
	b.Screen(1280, 800, "dark")
	b.Screenshot("taught-dark")
	b.Click("mouse", "Undo")
	says("In use: the model's own labels")
	sees("red")
	b.Call("Page.navigate", map[string]any{"url": "about:blank"})
	p.stop()
}
