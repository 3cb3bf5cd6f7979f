package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/classify"
	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
	"edgeclassify/internal/testneed"
	"edgeclassify/live"
	"edgeclassify/q8"
	"edgeclassify/tensor"
)

// scene is what a camera sees: a program that shows the same frame again and again.
type scene struct{ file string }

func newScene(t *testing.T) *scene {
	testneed.Program(t, "sh", "install a POSIX shell")
	s := &scene{filepath.Join(t.TempDir(), "frame")}
	s.show(t, 128, 128, 128)
	return s
}

const sceneSide = 32 // pixels

// camera are the flags for it.
func (s *scene) camera() []string {
	return []string{"-camera", "exec:sh -c 'while cat " + s.file + "; do sleep 0.02; done'", "-size", fmt.Sprintf("%dx%[1]d", sceneSide), "-smooth", "0", "-hold", "0"}
}

// show has the camera see one colour, as Y, Cb, Cr.
func (s *scene) show(t *testing.T, y, cb, cr byte) {
	const n = sceneSide * sceneSide
	frame := bytes.Repeat([]byte{y}, n)
	frame = append(append(frame, bytes.Repeat([]byte{cb}, n/4)...), bytes.Repeat([]byte{cr}, n/4)...)
	require.NoError(t, os.WriteFile(s.file+".part", frame, 0o600))
	require.NoError(t, os.Rename(s.file+".part", s.file))
}

func (s *scene) cup(t *testing.T, brighter byte)  { s.show(t, 100+brighter, 90, 160) }  // reddish
func (s *scene) keys(t *testing.T, brighter byte) { s.show(t, 100+brighter, 160, 110) } // bluish

// pupil is a program that is taught through its page.
type pupil struct {
	*program
	page string
}

func startPupil(t *testing.T, built string, args ...string) *pupil {
	p := &pupil{program: startBuilt(t, built, append(args, "-http", "127.0.0.1:0")...)}
	found := regexp.MustCompile(`address=(http://\S+)`)
	p.logged("live page", 1, func() { time.Sleep(10 * time.Millisecond) })
	p.page = found.FindStringSubmatch(p.errs.String())[1]
	return p
}

// ask makes a request and returns status and body.
func (p *pupil) ask(method, path, body string, header ...string) (int, string) {
	request, err := http.NewRequestWithContext(p.t.Context(), method, p.page+"/api/teach/"+path, strings.NewReader(body))
	require.NoError(p.t, err)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(p.t, err, p.errs.String())
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(p.t, err)
	return response.StatusCode, string(text)
}

// wish has something changed, which must succeed.
func (p *pupil) wish(name, body string) {
	p.t.Helper()
	status, text := p.ask("POST", name, body)
	require.Equal(p.t, http.StatusNoContent, status, "%s: %s\n%s", name, text, p.errs.String())
}

func (p *pupil) state() (s live.TeachState) {
	p.t.Helper()
	status, text := p.ask("GET", "", "")
	require.Equal(p.t, http.StatusOK, status, text)
	require.NoError(p.t, json.Unmarshal([]byte(text), &s))
	return s
}

// until waits for a state.
func (p *pupil) until(what string, reached func(live.TeachState) bool) (s live.TeachState) {
	p.t.Helper()
	for end := time.Now().Add(soon); ; time.Sleep(5 * time.Millisecond) {
		if s = p.state(); reached(s) {
			return s
		}
		require.True(p.t, time.Now().Before(end), "not reached: %s: %+v\n%s", what, s, p.errs.String())
	}
}

func samplesOf(s live.TeachState, label string) int {
	for _, l := range s.Labels {
		if l.Name == label {
			return l.Count
		}
	}
	return 0
}

// sees waits for results with a label at the top, and returns the model that gave them.
func (p *pupil) sees(label string) (model string) {
	p.t.Helper()
	last := ""
	for end := time.Now().Add(soon); time.Now().Before(end); {
		r := p.result()
		if last = r.Top[0].Label; last == label {
			return r.Model
		}
	}
	require.FailNow(p.t, "not seen: "+label, "%s\n%s", last, p.errs.String())
	return ""
}

