package live

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"image/jpeg"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/textproto"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"edgeclassify/capture"
	"edgeclassify/preprocess"
	"edgeclassify/stream"
)

// partsOf reads a stream of pictures.
func partsOf(t *testing.T, r *http.Response) *multipart.Reader {
	t.Helper()
	require.Equal(t, http.StatusOK, r.StatusCode)
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	require.NoError(t, err)
	require.Equal(t, "multipart/x-mixed-replace", kind)
	return multipart.NewReader(r.Body, params["boundary"])
}

func readPart(t *testing.T, r *http.Response) ([]byte, textproto.MIMEHeader) {
	t.Helper()
	return nextPart(t, partsOf(t, r))
}

func nextPart(t *testing.T, parts *multipart.Reader) ([]byte, textproto.MIMEHeader) {
	t.Helper()
	part, err := parts.NextPart()
	require.NoError(t, err)
	data, err := io.ReadAll(part)
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(len(data)), part.Header.Get("Content-Length"))
	require.Equal(t, "image/jpeg", part.Header.Get("Content-Type"))
	return data, part.Header
}

func TestPageAndItsFiles(t *testing.T) {
	s := serve(t, Options{})
	for path, want := range map[string]string{
		"/": "text/html", "/style.css": "text/css", "/script.js": "text/javascript", "/icon.svg": "image/svg+xml",
	} {
		response, body := get(t, s.url(path))
		require.Equal(t, http.StatusOK, response.StatusCode, path)
		require.Contains(t, response.Header.Get("Content-Type"), want)
		require.NotEmpty(t, body)
		require.NotContains(t, body, "//cdn", "no external assets")
		policy := response.Header.Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'")
		require.NotContains(t, policy, "unsafe")
		require.Equal(t, "nosniff", response.Header.Get("X-Content-Type-Options"))
	}
	for _, path := range []string{"/page/index.html", "/index.html", "/../live.go", "/api", "/favicon.ico"} {
		response, _ := get(t, s.url(path))
		require.Equal(t, http.StatusNotFound, response.StatusCode, path)
	}
	response, err := client(t).Post(s.url("/"), "", nil)
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, http.StatusMethodNotAllowed, response.StatusCode)
	for _, path := range []string{"/", "/stream.mjpg", "/api/events", "/api/latest"} {
		response, err := client(t).Head(s.url(path))
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, http.StatusOK, response.StatusCode, "%s", path)
	}
}

func TestLatest(t *testing.T) {
	s := serve(t, Options{Version: "1.2", Watch: []string{"n02123159", "lynx", "unicorn"}, ROI: preprocess.ROI{X: 25, W: 50, H: 100, Percent: true}})
	s.Model(cats("resnet50"))
	status := streaming()
	status.State, status.Error = capture.Missing, "unplugged"
	s.Status(status)
	r := result(5)
	s.Result(r, photo(t, "cat.jpg")(5))
	s.Event(stream.Event{Label: "tiger cat", Kind: stream.Start, Prob: 0.6}, nil)
	*r = stream.Result{} // it was valid during the call only

	response, body := get(t, s.url("/api/latest"))
	require.Equal(t, "application/json", response.Header.Get("Content-Type"))
	var state State
	require.NoError(t, json.Unmarshal([]byte(body), &state))
	require.Equal(t, "resnet50", state.Model)
	require.Equal(t, "neondot", state.Kernel)
	require.Equal(t, "1.2", state.Version)
	require.Equal(t, "missing", state.Camera.State)
	require.Equal(t, "unplugged", state.Camera.Error)
	require.Equal(t, 640, state.Camera.Width)
	require.EqualValues(t, 5, state.Result.Sequence)
	require.Equal(t, "tiger cat", state.Result.Top[0].Label)
	require.Equal(t, []string{"under-voltage"}, state.Result.Throttled)
	require.Equal(t, Percentiles{50, 50, 50}, state.AgeMS)
	require.Equal(t, "tiger cat", state.History[0].Label)
	require.Equal(t, stream.Start, state.Watched[0].Kind)
	require.Len(t, state.Watch, 2)
	require.Equal(t, "tiger cat", state.Watch[0].Label)
	require.True(t, state.Watch[0].InView)
	require.Equal(t, Watch{Label: "lynx"}, state.Watch[1])
	require.Equal(t, "25%,0%,50%,100%", state.ROI)
	host, err := os.Hostname()
	require.NoError(t, err)
	require.Equal(t, host, state.Host)
	require.Equal(t, 5000., state.StaleAfterMS)

	s.Model(cats("another"))
	state = s.state()
	require.Equal(t, "another", state.Model)
	require.False(t, state.Watch[0].InView)
}

