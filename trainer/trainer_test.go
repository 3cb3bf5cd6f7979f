package trainer

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/capture"
	"edgeclassify/classify"
	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
	"edgeclassify/internal/syncbuffer"
	"edgeclassify/labels"
	"edgeclassify/live"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/samples"
	"edgeclassify/stream"
)

const soon = 30 * time.Second // for what should come at once, on a busy machine

// running is the Models, and what they run.
type running struct {
	base  string
	model *classify.Model
	loop  stream.Classifier
}

func (r *running) Base() string { return r.base }

func (r *running) Use(path string) error {
	m, err := classify.Open(path, classify.Options{Threads: 1})
	if err != nil {
		return err
	}
	if f := m.File(); r.base != "" && f.SHA256 != r.base && f.Provenance.Base != r.base {
		return errors.Join(errors.New("taught on another model"), m.Close())
	}
	if r.model != nil {
		_ = r.model.Close()
	}
	r.model, r.loop = m, stream.NewClassifier(m, preprocess.ROI{})
	return nil
}

// board is a trainer and what is around it, with the loop's part played by the test.
type board struct {
	*Trainer
	t         *testing.T
	path, dir string
	limits    samples.Options
	running   running
	log       syncbuffer.Buffer
}

func newBoard(t *testing.T, base *q8.Model, limits samples.Options) *board {
	b := &board{t: t, path: filepath.Join(t.TempDir(), "base.q8"), dir: t.TempDir(), limits: limits}
	b.put(base)
	b.start()
	t.Cleanup(func() { require.NoError(t, b.Close()); require.NoError(t, b.running.model.Close()) })
	return b
}

// put makes m the base's file, and has it run.
func (b *board) put(m *q8.Model) {
	require.NoError(b.t, q8.Write(b.path, m))
	b.running.base = ""
	require.NoError(b.t, b.running.Use(b.path))
	b.running.base = b.running.model.File().SHA256
}

func (b *board) start() {
	store, err := samples.Open(b.dir, b.limits)
	require.NoError(b.t, err)
	b.Trainer = Open(Options{Store: store, Model: b.path, Models: &b.running, Tool: "test", Log: slog.New(slog.NewTextHandler(&b.log, nil))})
	b.introduce()
}

// introduce tells the sink of the model, as the loop does.
func (b *board) introduce() {
	b.Model(b.running.loop.Model())
	b.Status(capture.Status{State: capture.Streaming})
}

// coloured is a frame of one colour, as Y, Cb, Cr.
func coloured(y, cb, cr byte) *capture.Frame {
	const side = 16
	data := bytes.Repeat([]byte{y}, side*side)
	data = append(append(data, bytes.Repeat([]byte{cb}, side*side/4)...), bytes.Repeat([]byte{cr}, side*side/4)...)
	return &capture.Frame{Format: capture.I420, Width: side, Height: side, Stride: side, Data: data}
}

// show shows a frame, and returns the label at its top.
func (b *board) show(f *capture.Frame) string {
	classes := b.running.model.Classes()
	probs := make([]float64, len(classes))
	_, err := b.running.loop.Classify(f, probs)
	require.NoError(b.t, err)
	b.Result(&stream.Result{Features: b.running.loop.Features()}, f)
	return classes[slices.Index(probs, slices.Max(probs))].Name
}

// take takes one sample of a label, in a burst of its own.
func (b *board) take(label string, f *capture.Frame) {
	have := b.count(label)
	require.NoError(b.t, b.Collect(label, true))
	b.lock.Lock()
	b.next = time.Time{} // at once
	b.lock.Unlock()
	b.show(f) // once: a slow machine would take a second one of a frame that is shown again
	require.Eventually(b.t, func() bool { return b.count(label) > have }, soon, 10*time.Millisecond, &b.log)
	require.NoError(b.t, b.Collect(label, false))
}

func (b *board) count(label string) int {
	for _, l := range b.State().Labels {
		if l.Name == label {
			return l.Count
		}
	}
	return 0
}

// teach takes samples of two labels.
func (b *board) teach() {
	require.NoError(b.t, b.AddLabel("cup"))
	require.NoError(b.t, b.AddLabel("keys"))
	for i := range byte(4) {
		b.take("cup", coloured(100+10*i, 90, 160))
		b.take("keys", coloured(100+10*i, 160, 110))
	}
}

