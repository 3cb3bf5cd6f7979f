package live

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/capture"
	"edgeclassify/classify"
	"edgeclassify/labels"
	"edgeclassify/stream"
)

const token = "correct horse battery"

// serve starts a server and checks in the end that it goes without leaving
// anything behind.
func serve(t *testing.T, o Options, change ...func(*Server)) *Server {
	t.Helper()
	s, err := Listen("127.0.0.1:0", o)
	require.NoError(t, err)
	for _, c := range change {
		c(s)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-time.After(patience / 2):
			t.Error("the server waits for viewers")
			<-ended
		}
		require.Eventually(t, func() bool { return leftovers() == "" }, time.Minute, 10*time.Millisecond,
			"goroutines are left behind")
		require.Zero(t, s.screen.viewers.count())
		require.Zero(t, s.results.count())
		require.Zero(t, s.events.count())
		require.Zero(t, s.lessons.count())
	})
	return s
}

// leftovers are the stacks of goroutines that serve or encode.
func leftovers() string {
	buf := make([]byte, 1<<20)
	var found []string
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(stack, "live.(*") && !strings.Contains(stack, "testing.tRunner") || strings.Contains(stack, "http.(*conn).serve") {
			found = append(found, stack)
		}
	}
	return strings.Join(found, "\n\n")
}

func (s *Server) url(path string) string { return "http://" + s.Addr().String() + path }

// client shares no connections with other tests.
func client(t *testing.T) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// get returns an answer and its body.
func get(t *testing.T, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	r.Host = r.Header.Get("Host")
	response, err := client(t).Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}

// open begins to read an answer that does not end.
func open(t *testing.T, url string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	response, err := client(t).Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { response.Body.Close() })
	return response
}

// result is one of a network that sees a cat.
func result(sequence uint64) *stream.Result {
	return &stream.Result{
		Time: time.Now().Add(-50 * time.Millisecond), Sequence: sequence, AgeMS: 50, Dropped: 3,
		Top: []classify.Prediction{
			{Class: 282, ID: "n02123159", Label: "tiger cat", Probability: 0.62},
			{Class: 281, ID: "n02123045", Label: "tabby, a long <b>name</b> & more", Probability: 0.31},
			{Class: 285, ID: "n02124075", Label: "Egyptian cat", Probability: 0.05},
			{Class: 287, ID: "n02127052", Label: "lynx", Probability: 0.012},
			{Class: 761, ID: "n04074963", Label: "remote control", Probability: 0.004},
		},
		MS:           classify.Phases{Decode: 4, Preprocess: 2, Infer: 32},
		TemperatureC: 61.5, Throttled: []string{"under-voltage"},
	}
}

// cats is a model of that name that knows what result sees.
func cats(name string) stream.Model {
	m := stream.Model{Name: name, Kernel: "neondot"}
	for _, p := range result(0).Top {
		m.Classes = append(m.Classes, labels.Class{ID: p.ID, Name: p.Label})
	}
	return m
}

// show gives a server a frame with its result.
func (s *Server) show(f *capture.Frame) {
	r := result(f.Sequence)
	r.Time = f.Time
	s.Result(r, f)
}

// film shows frames of that kind, a hundred a second, until the test ends.
func film(t *testing.T, s *Server, frame func(sequence uint64) *capture.Frame) {
	ctx, stop := context.WithCancel(context.Background())
	ended := inBackground(func() {
		for n := uint64(1); ctx.Err() == nil; n++ {
			s.show(frame(n))
			time.Sleep(10 * time.Millisecond)
		}
	})
	t.Cleanup(func() { stop(); <-ended })
}

// inBackground runs a function and tells when it has ended.
func inBackground(f func()) chan struct{} {
	ended := make(chan struct{})
	go func() { defer close(ended); f() }()
	return ended
}

// raw is a frame of one colour, with lines longer than the picture.
func raw(format capture.Format, c color.YCbCr, full bool) *capture.Frame {
	const width, height, stride = 62, 46, 128
	f := &capture.Frame{Format: format, Width: width, Height: height, Stride: stride, FullRange: full, Sequence: 7, Time: time.Now()}
	fill := func(n int, pattern ...uint8) {
		f.Data = append(f.Data, bytes.Repeat(pattern, n/len(pattern))...)
	}
	switch format {
	case capture.YUYV:
		fill(stride*height, c.Y, c.Cb, c.Y, c.Cr)
	case capture.NV12:
		fill(stride*height, c.Y)
		fill(stride*height/2, c.Cb, c.Cr)
	case capture.I420:
		fill(stride*height, c.Y)
		fill(stride/2*height/2, c.Cb)
		fill(stride/2*height/2, c.Cr)
	}
	return f
}

