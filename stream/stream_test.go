package stream

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"edgeclassify/internal/syncbuffer"

	"github.com/stretchr/testify/require"

	"edgeclassify/capture"
	"edgeclassify/classify"
	"edgeclassify/int8"
	"edgeclassify/internal/board"
	"edgeclassify/labels"
)

var classes = []labels.Class{{ID: "n1", Name: "cat"}, {ID: "n2", Name: "dog"}, {ID: "n3", Name: "crane"}, {ID: "n4", Name: "crane"}}

var (
	logits   = []int32{1, -2, 1 << 30}
	features = []int16{3, -4}
)

// fakeCamera gives the frames that a test puts into it.
type fakeCamera struct {
	frames chan answer
	mu     sync.Mutex
	status capture.Status
}

func newFakeCamera() *fakeCamera {
	return &fakeCamera{frames: make(chan answer), status: capture.Status{Device: "fake", State: capture.Streaming, Dropped: 7}}
}

func (c *fakeCamera) Next(ctx context.Context) (*capture.Frame, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case a := <-c.frames:
		return a.frame, a.err
	}
}

func (c *fakeCamera) Status() capture.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

func (c *fakeCamera) set(state, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.State, c.status.Error = state, why
}

func (c *fakeCamera) Close() error { return nil }

// fakeClassifier reads a frame's data as probabilities in percent.
type fakeClassifier struct{}

func (fakeClassifier) Logits() []int32 { return logits }

func (fakeClassifier) Features() []int16 { return features }

func (fakeClassifier) Model() Model { return Model{Name: "fake", Classes: classes} }

func (fakeClassifier) Classify(f *capture.Frame, probs []float64) (classify.Phases, error) {
	if len(f.Data) != len(probs) {
		return classify.Phases{}, errors.New("damaged")
	}
	for i, v := range f.Data {
		probs[i] = float64(v) / 100
	}
	return classify.Phases{Infer: 1}, nil
}

func prediction(class int, p float64) classify.Prediction {
	return classify.Prediction{Class: class, ID: classes[class].ID, Label: classes[class].Name, Probability: p}
}

// recorder keeps what the loop makes.
type recorder struct {
	results []Result
	events  []Event
	states  []string
	log     []string // of all kinds, in order
}

func (r *recorder) Result(x *Result, _ *capture.Frame) {
	kept := *x
	kept.Top, kept.Probabilities = append([]classify.Prediction(nil), x.Top...), nil
	r.results = append(r.results, kept)
	r.log = append(r.log, "result")
}

func (r *recorder) Model(m Model) { r.log = append(r.log, "model "+m.Name) }

func (r *recorder) Event(e Event, _ *capture.Frame) {
	r.events = append(r.events, e)
	r.log = append(r.log, e.Kind+" "+e.Label)
}

func (r *recorder) Status(s capture.Status) {
	r.states = append(r.states, s.State)
	r.log = append(r.log, s.State)
}

// bench runs the loop in fake time.
type bench struct {
	t        *testing.T
	cam      *fakeCamera
	rec      recorder
	sequence uint64
	stop     func() error
}

func start(t *testing.T, o Options) *bench {
	b := &bench{t: t, cam: newFakeCamera()}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, b.cam, fakeClassifier{}, o, &b.rec) }()
	b.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { b.stop() })
	synctest.Wait()
	return b
}

// show gives the loop a frame with these probabilities in percent, if it wants
// one, and waits until that is done with.
func (b *bench) show(percent ...uint8) bool {
	b.sequence++
	return b.give(&capture.Frame{Sequence: b.sequence, Time: time.Now(), Data: percent})
}

func (b *bench) give(f *capture.Frame) bool {
	b.wait(time.Millisecond)
	defer synctest.Wait()
	select {
	case b.cam.frames <- answer{frame: f}:
		return true
	default:
		return false
	}
}

// wait lets time pass. What the test has read of the recorder happens before
// what the loop does meanwhile.
func (b *bench) wait(d time.Duration) {
	b.cam.Status()
	time.Sleep(d)
	synctest.Wait()
}

func (b *bench) last() Result {
	require.NotEmpty(b.t, b.rec.results)
	return b.rec.results[len(b.rec.results)-1]
}

func TestBest(t *testing.T) {
	r := Result{}
	_, ok := r.Best()
	require.False(t, ok)
	r.Top = []classify.Prediction{prediction(1, 0.4), prediction(0, 0.3)}
	best, ok := r.Best()
	require.True(t, ok)
	require.Equal(t, prediction(1, 0.4), best)
	r.Independent = true
	_, ok = r.Best()
	require.False(t, ok)
	r.Top[0].Probability = 0.5
	_, ok = r.Best()
	require.True(t, ok)
}

func TestResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		celsius := 61.5
		b := start(t, Options{Top: 3, Board: func() board.State {
			return board.State{Celsius: &celsius, Throttle: &board.Throttle{Now: []string{"under-voltage"}}}
		}})
		captured := time.Now()
		require.True(t, b.show(20, 50, 10, 20))
		require.Equal(t, Result{
			Time: captured, Sequence: 1, AgeMS: 1, Dropped: 7, MS: classify.Phases{Infer: 1},
			LogitsSHA256: sha256.Sum256(int8.AppendLogits(nil, logits)), Features: features,
			Top:          []classify.Prediction{prediction(1, 0.5), prediction(0, 0.2), prediction(3, 0.2)},
			TemperatureC: celsius, Throttled: []string{"under-voltage"},
		}, b.last())
		require.Equal(t, []string{"model fake", capture.Streaming, "result"}, b.rec.log)
		require.ErrorIs(t, b.stop(), context.Canceled)
	})
}

// The past weighs by the time between two captures, whatever the rate.
func TestSmoothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Smooth: 100 * time.Millisecond})
		b.show(80, 20, 0, 0)
		require.Equal(t, 0.8, b.last().Top[0].Probability, "nothing to smooth with")
		b.wait(19 * time.Millisecond)
		b.show(0, 100, 0, 0)
		past := math.Exp(-0.2)
		require.InDelta(t, past*0.8, b.last().Top[0].Probability, 1e-12)
		require.Equal(t, "cat", b.last().Top[0].Label)
		b.wait(49 * time.Millisecond)
		b.show(1) // a frame that is not classified does not count
		b.wait(30*time.Millisecond - time.Millisecond)
		b.show(0, 100, 0, 0)
		past *= math.Exp(-0.8)
		require.Equal(t, "dog", b.last().Top[0].Label)
		require.InDelta(t, 1-past*0.8, b.last().Top[0].Probability, 1e-12)
		b.wait(5 * time.Second)
		b.show(0, 0, 90, 10)
		require.InDelta(t, 0.9, b.last().Top[0].Probability, 1e-12, "what was seen 5 seconds ago says nothing")
	})
}

func eventsOf(b *bench) (got []string) {
	for _, e := range b.rec.events {
		got = append(got, e.Kind+" "+e.Label)
	}
	return got
}

// A flicker makes no event at a high rate, and a single result does at a low one.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{MinProb: 0.5, Hold: 300 * time.Millisecond, Watch: []string{"n1", "CRANE"}})
		show := func(times int, percent ...uint8) { // at 30 frames a second
			for range times {
				b.wait(32 * time.Millisecond)
				require.True(t, b.show(percent...))
			}
		}
		show(9, 90, 0, 0, 0) // not long enough
		show(1, 0, 0, 0, 0)
		show(9, 90, 0, 0, 0)
		require.Empty(t, b.rec.events)
		show(1, 50, 0, 0, 0)
		show(11, 41, 0, 30, 29) // above the lower threshold; the cranes' sum counts
		show(9, 39, 0, 0, 0)
		show(1, 40, 0, 0, 0)
		show(10, 39, 0, 0, 0)
		require.Equal(t, []string{"start cat", "start crane", "end crane", "end cat"}, eventsOf(b))
		require.Equal(t, 0.5, b.rec.events[0].Prob)
		require.InDelta(t, 0.59, b.rec.events[1].Prob, 1e-12)
		require.Equal(t, b.last().Time, b.rec.events[3].Time)

		b.rec.events = nil
		for range 2 {
			b.wait(5 * time.Second)
			b.show(90, 0, 0, 0)
			b.wait(5 * time.Second)
			b.show(0, 0, 0, 0)
		}
		require.Equal(t, []string{"start cat", "end cat", "start cat", "end cat"}, eventsOf(b))
	})
}

// other is another model: its classes stand the other way round.
type other struct{ fakeClassifier }

func (other) Model() Model {
	backwards := slices.Clone(classes)
	slices.Reverse(backwards)
	return Model{Name: "other", SHA256: "beef", Classes: backwards, Independent: true}
}

func TestReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		replace := make(chan Classifier)
		b := start(t, Options{Smooth: time.Hour, Watch: []string{"cat"}, MinProb: 0.5, Replace: replace})
		b.show(100, 0, 0, 0)
		replace <- other{}
		b.show(0, 0, 0, 90)
		require.Equal(t, []string{"model fake", capture.Streaming, "result", "start cat", "end cat", "model other", "result", "start cat"}, b.rec.log)
		require.Equal(t, prediction(0, 0.9).Label, b.last().Top[0].Label)
		require.Equal(t, 0.9, b.last().Top[0].Probability, "the past is the other model's")
		require.Equal(t, "beef", b.last().Model)
		require.True(t, b.last().Independent)
	})
	replace := make(chan Classifier, 1)
	replace <- nameless{}
	require.ErrorContains(t, Run(t.Context(), newFakeCamera(), fakeClassifier{}, Options{Watch: []string{"cat"}, Replace: replace}), `no class "cat"`)
}