// collect takes bursts of a label, in a row of scenes that are alike.
func (p *pupil) collect(label string, bursts int, show func(*testing.T, byte)) {
	body := fmt.Sprintf(`{"label": %q, "on": true}`, label)
	for i := range bursts {
		show(p.t, byte(10*i))
		p.frames(5) // of what was shown before
		have := samplesOf(p.state(), label)
		p.until("a sample of "+label, func(s live.TeachState) bool {
			p.wish("collect", body) // again and again, as the page does while the button is held
			return samplesOf(s, label) > have
		})
		p.wish("collect", strings.Replace(body, "true", "false", 1))
	}
}

// frames waits for so many results from now on.
func (p *pupil) frames(n int) {
	for now := time.Now(); n > 0; {
		if p.result().Time.After(now) {
			n--
		}
	}
}

func (p *pupil) train() live.TeachState {
	p.wish("train", "{}")
	s := p.until("the end of training", func(s live.TeachState) bool { return !s.Training.Running })
	require.Empty(p.t, s.Training.Error)
	require.True(p.t, s.Trained)
	return s
}

func needSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no shell and no signals")
	}
}

// Two labels are taught through the page's API, used, kept over a kill, and undone.
func TestTaughtThroughThePage(t *testing.T) {
	needSignals(t)
	base := know(t, nettest.Colours())
	path, dir, built, view := filepath.Join(t.TempDir(), "model.q8"), filepath.Join(t.TempDir(), "taught"), buildProgram(t), newScene(t)
	require.NoError(t, os.WriteFile(path, base.file, 0o600))
	args := append(view.camera(), "-model", path, "-teach", dir)
	p := startPupil(t, built, args...)
	view.cup(t, 0)
	require.Equal(t, base.sha256, p.sees("red"))

	s := p.state()
	require.Empty(t, s.Labels)
	require.NotEmpty(t, s.Missing)
	for _, name := range []string{"train", "use", "undo"} {
		status, text := p.ask("POST", name, "{}")
		require.Equal(t, http.StatusConflict, status, text)
	}
	status, text := p.ask("POST", "add", `{"label": "unknown"}`)
	require.Equal(t, http.StatusConflict, status)
	require.Contains(t, text, "take another name")
	p.wish("add", `{"label": "cups"}`)
	p.wish("rename", `{"label": "cups", "to": "cup"}`)
	p.wish("add", `{"label": "keys"}`)
	p.collect("cup", 4, view.cup)
	require.Contains(t, p.state().Missing, "keys")
	p.collect("keys", 4, view.keys)
	require.Empty(t, p.state().Missing)

	p.wish("collect", `{"label": "keys", "on": true}`)
	require.Equal(t, "keys", p.state().Collecting)
	p.until("the end of collecting, as nobody holds the button", func(s live.TeachState) bool { return s.Collecting == "" })

	s = p.train()
	require.Positive(t, s.Training.Of)
	require.Zero(t, s.InUse)
	require.Equal(t, base.sha256, p.sees("blue"), "not in use yet")
	p.wish("use", "{}")
	taught := p.sees("keys")
	require.NotEqual(t, base.sha256, taught)
	view.cup(t, 5)
	require.Equal(t, taught, p.sees("cup"))
	s = p.until("in use", func(s live.TeachState) bool { return s.InUse == 1 })
	require.False(t, s.Trained)
	require.True(t, s.CanUndo)

	// The model's file is read again, and is what the head was taught on.
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
	p.logged("the model is the one that runs", 1, func() { require.Equal(t, taught, p.result().Model) })

	require.NoError(t, p.cmd.Process.Kill())
	_ = p.cmd.Wait()
	p = startPupil(t, built, args...)
	require.Equal(t, taught, p.result().Model, "from the first frame on")
	require.Equal(t, taught, p.sees("cup"))
	again := p.state()
	require.Equal(t, s.Labels, again.Labels)
	require.Equal(t, 1, again.InUse)

	// More is taught while the head runs, whose features are the base's.
	p.wish("add", `{"label": "none"}`)
	p.collect("none", 3, func(t *testing.T, brighter byte) { view.show(t, 30+brighter, 110, 110) })
	p.train()
	p.wish("use", "{}")
	require.NotEqual(t, taught, p.sees("none"))
	p.wish("undo", "{}")
	view.keys(t, 5)
	require.Equal(t, taught, p.sees("keys"))
	p.wish("undo", "{}")
	require.Equal(t, base.sha256, p.sees("blue"))
	require.False(t, p.state().CanUndo)
	p.stop()
}