// train trains, and waits for the end.
func (b *board) train() live.TeachState {
	require.NoError(b.t, b.Train())
	var s live.TeachState
	require.Eventually(b.t, func() bool { s = b.State(); return !s.Training.Running }, soon, 10*time.Millisecond)
	return s
}

var cup, keys, dark = coloured(105, 90, 160), coloured(105, 160, 110), coloured(30, 110, 110)

func TestTeachUseUndo(t *testing.T) {
	b := newBoard(t, nettest.Colours(), samples.Options{})
	require.ErrorContains(t, b.Train(), "at least two labels")
	require.ErrorContains(t, b.Use(), "train first")
	require.ErrorContains(t, b.Undo(), "nothing was in use before")
	require.ErrorContains(t, b.AddLabel("Unknown"), "take another name")
	b.teach()
	s := b.train()
	require.Empty(t, s.Training.Error)
	require.Equal(t, 8, s.Training.Of)
	require.True(t, s.Trained)
	require.False(t, s.CanUndo)
	require.Equal(t, "red", b.show(cup), "not in use yet")

	require.NoError(t, b.Use())
	b.introduce()
	s = b.State()
	require.Equal(t, 1, s.InUse)
	require.False(t, s.Trained)
	require.Equal(t, "cup", b.show(cup))
	require.Equal(t, "keys", b.show(keys))
	from := b.running.model.File().Provenance
	require.Equal(t, q8.Provenance{Tool: "test", Source: "colours", Method: from.Method, Images: 8, ImagesHash: from.ImagesHash, Base: b.running.base}, from)
	require.Contains(t, from.Method, "logistic regression of strength ")
	require.Len(t, from.ImagesHash, 64)
	logits, err := b.running.model.Session().Run(b.running.model.File().SelfTest.Image(b.running.model.File().Network))
	require.NoError(t, err)
	require.NoError(t, b.running.model.File().SelfTest.Check(logits))

	require.NoError(t, b.Close())
	b.running.base = ""
	require.NoError(t, b.running.Use(b.path))
	b.running.base = b.running.model.File().SHA256
	b.start()
	require.Equal(t, "keys", b.show(keys), "in use from the start on")
	require.NoError(t, b.AddLabel("none"))
	b.take("none", dark) // with features of the head's run
	require.Empty(t, b.train().Training.Error)
	require.NoError(t, b.Use())
	b.introduce()
	require.Equal(t, "none", b.show(dark))
	require.NoError(t, b.Undo())
	require.NotEqual(t, "none", b.show(dark))
	require.NoError(t, b.Undo())
	require.Equal(t, "red", b.show(cup))
	require.False(t, b.State().CanUndo)
	require.True(t, b.State().Trained, "it can be used again")
}

// otherColours is another base, with other features.
func otherColours(t *testing.T) *q8.Model {
	m := nettest.Colours()
	layers := slices.Clone(m.Layers)
	same := *layers[0].Op.(*int8.Conv)
	same.Weight = []int8.Value{0, 0, 64, 0, 64, 0, 64, 0, 0} // red is blue
	layers[0].Op = &same
	n, err := int8.NewNetwork("other", m.Input, layers)
	require.NoError(t, err)
	m, err = q8.New(n, m.Preprocess, m.Classes, m.Activation, m.Provenance, nil)
	require.NoError(t, err)
	return m
}

// Another model takes the base's place: samples stay, and what was taught runs no more
// until its base is back.
func TestBaseIsReplaced(t *testing.T) {
	b := newBoard(t, nettest.Colours(), samples.Options{})
	b.teach()
	require.Empty(t, b.train().Training.Error)
	require.NoError(t, b.Use())
	b.introduce()

	b.put(otherColours(t))
	b.introduce()
	s := b.State()
	require.True(t, s.BaseChanged)
	require.Zero(t, s.InUse)
	require.Equal(t, "blue", b.show(cup))
	require.Empty(t, b.train().Training.Error)
	require.NoError(t, b.options.Store.Each(func(s *samples.Sample) error {
		require.Equal(t, b.running.base, s.Base)
		file, err := b.Sample(s.Label, s.ID)
		require.NoError(t, err)
		_, err = b.running.model.ClassifyBytes(file)
		require.NoError(t, err)
		require.Equal(t, b.running.model.Features(), s.Values)
		return nil
	}))
	require.NoError(t, b.Use())
	b.introduce()
	require.False(t, b.State().BaseChanged)
	require.Equal(t, "cup", b.show(cup))
	require.ErrorContains(t, b.Undo(), "taught on another model")

	require.NoError(t, os.WriteFile(b.path, nil, 0o600))
	require.Contains(t, b.train().Training.Error, "empty")
	require.NoError(t, q8.Write(b.path, nettest.Colours()))
	require.Contains(t, b.train().Training.Error, "another model than the one that runs")
	require.Equal(t, "cup", b.show(cup))
}