func FuzzDigest(f *testing.F) {
	f.Add("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
	f.Add("E3")
	f.Fuzz(func(t *testing.T, text string) {
		var d Digest
		if d.UnmarshalText([]byte(text)) == nil {
			require.Equal(t, strings.ToLower(text), d.String())
		}
	})
}

// nameless is a model without the labels of others.
type nameless struct{ fakeClassifier }

func (nameless) Model() Model { return Model{Classes: []labels.Class{{Name: "bird"}}} }

func TestDigest(t *testing.T) {
	r := Result{LogitsSHA256: sha256.Sum256(nil)}
	text, err := json.Marshal(r)
	require.NoError(t, err)
	require.Contains(t, string(text), `"logits_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"`)
	var back Result
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, r.LogitsSHA256, back.LogitsSHA256)
	require.ErrorContains(t, json.Unmarshal([]byte(`{"logits_sha256":"e3b0"}`), &back), "64 hexadecimal digits")
	text, err = json.Marshal(Result{})
	require.NoError(t, err)
	require.NotContains(t, string(text), "logits")
}

func TestSeen(t *testing.T) {
	require.True(t, Seen(false, 0.5, 0.5))
	require.False(t, Seen(false, 0.49, 0.5))
	require.True(t, Seen(true, 0.41, 0.5))
	require.False(t, Seen(true, 0.39, 0.5))
}

// No frame is shown twice, and none that waited while the camera was silent.
func TestOldFramesAreNotResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{})
		require.True(t, b.show(100, 0, 0, 0))
		again := &capture.Frame{Sequence: b.sequence, Time: time.Now(), Data: []byte{0, 0, 0, 0}}
		require.True(t, b.give(again), "a repeated sequence number")
		earlier := &capture.Frame{Sequence: 99, Time: b.last().Time, Data: []byte{0, 0, 0, 0}}
		require.True(t, b.give(earlier), "a repeated time")
		waited := &capture.Frame{Sequence: 100, Time: time.Now(), Data: []byte{0, 0, 0, 0}}
		require.True(t, b.give(&capture.Frame{Sequence: 50, Time: time.Now(), Data: []byte{1}}), "damaged")
		require.Len(t, b.rec.results, 1)

		b = start(t, Options{Every: time.Minute})
		require.True(t, b.show(100, 0, 0, 0))
		waited.Time = time.Now()
		b.wait(time.Minute)
		require.True(t, b.give(waited), "captured long before it is taken")
		require.Len(t, b.rec.results, 1)
		require.True(t, b.show(100, 0, 0, 0))
		require.Len(t, b.rec.results, 2)
		require.EqualValues(t, 2, b.last().Sequence)
	})
}

// A camera whose clock is wrong is slow, not silent: its age tells.
func TestCameraThatIsAlwaysLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{})
		begin := time.Now().Add(-time.Hour)
		for i := range 3 * (patience + 1) {
			b.give(&capture.Frame{Sequence: uint64(i), Time: begin.Add(time.Duration(i) * time.Second), Data: []byte{1, 2, 3, 4}})
		}
		require.Len(t, b.rec.results, 3)
		require.Greater(t, b.last().AgeMS, 3.5e6)
	})
}

func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Every: 100 * time.Millisecond})
		given := 0
		for range 1000 { // each millisecond
			if b.show(100, 0, 0, 0) {
				given++
			}
		}
		require.InDelta(t, 10, given, 1)
		require.Len(t, b.rec.results, given)
	})
}

func TestTrigger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trigger := make(chan time.Time, 1)
		b := start(t, Options{Trigger: trigger, Smooth: time.Hour, Hold: time.Hour, Watch: []string{"cat"}, MinProb: 0.5})
		require.False(t, b.show(100, 0, 0, 0), "nobody asked")
		before := time.Now()
		time.Sleep(time.Millisecond)
		trigger <- time.Now()
		synctest.Wait()
		require.True(t, b.give(&capture.Frame{Sequence: 50, Time: before, Data: []byte{0, 0, 0, 0}}))
		require.Empty(t, b.rec.results, "captured before the trigger")
		require.True(t, b.show(100, 0, 0, 0))
		require.Len(t, b.rec.results, 1)
		require.False(t, b.show(100, 0, 0, 0))

		trigger <- time.Now()
		synctest.Wait()
		require.True(t, b.show(0, 100, 0, 0))
		require.Equal(t, 1.0, b.last().Top[0].Probability, "not smoothed")
		require.Equal(t, []string{"model fake", capture.Streaming, "result", "start cat", "result", "end cat"}, b.rec.log)
	})
}

func TestCameraGoesAndComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Smooth: time.Hour, Watch: []string{"cat"}, MinProb: 0.5, Hold: 3 * time.Millisecond})
		for range 3 {
			b.show(100, 0, 0, 0)
		}
		b.cam.set(capture.Missing, "unplugged")
		b.wait(statusPoll)
		require.Equal(t, []string{"model fake", capture.Streaming, "result", "result", "result", "start cat", capture.Missing, "end cat"}, b.rec.log)

		b.wait(10 * time.Second)
		require.InDelta(t, 2+10, len(b.rec.states), 2, "a refresh about once a second")

		b.rec.log = nil
		b.cam.set(capture.Streaming, "")
		b.show(0, 100, 0, 0)
		require.Equal(t, []string{capture.Streaming, "result"}, b.rec.log, "the sinks know before the result")
		require.Equal(t, prediction(1, 1), b.last().Top[0], "the past is forgotten")
	})
}

func TestBadFramesAreLoggedSparingly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log syncbuffer.Buffer
		b := start(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		for range 100 {
			require.True(t, b.show(1))
		}
		require.Empty(t, b.rec.results)
		require.Equal(t, 1, strings.Count(log.String(), "frame not classified"), log.String())
		b.wait(complaints)
		b.show(1)
		require.Contains(t, log.String(), "err=damaged frames=100")
	})
}

func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cam := newFakeCamera()
		broken := errors.New("broken for good")
		go func() { cam.frames <- answer{err: broken} }()
		require.Equal(t, broken, Run(t.Context(), cam, fakeClassifier{}, Options{}))
	})
	for want, o := range map[string]Options{
		"smoothing for -1s":         {Smooth: -time.Second},
		"held for -1s":              {Hold: -time.Second},
		"probability 1.5":           {MinProb: 1.5},
		"interval -1s":              {Every: -time.Second},
		"-1 classes":                {Top: -1},
		`"doge": did you mean dog?`: {Watch: []string{"doge"}},
	} {
		require.ErrorContains(t, Run(t.Context(), newFakeCamera(), fakeClassifier{}, o), want)
	}
}

// neverOld is the time of a frame that is taken however busy the machine is.
var neverOld = time.Now().Add(24 * time.Hour)

// interrupted is a classifier that takes long enough to be told to stop.
type interrupted struct {
	fakeClassifier
	stop context.CancelFunc
}

func (i interrupted) Classify(f *capture.Frame, probs []float64) (classify.Phases, error) {
	i.stop()
	return i.fakeClassifier.Classify(f, probs)
}

func TestNoResultAfterTheEnd(t *testing.T) {
	cam, rec := newFakeCamera(), &recorder{}
	go func() { cam.frames <- answer{frame: &capture.Frame{Time: neverOld, Data: []byte{1, 2, 3, 4}}} }()
	ctx, stop := context.WithCancel(t.Context())
	require.ErrorIs(t, Run(ctx, cam, interrupted{stop: stop}, Options{}, rec), context.Canceled)
	require.Equal(t, []string{"model fake", capture.Streaming}, rec.log)
}

// handOver is a sink that tells when a result is there.
type handOver chan struct{}

func (h handOver) Result(*Result, *capture.Frame) { h <- struct{}{} }
func (handOver) Model(Model)                      {}
func (handOver) Event(Event, *capture.Frame)      {}
func (handOver) Status(capture.Status)            {}

func TestNoAllocationPerFrame(t *testing.T) {
	cam, done := newFakeCamera(), make(handOver)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, cam, fakeClassifier{}, Options{Smooth: time.Second, MinProb: 0.5, Watch: []string{"cat"}}, done)
	}()
	frames := [2]capture.Frame{{Data: make([]byte, len(classes))}, {Data: make([]byte, len(classes))}}
	sequence := uint64(0)
	show := func() {
		sequence++
		frame := &frames[sequence%2] // the loop may still have the other one
		frame.Sequence, frame.Time = sequence, neverOld.Add(time.Duration(sequence)*time.Millisecond)
		frame.Data[0] = uint8(100 * (sequence / 4 % 2)) // with events
		cam.frames <- answer{frame: frame}
		<-done
	}
	show()
	require.Zero(t, testing.AllocsPerRun(1000, show))
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}