// Who may teach: nobody without the token, no other page, and everyone on the network
// never.
func TestWhoMayTeach(t *testing.T) {
	needSignals(t)
	base := know(t, nettest.Colours())
	path, dir, built, view := filepath.Join(t.TempDir(), "model.q8"), t.TempDir(), buildProgram(t), newScene(t)
	require.NoError(t, os.WriteFile(path, base.file, 0o600))
	p := startPupil(t, built, append(view.camera(), "-model", path, "-teach", dir, "-token", "teach-me-not")...)
	const body, bearer = `{"label": "cup"}`, "Bearer teach-me-not"
	for want, header := range map[int][]string{
		http.StatusUnauthorized: nil,
		http.StatusForbidden:    {"Authorization", bearer, "Sec-Fetch-Site", "cross-site", "Origin", "http://elsewhere.example"},
		http.StatusNoContent:    {"Authorization", bearer},
	} {
		status, text := p.ask("POST", "add", body, header...)
		require.Equal(t, want, status, "%v: %s", header, text)
		require.Equal(t, want == http.StatusNoContent, exists(filepath.Join(dir, "samples", "cup")))
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "samples", "cup")))
	}
	status, _ := p.ask("GET", "", "")
	require.Equal(t, http.StatusUnauthorized, status)
	p.stop()

	for want, flags := range map[string][]string{
		"set a token":       {"-teach", dir, "-http", ":0"},
		"use with -http":    {"-teach", dir},
		"no global average": {"-teach", dir, "-http", "0", "-model", write(t, "flat.q8", withoutAverage(t))},
		"-camera SPEC":      nil,
	} {
		args := append([]string{"-model", path, "-camera", "test"}, flags...)
		if flags == nil {
			args = []string{"-model", path, "-teach", dir}
		}
		code, _, errs := classifyHere(t, nil, args...)
		require.NotZero(t, code)
		require.Contains(t, errs, want)
	}
}

