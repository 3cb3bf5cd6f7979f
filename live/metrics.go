package live

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"edgeclassify/capture"
	"edgeclassify/stream"
)

const (
	namespace   = "edgeclassify"
	maxScrapes  = 4 // at a time
	perThousand = 1e-3
)

// buckets reach from 1 ms to 4 s, in powers of two.
var buckets = prometheus.ExponentialBuckets(0.001, 2, 13)

// metrics are the counters that every result moves. All else is read from the
// server when it is asked for.
type metrics struct {
	registry                       *prometheus.Registry
	results                        prometheus.Counter
	age, decode, preprocess, infer prometheus.Observer
}

func newMetrics(s *Server) *metrics {
	results := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace,
		Name: "results_total", Help: "Frames that were classified."})
	age := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Buckets: buckets,
		Name: "age_seconds", Help: "Time from capture to result."})
	phases := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Buckets: buckets,
		Name: "phase_seconds", Help: "Time that a phase of classification takes."}, []string{"phase"})
	m := &metrics{
		registry: prometheus.NewRegistry(), results: results, age: age,
		decode:     phases.WithLabelValues("decode"),
		preprocess: phases.WithLabelValues("preprocess"),
		infer:      phases.WithLabelValues("infer"),
	}
	m.registry.MustRegister(results, age, phases, gauges{s},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes, DisableCompression: true,
	})
}

// observe counts a result.
func (m *metrics) observe(r *stream.Result) {
	m.results.Inc()
	m.age.Observe(r.AgeMS * perThousand)
	m.decode.Observe(r.MS.Decode * perThousand)
	m.preprocess.Observe(r.MS.Preprocess * perThousand)
	m.infer.Observe(r.MS.Infer * perThousand)
}

// gauges collects what the server knows at that moment.
type gauges struct{ server *Server }

// Describe tells nothing: which metrics there are depends on the board.
func (gauges) Describe(chan<- *prometheus.Desc) {}

func (g gauges) Collect(out chan<- prometheus.Metric) {
	s := g.server
	send := func(kind prometheus.ValueType, name, help string, value float64, labels prometheus.Labels) {
		desc := prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, nil, labels)
		out <- prometheus.MustNewConstMetric(desc, kind, value)
	}
	gauge := func(name, help string, value float64) { send(prometheus.GaugeValue, name, help, value, nil) }
	counter := func(name, help string, value uint64) {
		send(prometheus.CounterValue, name, help, float64(value), nil)
	}

	var r stream.Result
	status, _ := s.memory.read(&r)
	model, kernel, _ := s.memory.names()
	send(prometheus.GaugeValue, "info", "What runs.", 1, prometheus.Labels{
		"version": s.options.Version, "model": model, "kernel": kernel})
	gauge("since_frame_seconds", "Time since the newest frame was captured.", s.since(time.Now()).Seconds())
	counter("camera_frames_total", "Frames that the camera gave.", status.Frames)
	counter("camera_dropped_total", "Frames that the camera or the driver lost.", max(status.Dropped, r.Dropped))
	counter("camera_corrupt_total", "Frames that were damaged.", status.Corrupt)
	counter("camera_restarts_total", "Times that the camera was opened again.", status.Restarts)
	for _, state := range []string{capture.Starting, capture.Streaming, capture.Stalled, capture.Missing, capture.Failed} {
		send(prometheus.GaugeValue, "camera_state", "1 for the state that the camera is in.",
			oneIf(state == status.State), prometheus.Labels{"state": state})
	}
	if r.TemperatureC != 0 {
		gauge("temperature_celsius", "Of the hottest sensor.", r.TemperatureC)
	}
	for _, reason := range r.Throttled {
		send(prometheus.GaugeValue, "throttled", "1 for each reason why the processor is slowed down.", 1, prometheus.Labels{"reason": reason})
	}
	for kind, n := range map[string]int{"picture": s.screen.viewers.count(), "events": s.results.count()} {
		send(prometheus.GaugeValue, "viewers", "Who is watching.", float64(n), prometheus.Labels{"of": kind})
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