func TestStreamOfRawFrames(t *testing.T) {
	s := serve(t, Options{})
	film(t, s, func(n uint64) *capture.Frame {
		f := raw(capture.YUYV, color.YCbCr{Y: 126, Cb: 72, Cr: 156}, false)
		f.Sequence = n
		return f
	})
	last, start := 0, time.Now()
	parts := partsOf(t, open(t, s.url("/stream.mjpg")))
	for range 5 {
		data, header := nextPart(t, parts)
		img, err := jpeg.Decode(bytes.NewReader(data))
		require.NoError(t, err)
		require.Equal(t, 62, img.Bounds().Dx())
		c := color.YCbCrModel.Convert(img.At(30, 20)).(color.YCbCr)
		for _, pair := range [][2]uint8{{128, c.Y}, {64, c.Cb}, {160, c.Cr}} {
			require.InDelta(t, pair[0], pair[1], 3, "%v", c)
		}
		sequence, err := strconv.Atoi(header.Get("X-Sequence"))
		require.NoError(t, err)
		require.Greater(t, sequence, last)
		last = sequence
		age, err := strconv.ParseFloat(header.Get("X-Age-Ms"), 64)
		require.NoError(t, err)
		require.True(t, age >= 0 && age < 5000, "%v", age)
	}
	require.Greater(t, time.Since(start), 3*interval, "no more than 10 a second")
	_, body := get(t, s.url("/metrics"))
	require.Contains(t, body, `edgeclassify_viewers{of="picture"} 1`)
}

func TestJPEGPassesThrough(t *testing.T) {
	s := serve(t, Options{})
	cat := photo(t, "cat.jpg")
	film(t, s, cat)
	data, _ := readPart(t, open(t, s.url("/stream.mjpg")))
	require.Equal(t, cat(0).Data, data)
	response, body := get(t, s.url("/snapshot.jpg"))
	require.Equal(t, cat(0).Data, []byte(body))
	require.Equal(t, "image/jpeg", response.Header.Get("Content-Type"))
	age, err := strconv.ParseFloat(response.Header.Get("X-Age-Ms"), 64)
	require.NoError(t, err)
	require.GreaterOrEqual(t, age, 50., "from capture")
}

// A viewer that comes between two frames far apart need not wait.
func TestFirstPictureComesAtOnce(t *testing.T) {
	s := serve(t, Options{Stale: -1})
	cat := photo(t, "cat.jpg")
	s.show(cat(1))
	for range 3 { // the first is encoded for the viewer, the others are kept
		data, header := readPart(t, open(t, s.url("/stream.mjpg")))
		require.Equal(t, cat(0).Data, data)
		require.Equal(t, "1", header.Get("X-Sequence"))
	}
	response, _ := get(t, s.url("/snapshot.jpg"))
	require.Equal(t, "1", response.Header.Get("X-Sequence"))
}

func TestNoOldPicture(t *testing.T) {
	s := serve(t, Options{Stale: time.Minute})
	cat := photo(t, "cat.jpg")
	waited := func(sequence uint64) *capture.Frame {
		f := cat(sequence)
		f.Time = f.Time.Add(-time.Hour)
		return f
	}
	s.show(cat(1))
	response, body := get(t, s.url("/healthz"))
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, "ok\n", body)
	viewer := open(t, s.url("/stream.mjpg"))
	parts := partsOf(t, viewer)
	nextPart(t, parts)
	time.Sleep(2 * interval)
	s.Result(result(2), waited(2))
	part := make(chan string)
	go func() {
		p, err := parts.NextPart()
		assert.NoError(t, err)
		part <- p.Header.Get("X-Sequence")
	}()
	for n := uint64(3); ; n++ {
		time.Sleep(2 * interval)
		s.show(cat(n))
		select {
		case sequence := <-part:
			require.NotEqual(t, "2", sequence)
		case <-time.After(interval):
			continue
		}
		break
	}

	s.screen.mu.Lock()
	s.screen.next = time.Time{} // so that it is copied
	s.screen.mu.Unlock()
	s.show(waited(99))
	rest := make(chan error)
	go func() { _, err := io.Copy(io.Discard, viewer.Body); rest <- err }()
	select {
	case err := <-rest:
		require.NoError(t, err, "the stream ends when there is no picture any more")
	case <-time.After(time.Minute):
		t.Fatal("the stream goes on without pictures")
	}
	require.True(t, s.state().Stale)
	for _, path := range []string{"/healthz", "/snapshot.jpg", "/stream.mjpg"} {
		response, body := get(t, s.url(path))
		require.Equal(t, http.StatusServiceUnavailable, response.StatusCode, path)
		require.Regexp(t, `^no picture since 3[67]\d\d s\n$`, body, path)
	}
	s.show(cat(100))
	response, _ = get(t, s.url("/healthz"))
	require.Equal(t, http.StatusOK, response.StatusCode)
}