// withoutAverage is a network whose classifier reads many pixels.
func withoutAverage(t *testing.T) *q8.Model {
	m := nettest.Colours()
	layers := []int8.Layer{m.Layers[0], m.Layers[2]}
	in := layers[0].Out.Shape.Elements()
	layers[1].Inputs = []tensor.ID{1}
	layers[1].Op = &int8.Dense{In: in, Out: 3, Weight: make([]int8.Value, 3*in), Bias: make([]int32, 3), Scale: []float32{1, 1, 1}}
	n, err := int8.NewNetwork("flat", m.Input, layers)
	require.NoError(t, err)
	m, err = q8.New(n, m.Preprocess, m.Classes, m.Activation, m.Provenance, nil)
	require.NoError(t, err)
	return m
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Another model takes the place of what is taught on the one before: it is what its owner
// wants to run, and what runs at the next start.
func TestModelIsReplacedUnderATaughtHead(t *testing.T) {
	needSignals(t)
	base, other := know(t, nettest.Colours()), know(t, otherTool(nettest.Colours()))
	path, dir, built, view := filepath.Join(t.TempDir(), "model.q8"), t.TempDir(), buildProgram(t), newScene(t)
	put := func(k answered) {
		require.NoError(t, os.WriteFile(path+".part", k.file, 0o600))
		require.NoError(t, os.Rename(path+".part", path))
	}
	put(base)
	args := append(view.camera(), "-model", path, "-teach", dir)
	p := startPupil(t, built, append(args, "-watch", "red")...)
	p.wish("add", `{"label": "cup"}`)
	p.wish("add", `{"label": "keys"}`)
	p.collect("cup", 3, view.cup)
	p.collect("keys", 3, view.keys)
	p.train()
	status, text := p.ask("POST", "use", "{}")
	require.Equal(t, http.StatusConflict, status)
	require.Contains(t, text, `-watch: no class "red"`)
	require.Equal(t, base.sha256, p.result().Model)
	p.stop()

	p = startPupil(t, built, args...)
	require.True(t, p.state().Trained, "it waits still")
	p.wish("use", "{}")
	taught := p.sees("keys")
	require.NoError(t, os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour))) // touched
	p.logged("the model is the one that runs", 1, func() { require.Equal(t, taught, p.result().Model) })
	put(other)
	require.Equal(t, other.sha256, p.sees("blue"))
	p.logged("does not run", 1, func() { require.Equal(t, other.sha256, p.result().Model) })
	s := p.until("base changed", func(s live.TeachState) bool { return s.BaseChanged })
	require.Zero(t, s.InUse)
	p.stop()
	p = startPupil(t, built, args...)
	require.Equal(t, other.sha256, p.sees("blue"))
	require.Contains(t, p.errs.String(), "taught on another model")
	put(base)
	require.Equal(t, taught, p.sees("keys"))
	put(other)
	require.Equal(t, other.sha256, p.sees("blue"))

	p.train() // on features that are computed again
	p.wish("use", "{}")
	require.NotContains(t, []string{taught, other.sha256}, p.sees("keys"))
	require.False(t, p.state().BaseChanged)
	doctor := func(model string) check {
		_, _, checks := diagnose(t, "-model", model, "-teach", dir)
		return checks["teaching"]
	}
	require.Contains(t, doctor(path).Found, "locked by another program")
	p.stop()
	require.Equal(t, statusOK, doctor(path).Status)
	require.Contains(t, doctor(path).Found, "2 labels, ")
	require.Contains(t, doctor(path).Found, "2.q8 is in use")
	require.Equal(t, statusWarn, doctor(write(t, "base.q8", nettest.Colours())).Status)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "heads", "2.q8"), nil, 0o600))
	require.Contains(t, doctor(path).Found, "the file is empty")
}

// A broker's message names the model that runs: what is taught on it goes on, at each
// start. One that names another has that run.
func TestBrokerAndATaughtHead(t *testing.T) {
	needSignals(t)
	if testing.Short() {
		t.Skip("starts a broker, and the program twice")
	}
	broker := startBroker(t)
	base, other := know(t, nettest.Colours()), know(t, otherTool(nettest.Colours()))
	server := serveModel(t, other.file)
	t.Setenv("SSL_CERT_FILE", server.authority)
	path, built, view := filepath.Join(t.TempDir(), "model.q8"), buildProgram(t), newScene(t)
	require.NoError(t, os.WriteFile(path, base.file, 0o600))
	args := append(view.camera(), "-model", path, "-teach", t.TempDir(), "-mqtt", "mqtt://"+broker.address+"/board", "-mqtt-update")
	set := func(k answered) {
		retain(t, broker.address, "edge-classify/board/model/set", fmt.Appendf(nil, `{"url": %q, "sha256": %q}`, server.URL+"/model.q8", sumOf(k.file)))
	}
	set(base)
	p := startPupil(t, built, args...)
	p.wish("add", `{"label": "cup"}`)
	p.wish("add", `{"label": "keys"}`)
	p.collect("cup", 2, view.cup)
	p.collect("keys", 2, view.keys)
	p.train()
	p.wish("use", "{}")
	taught := p.sees("keys")
	p.stop()
	p = startPupil(t, built, args...)
	p.logged("the model is the one that runs", 1, func() { require.Equal(t, taught, p.result().Model) })
	set(other)
	require.Equal(t, other.sha256, p.sees("blue"))
	p.until("base changed", func(s live.TeachState) bool { return s.BaseChanged })
	p.stop()
}