// photo is a frame of a camera that gives JPEG files.
func photo(t testing.TB, name string) func(sequence uint64) *capture.Frame {
	data, err := os.ReadFile("../testdata/photos/" + name)
	require.NoError(t, err)
	config, _, err := image.DecodeConfig(bytes.NewReader(data))
	require.NoError(t, err)
	return func(sequence uint64) *capture.Frame {
		return &capture.Frame{Format: capture.MJPEG, Width: config.Width, Height: config.Height, FullRange: true,
			Data: data, Sequence: sequence, Time: time.Now().Add(-50 * time.Millisecond)}
	}
}

func streaming() capture.Status {
	return capture.Status{Device: "/dev/video0 (Test camera)", State: capture.Streaming, Since: time.Now(),
		Format: capture.YUYV, Width: 640, Height: 480, FPS: 30, Frames: 100, Dropped: 3, Corrupt: 2, Restarts: 1}
}

func TestListenRefuses(t *testing.T) {
	s := serve(t, Options{})
	for name, c := range map[string]struct {
		addr string
		o    Options
		want string
	}{
		"taken port":  {s.Addr().String(), Options{}, "address already in use"},
		"no port":     {"localhost", Options{}, "must be PORT, :PORT or HOST:PORT"},
		"large port":  {"70000", Options{}, "70000"},
		"unknown":     {"192.0.2.1:8080", Options{}, "192.0.2.1:8080"},
		"short token": {"127.0.0.1:0", Options{Token: "1234"}, "at least 8"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Listen(c.addr, c.o)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestOnlyThisMachineUnlessAskedOtherwise(t *testing.T) {
	for addr, public := range map[string]bool{"0": false, "localhost:0": false, ":0": true, "0.0.0.0:0": true} {
		for _, token := range []string{"", token} {
			s, err := Listen(addr, Options{Token: token})
			require.NoError(t, err)
			s.listener.Close()
			require.Equal(t, public && token == "", s.Public(), "%s %q", addr, token)
			require.Equal(t, !public, s.Addr().(*net.TCPAddr).IP.IsLoopback())
		}
	}
}

func TestResultAllocatesNothing(t *testing.T) {
	s, err := Listen("127.0.0.1:0", Options{Watch: []string{"tiger cat"}})
	require.NoError(t, err)
	defer s.listener.Close()
	s.Model(cats("resnet50"))
	r, f := result(1), raw(capture.YUYV, color.YCbCr{Y: 100, Cb: 128, Cr: 128}, true)
	other := result(2)
	other.Top = other.Top[1:] // another entry in the history each time
	once := func() {
		s.screen.at = time.Time{} // so that each frame is copied
		s.Result(r, f)
		s.Result(other, f)
		s.Status(capture.Status{State: capture.Streaming})
		s.Event(stream.Event{Label: "tiger cat", Kind: stream.Start}, nil)
	}
	once()
	require.Zero(t, testing.AllocsPerRun(1000, once))
}

func TestFramesAreCopiedSeldomWhileNobodyWatches(t *testing.T) {
	s := newScreen(nil)
	now := time.Now()
	copies := 0
	for i := range 100 {
		f := raw(capture.I420, color.YCbCr{}, true)
		f.Sequence = uint64(i)
		s.show(f, now.Add(time.Duration(i)*30*time.Millisecond))
		if s.copy.Sequence == uint64(i) {
			copies++
		}
	}
	require.Equal(t, 3, copies, "one a second")
	require.Empty(t, s.wake, "nothing to encode")

	box, err := s.join(netip.Prefix{})
	require.NoError(t, err)
	require.Len(t, s.wake, 1, "the viewer gets what was copied last")
	copies = 0
	for i := range 100 {
		f := raw(capture.I420, color.YCbCr{}, true)
		f.Sequence = uint64(i + 1000)
		s.show(f, now.Add(time.Minute+time.Duration(i)*30*time.Millisecond))
		if s.copy.Sequence == f.Sequence {
			copies++
		}
	}
	require.Equal(t, 25, copies, "every fourth of 30 ms")
	s.viewers.leave(box)
}

func TestEncodingTakesAPartOfACoreOnly(t *testing.T) {
	s := newScreen(nil)
	now := time.Now()
	_, err := s.viewers.join(netip.Prefix{})
	require.NoError(t, err)
	f := raw(capture.NV12, color.YCbCr{}, true)
	s.show(f, now)
	s.keep(&picture{}, now.Add(rest(25*time.Millisecond)))
	f.Sequence = 8
	s.show(f, now.Add(399*time.Millisecond))
	require.EqualValues(t, 7, s.copy.Sequence)
	s.show(f, now.Add(400*time.Millisecond))
	require.EqualValues(t, 8, s.copy.Sequence)
}

func TestRest(t *testing.T) {
	for encoding, want := range map[time.Duration]time.Duration{
		time.Millisecond:      100 * time.Millisecond,
		10 * time.Millisecond: 160 * time.Millisecond,
		time.Minute:           time.Second,
	} {
		require.Equal(t, want, rest(encoding))
	}
}

func TestFanout(t *testing.T) {
	f := newFanout[int](2, 2, 2)
	slow, err := f.join(netip.Prefix{})
	require.NoError(t, err)
	fast, err := f.join(netip.Prefix{})
	require.NoError(t, err)
	_, err = f.join(netip.Prefix{})
	require.Error(t, err, "full")
	for i := range 5 {
		f.send(i)
		require.Equal(t, i, <-fast)
	}
	require.Equal(t, 3, <-slow, "the oldest are gone")
	require.Equal(t, 4, <-slow)
	f.offer(slow, 9)
	f.offer(slow, 10)
	require.Equal(t, 9, <-slow)
	require.Empty(t, slow)
	f.leave(fast)
	require.Equal(t, 1, f.count())
	f.send(11)
	require.Empty(t, fast)
}

func TestStateCountsAndRanks(t *testing.T) {
	s, err := Listen("127.0.0.1:0", Options{})
	require.NoError(t, err)
	defer s.listener.Close()
	s.started = time.Now().Add(-time.Hour)
	require.Nil(t, s.state().Result)
	require.Zero(t, s.state().AgeMS)
	require.InEpsilon(t, 3.6e6, s.state().SinceMS, 0.01, "since the start")
	require.True(t, s.state().Stale)

	labels, now := []string{"a", "b"}, time.Now()
	for i := range 1000 {
		r := &stream.Result{Time: time.Now(), Sequence: uint64(i), AgeMS: float64(i), MS: classify.Phases{Infer: float64(i) / 2},
			Top: []classify.Prediction{{Label: labels[i/10%2]}}}
		s.memory.setResult(r, now.Add(-time.Duration(1000-i)*100*time.Millisecond))
	}
	state := s.state()
	require.False(t, state.Stale)
	require.EqualValues(t, 999, state.Result.Sequence)
	require.Positive(t, state.FPS)
	require.InDelta(t, 10, s.rate(s.memory.samples[:], now), 0.2)
	// Of 488 to 999 by nearest rank.
	require.Equal(t, Percentiles{488 + 255, 488 + 460, 488 + 506}, state.AgeMS)
	require.Equal(t, Percentiles{743. / 2, 948. / 2, 994. / 2}, state.InferMS)
	require.Len(t, state.History, entryCount)
	for i, e := range state.History {
		require.Equal(t, labels[(i+1)%2], e.Label, "changes only, newest first")
	}

	for range 2000 { // more than fit
		s.memory.setResult(&stream.Result{Time: time.Now()}, now.Add(-2*time.Second))
	}
	require.InDelta(t, sampleCount/2, s.rate(s.memory.samples[:], now), 1e-9)
}

// A frame that cannot be encoded is skipped, and the next one shown.
func TestBadFrameIsSkipped(t *testing.T) {
	s := serve(t, Options{})
	bad := raw(capture.YUYV, color.YCbCr{}, true)
	bad.Data = bad.Data[:100]
	s.show(bad)
	response := open(t, s.url("/stream.mjpg"))
	film(t, s, func(n uint64) *capture.Frame {
		f := raw(capture.YUYV, color.YCbCr{Y: 90, Cb: 128, Cr: 128}, true)
		f.Sequence = n
		return f
	})
	_, header := readPart(t, response)
	require.NotEmpty(t, header.Get("X-Sequence"))
}

// large is a frame of 640x480 with detail, as cameras give.
func large() *capture.Frame {
	const width, height = 640, 480
	f := &capture.Frame{Format: capture.YUYV, Width: width, Height: height, Stride: 2 * width, Time: time.Now(), Data: make([]byte, 2*width*height)}
	for i := range f.Data {
		x, y := i/2%width, i/2/width
		f.Data[i] = uint8(128 + (x*x/97+y*y/61)%64 - x%7 - y%5)
	}
	return f
}

func BenchmarkEncode(b *testing.B) {
	var e capture.Encoder
	f := large()
	b.ReportAllocs()
	for b.Loop() {
		_, err := e.JPEG(f)
		require.NoError(b, err)
	}
}

func BenchmarkResult(b *testing.B) {
	s, err := Listen("127.0.0.1:0", Options{})
	require.NoError(b, err)
	defer s.listener.Close()
	r, f := result(1), large()
	b.Run("no frame copied", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Result(r, f)
		}
	})
	b.Run("frame copied", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.screen.at = time.Time{}
			s.Result(r, f)
		}
	})
}