func TestEvents(t *testing.T) {
	s := serve(t, Options{})
	response := open(t, s.url("/api/events"))
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	lines := bufio.NewScanner(response.Body)
	next := func(kind string, to any) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == "event: "+kind {
				require.True(t, lines.Scan())
				data, ok := strings.CutPrefix(lines.Text(), "data: ")
				require.True(t, ok)
				require.NoError(t, json.Unmarshal([]byte(data), to))
				return
			}
		}
		t.Fatalf("no event %s: %v", kind, lines.Err())
	}
	var state State
	next("state", &state)
	require.Nil(t, state.Result)

	s.Result(result(7), photo(t, "cat.jpg")(7))
	var r stream.Result
	next("result", &r)
	require.EqualValues(t, 7, r.Sequence)
	require.Equal(t, result(7).Top, r.Top)

	for _, kind := range []string{stream.Start, stream.End} {
		s.Event(stream.Event{Label: "tiger cat", Kind: kind}, nil)
	}
	var e stream.Event
	next("watched", &e)
	require.Equal(t, stream.Start, e.Kind)
	next("watched", &e)
	require.Equal(t, stream.End, e.Kind)
	next("state", &state)
	require.EqualValues(t, 7, state.Result.Sequence)
}

func TestMetrics(t *testing.T) {
	s := serve(t, Options{Version: "1.2"})
	s.Model(cats("resnet50"))
	_, body := get(t, s.url("/metrics"))
	require.NotContains(t, body, "edgeclassify_temperature_celsius", "unknown, and not zero")
	require.NotContains(t, body, "edgeclassify_throttled")
	s.Status(streaming())
	for n := range uint64(4) {
		s.Result(result(n), photo(t, "cat.jpg")(n))
	}
	response, body := get(t, s.url("/metrics"))
	require.Contains(t, response.Header.Get("Content-Type"), "text/plain")
	for _, line := range []string{
		"edgeclassify_results_total 4",
		"edgeclassify_age_seconds_count 4",
		`edgeclassify_age_seconds_bucket{le="0.032"} 0`,
		`edgeclassify_age_seconds_bucket{le="0.064"} 4`,
		`edgeclassify_phase_seconds_sum{phase="infer"} 0.128`,
		`edgeclassify_phase_seconds_sum{phase="decode"} 0.016`,
		`edgeclassify_phase_seconds_sum{phase="preprocess"} 0.008`,
		"edgeclassify_camera_frames_total 100",
		"edgeclassify_camera_dropped_total 3",
		"edgeclassify_camera_corrupt_total 2",
		"edgeclassify_camera_restarts_total 1",
		`edgeclassify_camera_state{state="streaming"} 1`,
		`edgeclassify_camera_state{state="missing"} 0`,
		"edgeclassify_temperature_celsius 61.5",
		`edgeclassify_throttled{reason="under-voltage"} 1`,
		`edgeclassify_viewers{of="picture"} 0`,
		`edgeclassify_info{kernel="neondot",model="resnet50",version="1.2"} 1`,
		"go_goroutines",
		"process_open_fds",
	} {
		require.Contains(t, body, line)
	}
}