func TestBaseComesBack(t *testing.T) {
	b := newBoard(t, nettest.Colours(), samples.Options{})
	b.teach()
	require.Empty(t, b.train().Training.Error)
	require.NoError(t, b.Use())
	b.introduce()
	b.put(otherColours(t))
	b.introduce()
	require.Eventually(t, func() bool { return strings.Contains(b.log.String(), "does not run") }, soon, time.Millisecond)
	require.True(t, b.State().BaseChanged)
	b.put(nettest.Colours())
	b.introduce()
	require.Eventually(t, func() bool { return b.State().InUse == 1 }, soon, time.Millisecond)
	require.Equal(t, "cup", b.running.model.Classes()[0].Name)
}

// What is not whole does not run at the start, and is told.
func TestDamagedHead(t *testing.T) {
	b := newBoard(t, nettest.Colours(), samples.Options{})
	b.teach()
	require.Empty(t, b.train().Training.Error)
	require.NoError(t, b.Use())
	path, ok := b.options.Store.InUse()
	require.True(t, ok)
	require.NoError(t, b.Close())
	require.NoError(t, b.running.Use(b.path))
	require.NoError(t, os.WriteFile(path, []byte("no model"), 0o600))
	b.start()
	require.Contains(t, b.log.String(), "not a q8 model")
	require.Equal(t, "red", b.show(cup))
	require.True(t, b.State().BaseChanged)
}

func TestFullStore(t *testing.T) {
	b := newBoard(t, nettest.Colours(), samples.Options{MaxSamples: 2})
	require.NoError(t, b.AddLabel("cup"))
	b.take("cup", cup)
	b.take("cup", cup)
	require.NoError(t, b.Collect("cup", true))
	require.Eventually(t, func() bool { b.show(cup); return b.State().Full != "" }, soon, 10*time.Millisecond)
	s := b.State()
	require.Empty(t, s.Collecting, "it ends by itself")
	require.Equal(t, 2, s.Labels[0].Count)
	require.NoError(t, b.DeleteSample("cup", s.Labels[0].IDs[0]))
	require.Empty(t, b.State().Full)
	b.take("cup", cup)
}

func TestFramesThatCannotBeKept(t *testing.T) {
	b := newBoard(t, nettest.Colours(), samples.Options{})
	require.NoError(t, b.AddLabel("cup"))
	require.NoError(t, b.Collect("cup", true))
	b.Result(&stream.Result{Features: []int16{1}}, &capture.Frame{Format: "RGB3"})
	require.Eventually(t, func() bool { return strings.Contains(b.State().Full, "RGB3") }, soon, time.Millisecond)
	require.Empty(t, b.State().Collecting)
	b.take("cup", cup)
	require.Eventually(t, func() bool { return b.State().Full == "" }, soon, time.Millisecond)
}

func TestCollecting(t *testing.T) {
	b := newBoard(t, nettest.Colours(), samples.Options{})
	require.ErrorContains(t, b.Collect("cup", true), "add it first")
	require.NoError(t, b.AddLabel("cup"))
	require.NoError(t, b.AddLabel("keys"))
	require.NoError(t, b.Collect("cup", false))
	require.NoError(t, b.Collect("cup", true))
	require.NoError(t, b.Collect("keys", false), "it is another's button")
	require.Equal(t, "cup", b.State().Collecting)
	require.NoError(t, b.Collect("keys", true))
	require.Equal(t, "keys", b.State().Collecting)
	require.NoError(t, b.RenameLabel("keys", "key"))
	require.Empty(t, b.State().Collecting)
	require.NoError(t, b.Collect("key", true))
	require.NoError(t, b.RemoveLabel("key"))
	require.Empty(t, b.State().Collecting)
	require.NoError(t, b.Collect("cup", true))
	b.Status(capture.Status{State: capture.Missing})
	require.Empty(t, b.State().Collecting, "nothing is collected blindly when the camera is back")

	// A burst is one group, and the next press another.
	for range 2 {
		have := b.count("cup")
		require.NoError(t, b.Collect("cup", true))
		require.Eventually(t, func() bool { b.show(cup); return b.count("cup") >= have+2 }, soon, 10*time.Millisecond)
		require.NoError(t, b.Collect("cup", true), "it goes on")
		require.NoError(t, b.Collect("cup", false))
	}
	groups := map[int64]int{}
	require.NoError(t, b.options.Store.Each(func(s *samples.Sample) error {
		require.Equal(t, b.running.base, s.Base)
		require.Len(t, s.Values, 3)
		groups[s.Group]++
		return nil
	}))
	require.Len(t, groups, 2)
}

