package main

import (
	"crypto/sha256"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/classify"
	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
	"edgeclassify/internal/syncbuffer"
	"edgeclassify/q8"
	"edgeclassify/stream"
)

// tested gives a model its self-test.
func tested(t *testing.T, m *q8.Model) *q8.Model {
	m.SelfTest = &q8.SelfTest{Seed: 7}
	logits, err := m.Reference(m.SelfTest.Image(m.Network), nil)
	require.NoError(t, err)
	m.SelfTest.LogitsSHA256 = int8.HashLogits(logits)
	return m
}

// answered is a model file and its answers to pictures, by the reference.
type answered struct {
	file    []byte
	sha256  string
	answers []stream.Digest
}

func know(t *testing.T, m *q8.Model, pictures ...string) (k answered) {
	path := write(t, "model.q8", tested(t, m))
	f, err := q8.Open(path)
	require.NoError(t, err)
	k.sha256 = f.SHA256
	require.NoError(t, f.Close())
	k.file, err = os.ReadFile(path)
	require.NoError(t, err)
	for _, picture := range pictures {
		rgb, err := m.Preprocess.File(picture)
		require.NoError(t, err)
		logits, err := m.Reference(rgb, nil)
		require.NoError(t, err)
		k.answers = append(k.answers, sha256.Sum256(int8.AppendLogits(nil, logits)))
	}
	return k
}

// A model file is replaced in every way there is, at full frame rate: each result is
// right by the old or the new model.
func TestModelIsReplacedWhileItRuns(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGHUP")
	}
	times := 100
	if testing.Short() {
		times = 6
	}
	dir := photoDir(t, "cat.jpg", "espresso.jpg")
	pictures := []string{filepath.Join(dir, "cat.jpg"), filepath.Join(dir, "espresso.jpg")}
	models := [2]answered{know(t, nettest.Model(1, false), pictures...), know(t, nettest.Model(2, true), pictures...)}
	path := filepath.Join(t.TempDir(), "model.q8")
	put := func(file []byte) { require.NoError(t, os.WriteFile(path, file, 0o600)) }
	put(models[0].file)
	p := startProgram(t, "-model", path, "-camera", "file:"+dir, "-fps", "200")

	now, last, results, passed := 0, uint64(0), 0, uint64(0)
	next := func() (model int) {
		r := p.result()
		if model = now; r.Model != models[now].sha256 {
			model = 1 - now
		}
		require.Equal(t, models[model].sha256, r.Model)
		require.Equal(t, models[model].answers[r.Sequence%2], r.LogitsSHA256, "frame %d by model %d", r.Sequence, model)
		if results++; results > 1 {
			require.Greater(t, r.Sequence, last)
			passed = max(passed, r.Sequence-last-1)
		}
		last = r.Sequence
		return model
	}
	next()
	taken := 0
	good := func() {
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
		for next() == now {
		}
		now = 1 - now
		taken++
	}
	complaints := 0
	bad := func() {
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
		complaints++
		p.logged("model not taken up", complaints, func() { require.Equal(t, now, next()) })
	}
	var early memory
	for round := 0; taken < times; round++ {
		other := models[1-now].file
		switch round % 5 {
		case 0: // by rename
			require.NoError(t, os.WriteFile(path+".part", other, 0o600))
			require.NoError(t, os.Rename(path+".part", path))
			good()
		case 1: // in place
			put(other)
			good()
		case 2: // cut short
			require.NoError(t, os.Truncate(path, int64(len(models[now].file)/2)))
			bad()
		case 3: // garbage
			put([]byte(strings.Repeat("garbage ", len(other)/8)))
			bad()
		case 4: // in place without cutting it short
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.Write(other)
			require.NoError(t, err)
			require.NoError(t, f.Truncate(int64(len(other))))
			require.NoError(t, f.Close())
			good()
		}
		for range 5 {
			require.Equal(t, now, next())
		}
		if taken == times/5 && early.maps == 0 {
			early = p.memory()
		}
	}
	p.memory().flat(t, early)
	require.Equal(t, 1, strings.Count(p.errs.String(), "camera is streaming"), "the camera goes on")
	t.Logf("%d results, at most %d frames passed over between two", results, passed)
	p.stop()
}

// The file is looked at now and then. Half a copy is not complained of until its
// other half is late, and what is wrong with a whole file is told once.
func TestModelFileIsFollowed(t *testing.T) {
	first, second := know(t, nettest.Colours()), know(t, nettest.Model(1, false))
	wrong := nettest.Colours()
	wrong.SelfTest = &q8.SelfTest{LogitsSHA256: strings.Repeat("0", 64)}
	faulty, err := os.ReadFile(write(t, "wrong.q8", wrong))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "model.q8")
	put := func(file []byte) { require.NoError(t, os.WriteFile(path, file, 0o600)) }
	put(first.file)
	synctest.Test(t, func(t *testing.T) {
		taken, err := os.Stat(path)
		require.NoError(t, err)
		m, err := classify.Open(path, classify.Options{Threads: 1})
		require.NoError(t, err)
		var log syncbuffer.Buffer
		r := newReloader(options{engine: engine{model: path, threads: 1}, top: 1}, m, slog.New(slog.NewTextHandler(&log, nil)))
		r.ended = t.Context().Done()
		var took []string // models
		go func() {
			for c := range r.replace {
				took = append(took, c.Model().SHA256)
			}
		}()
		f := following{taken: taken}
		looks := func(n int) {
			for range n {
				f.look(r)
				time.Sleep(modelPoll)
			}
			synctest.Wait()
		}
		looks(5)
		require.NoError(t, os.Remove(path))
		looks(5)
		put(second.file[:100])
		looks(4)
		require.Empty(t, took)
		require.Empty(t, log.String(), "half a copy")
		put(second.file)
		looks(3)
		require.Equal(t, []string{second.sha256}, took)

		put(second.file[:100])
		looks(30)
		require.Equal(t, 1, strings.Count(log.String(), "model not taken up"), log.String())
		put(faulty)
		looks(30)
		require.Equal(t, 1, strings.Count(log.String(), "self-test"), log.String())
		put(first.file)
		r.options.watch = list{"tabby"}
		looks(30)
		require.Equal(t, 1, strings.Count(log.String(), `-watch: no class \"tabby\"`), log.String())
		require.Len(t, took, 1)
		r.options.watch = list{"red"}
		require.NoError(t, r.Load(path))
		require.NoError(t, r.Load(path), "the same again")
		synctest.Wait()
		require.Equal(t, []string{second.sha256, first.sha256}, took)
		require.ErrorContains(t, r.Load(path+".none"), "model.q8.none")
		close(r.replace)
		r.close()
	})
}