func TestToken(t *testing.T) {
	s := serve(t, Options{Token: token, Stale: time.Minute})
	for name, c := range map[string]struct {
		path    string
		headers []string
		want    int
	}{
		"none":             {"/", nil, http.StatusUnauthorized},
		"unknown path":     {"/secret", nil, http.StatusUnauthorized},
		"picture":          {"/stream.mjpg", nil, http.StatusUnauthorized},
		"metrics":          {"/metrics", nil, http.StatusUnauthorized},
		"health":           {"/healthz", nil, http.StatusOK},
		"bearer":           {"/", []string{"Authorization", "Bearer " + token}, http.StatusOK},
		"wrong bearer":     {"/", []string{"Authorization", "Bearer " + token + "x"}, http.StatusUnauthorized},
		"start of it":      {"/", []string{"Authorization", "Bearer correct"}, http.StatusUnauthorized},
		"empty bearer":     {"/", []string{"Authorization", "Bearer "}, http.StatusUnauthorized},
		"basic":            {"/", []string{"Authorization", "Basic " + token}, http.StatusUnauthorized},
		"query":            {"/?token=correct+horse+battery", nil, http.StatusOK},
		"wrong query":      {"/?token=x", nil, http.StatusUnauthorized},
		"token as cookie":  {"/", []string{"Cookie", s.cookieName() + "=" + token}, http.StatusUnauthorized},
		"cookie":           {"/", []string{"Cookie", s.cookieName() + "=" + s.cookie()}, http.StatusOK},
		"any name of host": {"/", []string{"Authorization", "Bearer " + token, "Host", "pi.example.com"}, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			response, body := get(t, s.url(c.path), c.headers...)
			require.Equal(t, c.want, response.StatusCode, body)
			require.NotContains(t, body, token)
		})
	}
	t.Run("browser", func(t *testing.T) {
		browser := client(t)
		var err error
		browser.Jar, err = cookiejar.New(nil)
		require.NoError(t, err)
		for i, path := range []string{"/?token=correct+horse+battery", "/api/latest"} {
			response, err := browser.Get(s.url(path))
			require.NoError(t, err)
			response.Body.Close()
			require.Equal(t, http.StatusOK, response.StatusCode)
			cookies := response.Cookies()
			require.Len(t, cookies, 1-i, "one cookie, once")
			if i == 0 {
				require.True(t, cookies[0].HttpOnly)
				require.Equal(t, http.SameSiteLaxMode, cookies[0].SameSite)
				require.NotContains(t, cookies[0].Value, "horse")
			}
		}
	})
}

func TestHost(t *testing.T) {
	s := serve(t, Options{})
	for host, want := range map[string]int{
		"127.0.0.1:8080": http.StatusOK, "[::1]:8080": http.StatusOK, "192.168.1.5": http.StatusOK, "[fe80::1]": http.StatusOK,
		"localhost:99": http.StatusOK, "raspberrypi": http.StatusOK, "raspberrypi.local:8080": http.StatusOK,
		"Pi.LAN": http.StatusOK, "pi.home.arpa": http.StatusOK,
		"attacker.example:8080": http.StatusMisdirectedRequest, "127.0.0.1.attacker.example": http.StatusMisdirectedRequest,
		"local.example.com": http.StatusMisdirectedRequest, "1.ip6.arpa": http.StatusMisdirectedRequest,
		"attacker.example.": http.StatusMisdirectedRequest,
	} {
		response, body := get(t, s.url("/api/latest"), "Host", host)
		require.Equal(t, want, response.StatusCode, "%s: %s", host, body)
	}
}

// at makes a client of another address of this machine.
func at(t *testing.T, ip string) *http.Client {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("needs all of 127.0.0.0/8")
	}
	c := client(t)
	c.Transport.(*http.Transport).DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).DialContext
	return c
}

// patient drops no viewer that reads nothing.
func patient(s *Server) { s.patience = time.Hour }

// One address takes its share of viewers, all addresses take all, and other
// requests are served all the same.
func TestViewersAreLimited(t *testing.T) {
	s := serve(t, Options{Stale: time.Minute}, patient)
	film(t, s, photo(t, "cat.jpg"))
	for _, path := range []string{"/stream.mjpg", "/api/events"} {
		for i := range maxViewers + 1 {
			c := at(t, fmt.Sprintf("127.0.0.%d", 1+i/viewersEach))
			watch := func() *http.Response {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url(path), nil)
				require.NoError(t, err)
				response, err := c.Do(r)
				require.NoError(t, err)
				t.Cleanup(func() { response.Body.Close() })
				return response
			}
			if i == maxViewers {
				requireBody(t, watch(), http.StatusServiceUnavailable, "64 viewers")
				break
			}
			require.Equal(t, http.StatusOK, watch().StatusCode)
			if i%viewersEach == viewersEach-1 && i != maxViewers-1 {
				requireBody(t, watch(), http.StatusServiceUnavailable, "16 viewers at your address")
			}
		}
	}
	for _, path := range []string{"/api/latest", "/healthz"} {
		response, _ := get(t, s.url(path))
		require.Equal(t, http.StatusOK, response.StatusCode, path)
	}
}