// While the button is held at most five samples a second are taken, however fast frames
// come, and none until the one before is kept.
func TestSamplesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Trainer{collector: newCollector()}
		tr.label, tr.fits = "cup", true
		taken := 0
		for range 1000 {
			tr.Result(&stream.Result{Features: []int16{1}}, cup)
			select {
			case <-tr.wake:
				taken++
				tr.waits = false
			default:
			}
			time.Sleep(10 * time.Millisecond)
		}
		require.Equal(t, 50, taken)
		for range 100 {
			tr.Result(&stream.Result{Features: []int16{1}}, cup)
			time.Sleep(10 * time.Millisecond)
		}
		require.Len(t, tr.wake, 1)
		require.Equal(t, cup.Data, tr.sample.frame.Data)
	})
}

// tireless is a camera and a classifier that take no memory.
type tireless struct {
	running
	frames   chan *capture.Frame
	features []int16
}

func (c *tireless) Status() capture.Status { return capture.Status{State: capture.Streaming} }
func (c *tireless) Close() error           { return nil }
func (c *tireless) Logits() []int32        { return nil }
func (c *tireless) Features() []int16      { return c.features }
func (c *tireless) Next(ctx context.Context) (*capture.Frame, error) {
	select {
	case f := <-c.frames:
		return f, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
func (c *tireless) Model() stream.Model {
	return stream.Model{Classes: []labels.Class{{Name: "red"}}, SHA256: c.base, FeatureScale: 1}
}
func (c *tireless) Classify(_ *capture.Frame, probs []float64) (p classify.Phases, err error) {
	probs[0] = 1
	return p, nil
}

// The loop with the sink in it, which takes a sample of each frame.
func TestSinkAllocatesNothing(t *testing.T) {
	c := &tireless{running{base: "base"}, make(chan *capture.Frame), make([]int16, 2048)}
	tr := &Trainer{collector: newCollector(), options: Options{Models: c}}
	tr.label = "cup"
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(ctx, c, c, stream.Options{}, tr) }()
	frames := [2]capture.Frame{*cup, *cup}
	later := time.Now().Add(24 * time.Hour) // not too old, however busy the machine is
	n := 0
	show := func() {
		n++
		frame := &frames[n%2] // the loop may still have the other one
		frame.Sequence, frame.Time = uint64(n), later.Add(time.Duration(n)*time.Millisecond)
		c.frames <- frame
		<-tr.wake
		tr.lock.Lock()
		tr.next, tr.waits = time.Time{}, false
		tr.lock.Unlock()
	}
	show()
	require.Zero(t, testing.AllocsPerRun(1000, show))
	require.Equal(t, cup.Data, tr.sample.frame.Data)
	require.Equal(t, c.features, tr.sample.features.Values)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestTrainingIsCancelled(t *testing.T) {
	b := newBoard(t, nettest.Colours(), samples.Options{})
	b.Cancel()
	b.teach()
	require.NoError(t, b.Train())
	require.ErrorContains(t, b.Train(), "goes on already")
	b.Cancel()
	require.Eventually(t, func() bool { return !b.State().Training.Running }, soon, time.Millisecond)
	s := b.State()
	require.Empty(t, s.Training.Error)
	require.False(t, s.Trained)
	require.True(t, b.train().Trained)
}

// Features that cannot be computed again are told with the picture that is to blame.
func TestPictureThatCannotBeRead(t *testing.T) {
	b := newBoard(t, nettest.Colours(), samples.Options{})
	b.teach()
	id := b.State().Labels[0].IDs[0]
	path := filepath.Join(b.dir, "samples", "cup", id+".jpg")
	require.NoError(t, os.WriteFile(path, []byte("no picture"), 0o600))
	require.Contains(t, b.train().Training.Error, id)
	require.NoError(t, b.DeleteSample("cup", id))
	require.Empty(t, b.train().Training.Error)
}
