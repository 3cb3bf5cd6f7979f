package report_test

import (
	"bytes"
	"context"
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/testneed"
	"edgeclassify/report"
)

// gauge is a page that shows the report in frames of several widths and tells
// how wide its content is. It logs one error, which shows that errors are seen.
const gauge = `<!doctype html>
<iframe width="360" height="800" src="/report"></iframe>
<iframe width="1280" height="800" src="/report"></iframe>
<pre></pre>
<script>
addEventListener("load", () => {
  console.error("probe");
  document.querySelector("pre").textContent = JSON.stringify(Array.from(frames, f => {
    const page = f.document.documentElement;
    return {Width: f.innerWidth, Content: page.scrollWidth, Height: page.scrollHeight, Charts: f.document.querySelectorAll("svg").length};
  }));
});
</script>`

// chromium runs the browser without a window and returns its output and its log.
func chromium(t *testing.T, arguments ...string) (output, log string) {
	t.Helper()
	program := testneed.Program(t, "chromium", "apt-get install chromium")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, program, append([]string{"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--enable-logging=stderr", "--user-data-dir=" + t.TempDir()}, arguments...)...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	require.NoError(t, c.Run(), "%s", &stderr)
	return stdout.String(), stderr.String()
}

// serve shows a report at /report, and the gauge at /.
func serve(t *testing.T, r *report.Report) string {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, page := range map[string][]byte{"/{$}": []byte(gauge), "/report": write(t, r)} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write(page) // without it the browser has nothing to show, and the test fails
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func TestPageFitsScreens(t *testing.T) {
	dom, log := chromium(t, "--virtual-time-budget=10000", "--dump-dom", serve(t, sample(t))+"/")
	require.Len(t, regexp.MustCompile(`CONSOLE`).FindAllString(log, -1), 1, "the probe alone: %s", log)
	answer := regexp.MustCompile(`<pre>(.*)</pre>`).FindStringSubmatch(dom)
	require.NotNil(t, answer, "%s\n%s", dom, log)
	var screens []struct{ Width, Content, Height, Charts int }
	require.NoError(t, json.Unmarshal([]byte(html.UnescapeString(answer[1])), &screens))
	require.Len(t, screens, 2)
	for i, width := range []int{360, 1280} {
		require.Equal(t, width, screens[i].Width)
		require.LessOrEqual(t, screens[i].Content, width, "no sideways scrolling")
		require.Greater(t, screens[i].Height, 5000)
		require.Equal(t, 58, screens[i].Charts)
	}
}

func TestPagePrints(t *testing.T) {
	r := sample(t)
	r.Layers, r.Worst, r.Arena = r.Layers[:8], nil, nil
	r.Evaluation.Classes = slices.Repeat(r.Evaluation.Classes, 3)
	file := filepath.Join(t.TempDir(), "report.pdf")
	_, log := chromium(t, "--print-to-pdf="+file, serve(t, r)+"/report")
	pdf, err := os.ReadFile(file)
	require.NoError(t, err, log)
	sheets := map[bool]int{} // by whether they are wider than high
	for _, m := range regexp.MustCompile(`/MediaBox \[0 0 (\d+)\S* (\d+)`).FindAllStringSubmatch(string(pdf), -1) {
		sheets[m[1] > m[2]]++
	}
	require.Equal(t, 1, sheets[true], "the wide table lies on its side")
	require.Greater(t, sheets[false], 10, "classes are printed, although the screen folds them")
}