// The program is killed at any moment of collecting, training and use: it starts again
// each time, with every sample that it has told of, the head in use that it has said is,
// and heads that are whole.
func TestKilledWhileTaught(t *testing.T) {
	needSignals(t)
	times := 50
	if testing.Short() {
		times = 6
	}
	path, dir, built, view := filepath.Join(t.TempDir(), "model.q8"), t.TempDir(), buildProgram(t), newScene(t)
	require.NoError(t, os.WriteFile(path, know(t, nettest.Colours()).file, 0o600))
	args := append(view.camera(), "-model", path, "-teach", dir)
	p := startPupil(t, built, args...)
	p.wish("add", `{"label": "cup"}`)
	p.wish("add", `{"label": "keys"}`)
	p.collect("cup", 2, view.cup)
	p.collect("keys", 2, view.keys)
	told := map[string]bool{} // samples
	inUse := []int{0}         // as told; none where that may change
	did, samples := map[string]int{}, 0
	rng := rand.New(rand.NewPCG(1, 0))
	for round := range times {
		kill := time.AfterFunc(time.Duration(rng.IntN(500))*time.Millisecond, func() { _ = p.cmd.Process.Kill() })
		label := []string{"cup", "keys"}[rng.IntN(2)]
		for alive := true; alive; {
			switch round % 3 {
			case 0:
				alive = p.try("collect", fmt.Sprintf(`{"label": %q, "on": true}`, label)) != 0
			case 1:
				alive = p.try("train", "{}") != 0
			case 2:
				inUse = nil // what it is asked to do may be done or not
				alive = p.try([]string{"use", "undo", "train"}[rng.IntN(3)], "{}") != 0
			}
			if s, ok := p.tryState(); ok {
				if inUse = []int{s.InUse}; s.Training.Running {
					did["seen in training"]++
				}
				for _, l := range s.Labels {
					for _, id := range l.IDs {
						told[filepath.Join(dir, "samples", l.Name, id+".jpg")] = true
					}
				}
			} else {
				alive = false
			}
		}
		kill.Stop()
		_ = p.cmd.Wait()
		p = startPupil(t, built, args...)
		s := p.state()
		for file := range told {
			require.FileExists(t, file)
		}
		samples = samplesOf(s, "cup") + samplesOf(s, "keys")
		require.GreaterOrEqual(t, samples, len(told))
		if inUse != nil {
			require.Equal(t, inUse[0], s.InUse)
		}
		require.NotContains(t, p.errs.String(), "does not run")
		heads, err := filepath.Glob(filepath.Join(dir, "heads", "*"))
		require.NoError(t, err)
		require.LessOrEqual(t, len(heads), 3)
		for _, head := range heads {
			m, err := classify.Open(head, classify.Options{Threads: 1})
			require.NoError(t, err)
			require.NoError(t, selfTest(m))
			require.NoError(t, m.Close())
			did[filepath.Base(head)]++
		}
	}
	require.Greater(t, samples, 4)
	t.Log(samples, "samples", did)
	p.stop()
}

// try is wish for a program that may be killed meanwhile: the status is 0 then.
func (p *pupil) try(name, body string) int {
	response, err := http.Post(p.page+"/api/teach/"+name, "application/json", strings.NewReader(body))
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

func (p *pupil) tryState() (s live.TeachState, ok bool) {
	response, err := http.Get(p.page + "/api/teach/")
	if err != nil {
		return s, false
	}
	defer response.Body.Close()
	return s, json.NewDecoder(response.Body).Decode(&s) == nil
}
