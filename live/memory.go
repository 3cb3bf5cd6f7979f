package live

import (
	"math"
	"slices"
	"sync"
	"time"

	"edgeclassify/capture"
	"edgeclassify/labels"
	"edgeclassify/stream"
)

const (
	window      = 10 * time.Second // over which results are counted
	sampleCount = 512              // results that latencies are taken from
	entryCount  = 12               // of a journal
)

// top is the kind of entries about the most probable class, in a journal.
const top = "top"

// State is what the server knows, the answer of /api/latest.
type State struct {
	Host    string         `json:"host,omitempty"` // the machine's name
	Model   string         `json:"model,omitempty"`
	Kernel  string         `json:"kernel,omitempty"`
	Version string         `json:"version,omitempty"`
	Camera  capture.Status `json:"camera"`
	Result  *stream.Result `json:"result"` // null before the first frame
	// SinceMS is the time since the newest frame was captured, or without one
	// since the start. Stale tells that this is more than StaleAfterMS.
	SinceMS      float64        `json:"since_ms"`
	Stale        bool           `json:"stale"`
	StaleAfterMS float64        `json:"stale_after_ms"` // 0: never
	FPS          float64        `json:"fps"`            // results per second
	AgeMS        Percentiles    `json:"age_ms"`         // from capture to result
	InferMS      Percentiles    `json:"infer_ms"`       // of the network alone
	History      []stream.Event `json:"history"`        // changes of the most probable class, newest first
	Watched      []stream.Event `json:"watched"`        // newest first
	Watch        []Watch        `json:"watch"`          // in the order that was asked for
	ROI          string         `json:"roi,omitempty"`  // as -roi takes it; the whole picture where it is absent
	Viewers      int            `json:"viewers"`        // of the picture
}

// Watch is a watched label.
type Watch struct {
	Label  string    `json:"label"`
	InView bool      `json:"in_view"`
	Since  time.Time `json:"since,omitzero"` // when it last came or went
}

// Percentiles of the last 512 results, in milliseconds.
type Percentiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
}

// sample is what statistics need of a result.
type sample struct {
	at         time.Time
	age, infer float64
}

// memory is what the sink was told, in memory that is allocated once.
type memory struct {
	mu      sync.Mutex
	model   stream.Model
	watch   []Watch
	status  capture.Status
	result  stream.Result // its slices are the memory's own
	count   uint64        // of results
	samples [sampleCount]sample
	history journal
	watched journal
}

func (m *memory) setResult(r *stream.Result, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	keepResult(&m.result, r)
	m.samples[m.count%sampleCount] = sample{now, r.AgeMS, r.MS.Infer}
	m.count++
	if best, ok := r.Best(); ok && m.history.last().Label != best.Label {
		m.history.add(stream.Event{Time: r.Time, Label: best.Label, Kind: top, Prob: best.Probability})
	}
}

// setModel keeps what is to be shown of a model, and watches its labels.
func (m *memory) setModel(model stream.Model, watch []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.model = model
	m.watch = make([]Watch, 0, len(watch))
	for _, name := range watch {
		if found, err := labels.Find(model.Classes, name); err == nil {
			m.watch = append(m.watch, Watch{Label: model.Classes[found[0]].Name})
		}
	}
}

func (m *memory) addEvent(e stream.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watched.add(e)
	for i := range m.watch {
		if w := &m.watch[i]; w.Label == e.Label {
			w.InView, w.Since = e.Kind == stream.Start, e.Time
		}
	}
}

// names are what the model and what runs it are called, and the watched labels.
func (m *memory) names() (model, kernel string, watch []Watch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.model.Name, m.model.Kernel, slices.Clone(m.watch)
}

func (m *memory) setStatus(s capture.Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status = s
}

// read copies the last result to r and returns the camera's status and how many
// results there were.
func (m *memory) read(r *stream.Result) (capture.Status, uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	keepResult(r, &m.result)
	return m.status, m.count
}

// logs returns the samples in no order, and the journals.
func (m *memory) logs() (samples []sample, history, watched []stream.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	samples = slices.Clone(m.samples[:min(m.count, sampleCount)])
	return samples, m.history.newestFirst(), m.watched.newestFirst()
}

// keepResult copies a result into slices that dst owns.
func keepResult(dst, src *stream.Result) {
	classes, throttled := dst.Top, dst.Throttled
	*dst = *src
	dst.Probabilities = nil
	dst.Top = append(classes[:0], src.Top...)
	dst.Throttled = append(throttled[:0], src.Throttled...)
}

// journal keeps the last entries.
type journal struct {
	entries [entryCount]stream.Event
	count   int
}

func (j *journal) add(e stream.Event) {
	j.entries[j.count%entryCount] = e
	j.count++
}

// last is the newest entry, zero if there is none.
func (j *journal) last() stream.Event {
	return j.entries[(j.count+entryCount-1)%entryCount]
}

func (j *journal) newestFirst() []stream.Event {
	entries := make([]stream.Event, 0, entryCount)
	for i := j.count - 1; i >= max(0, j.count-entryCount); i-- {
		entries = append(entries, j.entries[i%entryCount])
	}
	return entries
}

// state is put together where it is asked for, not by the sink.
func (s *Server) state() State {
	now := time.Now()
	since := s.since(now)
	var r stream.Result
	status, count := s.memory.read(&r)
	samples, history, watched := s.memory.logs()
	model, kernel, watch := s.memory.names()
	state := State{
		Host: s.host, Model: model, Kernel: kernel, Version: s.options.Version,
		Camera:       status,
		SinceMS:      milliseconds(since),
		Stale:        s.stale(since),
		StaleAfterMS: milliseconds(max(0, s.options.Stale)),
		FPS:          s.rate(samples, now),
		AgeMS:        percentiles(samples, func(s sample) float64 { return s.age }),
		InferMS:      percentiles(samples, func(s sample) float64 { return s.infer }),
		History:      history, Watched: watched, Watch: watch,
		ROI:     s.options.ROI.String(),
		Viewers: s.screen.viewers.count(),
	}
	if count > 0 {
		state.Result = &r
	}
	return state
}

// since is the time since the newest frame was captured, or without one since
// the start.
func (s *Server) since(now time.Time) time.Duration {
	s.memory.mu.Lock()
	defer s.memory.mu.Unlock()
	newest := s.started
	if s.memory.count > 0 {
		newest = s.memory.result.Time
	}
	return max(0, now.Sub(newest))
}

// stale reports whether a frame of that age is not to be shown any more.
func (s *Server) stale(age time.Duration) bool {
	return s.options.Stale > 0 && age > s.options.Stale
}

// rate is the results per second of late.
func (s *Server) rate(samples []sample, now time.Time) float64 {
	recent, oldest := 0, now
	for _, sample := range samples {
		if now.Sub(sample.at) < window {
			recent++
			if sample.at.Before(oldest) {
				oldest = sample.at
			}
		}
	}
	span := min(window, now.Sub(s.started))
	if recent == sampleCount { // more than fit
		span = now.Sub(oldest)
	}
	return float64(recent) / max(span.Seconds(), 1)
}

// percentiles are by nearest rank.
func percentiles(samples []sample, of func(sample) float64) Percentiles {
	if len(samples) == 0 {
		return Percentiles{}
	}
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	at := func(share float64) float64 {
		return values[int(math.Ceil(share*float64(len(values))))-1]
	}
	return Percentiles{at(0.50), at(0.90), at(0.99)}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