func requireBody(t *testing.T, r *http.Response, status int, text string) {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Equal(t, status, r.StatusCode)
	require.Contains(t, string(body), text)
}

// dial opens a connection and sends text.
func dial(t *testing.T, s *Server, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	_, err = io.WriteString(c, text)
	require.NoError(t, err)
	return c
}

// closed waits until the server closes a connection and returns what it said.
func closed(t *testing.T, c net.Conn, within time.Duration) string {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(within)))
	said, err := io.ReadAll(c)
	var late net.Error
	if errors.As(err, &late) {
		require.False(t, late.Timeout(), "still open after %v", within)
	}
	return string(said)
}

func TestHostileRequests(t *testing.T) {
	s := serve(t, Options{})
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"huge header":    {"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n", "431"},
		"many headers":   {"GET / HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("A: b\r\n", 4000) + "\r\n", "431"},
		"huge line":      {"GET /" + strings.Repeat("x", 20<<10) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "431"},
		"garbage":        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", "400"},
		"no host":        {"GET / HTTP/1.1\r\n\r\n", "400"},
		"body":           {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nslow", "413"},
		"body in chunks": {"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", "413"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, closed(t, dial(t, s, c.text), time.Minute), "HTTP/1.1 "+c.want)
		})
	}
	t.Run("header that does not end", func(t *testing.T) {
		t.Parallel()
		c := dial(t, s, "GET / HTTP/1.1\r\nHost: localhost\r\n")
		drip := time.NewTicker(200 * time.Millisecond)
		defer drip.Stop()
		start := time.Now()
		for range drip.C {
			if _, err := io.WriteString(c, "X: y\r\n"); err != nil {
				break
			}
			require.Less(t, time.Since(start), time.Minute, "still open")
		}
	})
}

// One client that holds all the connections it can, silent or with half a request,
// keeps neither itself nor others out.
func TestConnectionsAreLimited(t *testing.T) {
	s := serve(t, Options{Stale: time.Minute})
	count := func() int {
		s.clients.mu.Lock()
		defer s.clients.mu.Unlock()
		return len(s.clients.conns)
	}
	oldest := dial(t, s, "")
	require.Eventually(t, func() bool { return count() == 1 }, time.Minute, time.Millisecond)
	for range 2 * connsEach {
		dial(t, s, "GET")
	}
	require.Empty(t, closed(t, oldest, time.Minute))
	for _, c := range []*http.Client{client(t), at(t, "127.0.0.2")} {
		response, err := c.Get(s.url("/healthz"))
		require.NoError(t, err)
		requireBody(t, response, http.StatusOK, "ok")
		response.Body.Close()
		require.LessOrEqual(t, count(), connsEach+1, "of this address, and one of the other")
	}
	for i := range maxConns { // of many clients
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i))}}).Dial("tcp", s.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
	}
	response, err := at(t, "127.0.2.1").Get(s.url("/healthz"))
	require.NoError(t, err)
	requireBody(t, response, http.StatusOK, "ok")
	response.Body.Close()
	require.LessOrEqual(t, count(), maxConns)
}

// With all of its viewers one address still gets an answer of other kinds.
func TestViewersLeaveConnections(t *testing.T) {
	s := serve(t, Options{Stale: time.Minute}, patient)
	film(t, s, photo(t, "cat.jpg"))
	for range viewersEach {
		open(t, s.url("/stream.mjpg"))
		open(t, s.url("/api/events"))
	}
	for range 2 * connsEach {
		dial(t, s, "GET / HT")
	}
	response, _ := get(t, s.url("/healthz"))
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, viewersEach, s.screen.viewers.count(), "no viewer is dismissed")
	require.Equal(t, viewersEach, s.results.count())
}

func TestOrigin(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7:80": "192.0.2.7/32", "[::ffff:192.0.2.7]:80": "192.0.2.7/32",
		"[2001:db8:1:2:3::4]:80": "2001:db8:1:2::/64", "[2001:db8:1:2::9]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80": "fe80::1/128", "[::1]:80": "::/64", "pipe": "invalid Prefix",
	} {
		require.Equal(t, want, origin(addr).String(), addr)
	}
}

func TestRanges(t *testing.T) {
	s := serve(t, Options{})
	for ranges, want := range map[string]int{
		"bytes=0-9": http.StatusPartialContent, "bytes=0-0,0-0": http.StatusRequestedRangeNotSatisfiable,
		"bytes=" + strings.Repeat("0-,", 500) + "0-": http.StatusRequestedRangeNotSatisfiable,
	} {
		response, body := get(t, s.url("/script.js"), "Range", ranges)
		require.Equal(t, want, response.StatusCode)
		require.Less(t, len(body), 100)
	}
}

// stuck tells whether every viewer has yet to take what was sent last.
func stuck[T any](f *fanout[T]) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for box := range f.boxes {
		if len(box) < cap(box) {
			return false
		}
	}
	return true
}

// Viewers that read nothing and are never dropped, of pictures and of events, do
// not hold up the loop: a sink that waited for one of them would wait for ever.
func TestStuckViewersDoNotHoldUpTheLoop(t *testing.T) {
	s := serve(t, Options{Stale: -1}, patient)
	const viewers = 10 // of each kind
	for range viewers {
		for _, path := range []string{"/stream.mjpg", "/api/events"} {
			c := dial(t, s, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
			require.NoError(t, c.(*net.TCPConn).SetReadBuffer(4096))
		}
	}
	require.Eventually(t, func() bool { return s.screen.viewers.count() == viewers && s.results.count() == viewers }, time.Minute, time.Millisecond)
	var sequence uint64
	f := large()
	show := func(times int) {
		shown := inBackground(func() {
			for range times {
				sequence++
				f.Sequence, f.Time = sequence, time.Now()
				s.show(f)
				s.Event(stream.Event{Label: "tiger cat", Kind: stream.Start}, nil)
			}
		})
		select {
		case <-shown:
		case <-time.After(time.Minute):
			require.FailNow(t, "the loop waits for a viewer")
		}
	}
	// The system's buffers fill, and then the boxes.
	require.Eventually(t, func() bool {
		show(100)
		return stuck(s.screen.viewers) && stuck(s.results) && stuck(s.events)
	}, 2*time.Minute, 10*time.Millisecond)
	show(500)
	require.Equal(t, viewers, s.screen.viewers.count())
	require.Equal(t, viewers, s.results.count())

	_, body := get(t, s.url("/api/latest"))
	require.Contains(t, body, fmt.Sprintf(`"sequence": %d,`, sequence))
	before := sequence
	require.Eventually(t, func() bool { // one that reads gets pictures all the same
		show(1)
		response, _ := get(t, s.url("/snapshot.jpg"))
		shown, _ := strconv.ParseUint(response.Header.Get("X-Sequence"), 10, 64)
		return shown > before
	}, time.Minute, interval)
}

// A viewer that takes nothing is dropped, and others see the picture.
func TestStuckViewerIsDropped(t *testing.T) {
	s := serve(t, Options{}, func(s *Server) { s.patience = 300 * time.Millisecond })
	film(t, s, photo(t, "cat.jpg"))
	c := dial(t, s, "GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, c.(*net.TCPConn).SetReadBuffer(4096))
	require.Eventually(t, func() bool { return s.screen.viewers.count() == 1 }, time.Minute, time.Millisecond)
	parts := partsOf(t, open(t, s.url("/stream.mjpg")))
	require.Equal(t, 2, s.screen.viewers.count())
	for start := time.Now(); s.screen.viewers.count() == 2; {
		nextPart(t, parts)
		require.Less(t, time.Since(start), time.Minute, "the stuck viewer is still there")
	}
	require.Equal(t, 1, s.screen.viewers.count())
	nextPart(t, parts)
}

// Ending takes less than a second, with viewers that take nothing too.
func TestEndsWithStuckViewers(t *testing.T) {
	s := serve(t, Options{}) // its cleanup measures
	film(t, s, photo(t, "cat.jpg"))
	for _, path := range []string{"/stream.mjpg", "/api/events", "/stream.mjpg"} {
		c := dial(t, s, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		require.NoError(t, c.(*net.TCPConn).SetReadBuffer(4096))
	}
	dial(t, s, "GET / HT")
	require.Eventually(t, func() bool { return s.screen.viewers.count() == 2 }, time.Minute, time.Millisecond)
	time.Sleep(200 * time.Millisecond) // so that buffers fill
}
