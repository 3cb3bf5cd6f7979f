package capture

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/icholy/digest"
	"github.com/stretchr/testify/require"

	"edgeclassify/preprocess"
)

// numbered is a JPEG file with a number in a comment.
func numbered(t testing.TB, n, width int) []byte {
	file := jpegOf(t, width)
	return append([]byte(fmt.Sprintf("\xff\xd8\xff\xfe\x00\x06%04d", n)), file[2:]...)
}

var jpegsOf sync.Map

// jpegOf is a JPEG file of width x 48 pixels.
func jpegOf(t testing.TB, width int) []byte {
	if file, ok := jpegsOf.Load(width); ok {
		return file.([]byte)
	}
	path := filepath.Join(t.TempDir(), "a.jpg")
	writePhotograph(t, path, width)
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	jpegsOf.Store(width, file)
	return file
}

func numberOf(t *testing.T, f *Frame) (n int) {
	t.Helper()
	_, err := fmt.Sscanf(string(f.Data[6:10]), "%d", &n)
	require.NoError(t, err)
	require.Len(t, rgb(t, f), 3*224*224)
	return n
}

// part is a part of a multipart stream, as cameras send it.
func part(file []byte) []byte {
	head := fmt.Sprintf("\r\n--myboundary\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n", len(file))
	return append([]byte(head), file...)
}

const multipartKind = "multipart/x-mixed-replace; boundary=--myboundary"

// sends is a camera that sends these bytes in answer to each request, then
// waits for the end.
func sends(kind string, parts ...[]byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		for _, p := range parts {
			if _, err := w.Write(p); err != nil {
				return
			}
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

func serve(t *testing.T, h http.Handler) (address string) {
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.Listener.Addr().String()
}

func openAddress(t *testing.T, url string, o Options) Camera {
	t.Helper()
	c, err := Open(t.Context(), url, o)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// TestMultipart has a stream with damage of all kinds between its frames.
func TestMultipart(t *testing.T) {
	file := func(n int) []byte { return part(numbered(t, n, 64)) }
	whole := numbered(t, 99, 64)
	giant := append(bytes.Clone(whole[:len(whole)-2]), make([]byte, maxFile)...)
	next := make(chan []byte)
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", multipartKind)
		for p := range next {
			if _, err := w.Write(p); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	}))
	defer close(next)
	go func() { next <- file(1) }()
	c := openAddress(t, "http://admin:secret@"+address+"/video.cgi?pwd=secret", Options{})
	require.Equal(t, "http://"+address+"/video.cgi", c.Status().Device)
	f := nextWithin(t, c, 10*time.Second)
	require.Equal(t, 1, numberOf(t, f))
	require.Equal(t, []any{MJPEG, 64, 48, true}, []any{f.Format, f.Width, f.Height, f.FullRange})

	good := 1
	for name, p := range map[string][]byte{
		"cut off in its header": part(whole[:30]),
		"cut off in its scan":   part(whole[:len(whole)-300]),
		"larger than agreed to": part(numbered(t, 99, 80)),
		"giant":                 part(giant),
		"no picture":            part([]byte("\xff\xd8\xff\xd9")),
		"a length of nothing":   part([]byte("\xff\xd8\xff\xe0\x00\x00")),
	} {
		before := c.Status()
		next <- p
		next <- file(good + 1) // which goes down with one whose header is cut off
		next <- file(good + 2)
		for last := good; good < last+2; {
			f := nextWithin(t, c, 10*time.Second)
			if f.Image(new(preprocess.Image)) != nil {
				continue // as only decoding tells
			}
			good = numberOf(t, f)
			require.NotEqual(t, 99, good, name)
		}
		if name != "cut off in its scan" {
			require.Positive(t, c.Status().Corrupt-before.Corrupt, name)
		}
	}
	next <- append(whole[:2], file(90)...) // two start markers, with something between
	require.Equal(t, 90, numberOf(t, nextWithin(t, c, 10*time.Second)))
}

func TestNewestFrameOfManyWins(t *testing.T) {
	var stream []byte
	for n := range 200 {
		stream = append(stream, part(numbered(t, n, 64))...)
	}
	c := openAddress(t, "http://"+serve(t, sends(multipartKind, stream)), Options{})
	require.Eventually(t, func() bool { return c.Status().Frames == 200 }, 20*time.Second, time.Millisecond)
	f := nextWithin(t, c, 10*time.Second)
	require.Equal(t, 199, numberOf(t, f))
	require.Equal(t, uint64(199), f.Sequence)
}

// TestStillPictures asks for each.
func TestStillPictures(t *testing.T) {
	var asked atomic.Int64
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		if n == 5 {
			w.Header().Set("Content-Type", "image/jpeg")
			_, _ = w.Write(numbered(t, 5, 64)[:400])
			return
		}
		w.Header().Set("Content-Type", "image/jpeg")
		_, _ = w.Write(numbered(t, int(n), 64))
	}))
	began, last := time.Now(), 0
	c := openAddress(t, "http://"+address+"/snap.jpg", Options{FPS: 50})
	for last < 10 {
		f := nextWithin(t, c, 10*time.Second)
		if f.Image(new(preprocess.Image)) != nil {
			continue // the one that is cut off
		}
		n := numberOf(t, f)
		require.Greater(t, n, last)
		require.NotEqual(t, 5, n)
		last = n
	}
	require.GreaterOrEqual(t, time.Since(began), 8*20*time.Millisecond, "no faster than asked for")
	require.Equal(t, 50., c.Status().FPS)
}

func TestWebCameraRefuses(t *testing.T) {
	for want, h := range map[string]http.Handler{
		"it answers 404 Not Found": http.NotFoundHandler(),
		"it sends text/html":       sends("text/html", []byte("<html>")),
		"it sends image/png":       sends("image/png", []byte("png")),
		"it has ended the stream":  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", multipartKind) }),
		"user or password is wrong": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
		}),
		"exceeded": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		}),
	} {
		address := serve(t, h)
		_, err := Open(t.Context(), "http://admin:secret@"+address+"/a?pwd=secret", Options{})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "http://"+address+"/a: ")
		require.NotContains(t, err.Error(), "secret")
	}
	_, err := Open(t.Context(), "http://127.0.0.1:1/?pwd=secret", Options{})
	require.ErrorIs(t, err, errGone)
	require.NotContains(t, err.Error(), "secret")
	c, err := Open(t.Context(), "http://127.0.0.1:1/", Options{Wait: true})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return c.Status().State == Missing }, 10*time.Second, time.Millisecond)
	require.NoError(t, c.Close())
}

// TestLogin has cameras that ask for the password in different ways, and for
// each picture.
func TestLogin(t *testing.T) {
	for name, challenge := range map[string]*digest.Challenge{
		"basic": nil,
		"MD5":   {Realm: "cam", Nonce: "1", QOP: []string{"auth"}},
		"old":   {Realm: "cam", Nonce: "2"},
		"SHA":   {Realm: "cam", Nonce: "3", Algorithm: "SHA-256", QOP: []string{"auth", "auth-int"}, Opaque: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked, refused atomic.Int64
			var stale atomic.Bool
			allows := func(r *http.Request) bool {
				if challenge == nil {
					user, password, _ := r.BasicAuth()
					return user == "admin" && password == "a:b#c"
				}
				given, err := digest.ParseCredentials(r.Header.Get("Authorization"))
				if err != nil || stale.CompareAndSwap(true, false) {
					return false
				}
				want, err := digest.Digest(challenge, digest.Options{Method: "GET", URI: "/snap?x=1", Count: given.Nc, Cnonce: given.Cnonce, Username: "admin", Password: "a:b#c"})
				return err == nil && want.Response == given.Response
			}
			address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1); !allows(r) {
					refused.Add(1)
					if w.Header().Set("WWW-Authenticate", `Basic realm="cam"`); challenge != nil {
						w.Header().Add("WWW-Authenticate", challenge.String())
					}
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				w.Header().Set("Content-Type", "image/jpeg")
				_, _ = w.Write(numbered(t, 7, 64))
			}))
			c := openAddress(t, "http://admin:a%3Ab%23c@"+address+"/snap?x=1", Options{FPS: 100})
			for range 5 {
				require.Equal(t, 7, numberOf(t, nextWithin(t, c, 10*time.Second)))
			}
			require.Equal(t, int64(1), refused.Load(), "what was learnt holds for the next pictures")
			if challenge != nil {
				stale.Store(true)
				for range 5 {
					nextWithin(t, c, 10*time.Second)
				}
				require.Equal(t, int64(2), refused.Load())
			}
			require.Zero(t, c.Status().Restarts)
			require.NoError(t, c.Close())

			before := refused.Load()
			_, err := Open(t.Context(), "http://admin:wrong@"+address+"/snap?x=1", Options{})
			require.ErrorContains(t, err, "user or password is wrong")
			require.Equal(t, int64(2), refused.Load()-before, "one attempt with the wrong password")
		})
	}
}

// TestPasswordIsForTheCamera alone, not for where it sends us.
func TestPasswordIsForTheCamera(t *testing.T) {
	told := make(chan string, 10)
	thief := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told <- r.Header.Get("Authorization")
		w.Header().Set("WWW-Authenticate", `Basic realm="cam"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	address := serve(t, http.RedirectHandler("http://"+thief+"/", http.StatusFound))
	_, err := Open(t.Context(), "http://admin:secret@"+address, Options{})
	require.ErrorContains(t, err, "user or password is wrong, or missing")
	require.Empty(t, <-told)
	require.Empty(t, told)
}

func TestPasswordFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	for _, c := range []struct{ url, file, user, password, err string }{
		{"http://cam/", "me:a:b\n", "me", "a:b", ""},
		{"http://me@cam/", "topsecret", "me", "topsecret", ""},
		{"http://me@cam/", "me:topsecret", "me", "topsecret", ""},
		{"http://cam/", "topsecret", "", "", "want one line USER:PASSWORD"},
		{"http://you@cam/", "me:topsecret", "", "", "want one line USER:PASSWORD"},
		{"http://cam:x/", "me:topsecret", "", "", "its URL cannot be read"},
	} {
		require.NoError(t, os.WriteFile(path, []byte(c.file), 0o600))
		a, err := parseAddress(c.url, options(t, Options{PasswordFile: path}))
		if c.err != "" {
			require.ErrorContains(t, err, c.err)
			require.NotContains(t, err.Error(), "topsecret")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, []string{c.user, c.password, "http://cam/"}, []string{a.user, a.password, a.String()})
	}
	_, err := parseAddress("http://cam/", options(t, Options{PasswordFile: filepath.Join(t.TempDir(), "none")}))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Open(t.Context(), "test", Options{PasswordFile: path})
	require.ErrorContains(t, err, "test asks for no password")
}

// FuzzParseAddress: what may be shown of an address has no password.
func FuzzParseAddress(f *testing.F) {
	f.Add("http", "admin", "top#secret", "cam:8080", "/a?pwd=topsecret")
	f.Add("rtsp", "", "", "[::1]", "/live")
	f.Fuzz(func(t *testing.T, scheme, user, password, host, rest string) {
		spec := scheme + "://" + user + ":" + password + "@" + host + rest
		a, err := parseAddress(spec, Options{})
		if len(password) < 8 || strings.Contains(scheme+user+host+rest, password) {
			return
		}
		if err != nil {
			require.NotContains(t, err.Error(), password)
			return
		}
		if a.password == password {
			require.NotContains(t, a.String(), password)
			require.NotContains(t, a.hide().Replace("cannot open "+a.full()+": it is "+spec), password)
		}
	})
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(sends(multipartKind, part(numbered(t, 1, 64))))
	defer s.Close()
	defer s.CloseClientConnections()
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	_, err := Open(t.Context(), s.URL, Options{})
	require.ErrorContains(t, err, "SSL_CERT_FILE")
	require.NotErrorIs(t, err, errGone)
	at, err := parseAddress(s.URL, Options{})
	require.NoError(t, err)
	session, status, err := newWeb(at, options(t, Options{}), s.Client().Transport).open(t.Context())
	require.NoError(t, err)
	require.Equal(t, 64, status.Width)
	session.close()
}

// wire is a camera in the network whose connections are memory, so that time is
// the bubble's.
type wire struct {
	handler http.Handler

	mu    sync.Mutex
	gone  bool
	conns []net.Conn
}

func (w *wire) dial(context.Context, string, string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		return nil, errors.New("no route to host")
	}
	ours, theirs := net.Pipe()
	w.conns = append(w.conns, ours)
	go func() {
		defer theirs.Close()
		r, err := http.ReadRequest(bufio.NewReader(theirs))
		if err != nil {
			return
		}
		answer := &plainWriter{Writer: theirs, header: http.Header{}}
		w.handler.ServeHTTP(answer, r)
	}()
	return ours, nil
}

func (w *wire) plug(in bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
	w.gone, w.conns = !in, nil
}

// close lets all handlers notice.
func (w *wire) close() {
	w.plug(false)
	time.Sleep(2 * time.Second)
}

// plainWriter answers with a stream that ends with the connection.
type plainWriter struct {
	io.Writer
	header http.Header
	begun  bool
}

func (p *plainWriter) Header() http.Header { return p.header }
func (p *plainWriter) WriteHeader(int)     {}
func (p *plainWriter) Write(b []byte) (int, error) {
	if !p.begun {
		p.begun = true
		fmt.Fprintf(p.Writer, "HTTP/1.0 200 OK\r\nContent-Type: %s\r\n\r\n", p.header.Get("Content-Type"))
	}
	return p.Writer.Write(b)
}

func (w *wire) open(t *testing.T, o Options) (Camera, error) {
	at, err := parseAddress("http://cam/", Options{})
	require.NoError(t, err)
	o = options(t, o)
	return start(t.Context(), at.String(), newWeb(at, o, &http.Transport{DialContext: w.dial}).open, o)
}

// TestWebReplug unplugs the camera twenty times.
func TestWebReplug(t *testing.T) {
	file := numbered(t, 1, 64)
	synctest.Test(t, func(t *testing.T) {
		w := &wire{handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", multipartKind)
			for {
				if _, err := w.Write(part(file)); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		})}
		c, err := w.open(t, Options{})
		require.NoError(t, err)
		var last uint64
		for cycle := range 20 {
			f, err := c.Next(t.Context())
			require.NoError(t, err)
			require.True(t, cycle == 0 || f.Sequence > last)
			last = f.Sequence
			w.plug(false)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			require.Equal(t, Missing, c.Status().State)
			require.Contains(t, c.Status().Error, "no route to host")
			w.plug(true)
			began := time.Now()
			_, err = c.Next(t.Context())
			require.NoError(t, err)
			require.LessOrEqual(t, time.Since(began), 10*time.Second)
		}
		require.Equal(t, uint64(20), c.Status().Restarts)
		require.NoError(t, c.Close())
		w.close()
	})
}

// TestSlowCamera sends a byte a second, and another one no whole frame.
func TestSlowCamera(t *testing.T) {
	file := numbered(t, 1, 64)
	for name, bytes := range map[string][]byte{"slow": file, "garbage": make([]byte, 1<<10), "text": []byte("no picture")} {
		synctest.Test(t, func(t *testing.T) {
			w := &wire{handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", multipartKind)
				for i := 0; ; i++ {
					if _, err := w.Write(bytes[i%len(bytes):][:1]); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			})}
			began := time.Now()
			_, err := w.open(t, Options{})
			require.ErrorIs(t, err, errStalled, name)
			require.Equal(t, feedPatience, time.Since(began))
			w.close()
		})
	}
}

// TestOtherSizes has a camera that changes its size: that is agreed to anew.
func TestOtherSizes(t *testing.T) {
	small, large := numbered(t, 1, 64), numbered(t, 2, 80)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := &wire{handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", multipartKind)
			for {
				file := small
				if time.Since(began) > time.Minute {
					file = large
				}
				if _, err := w.Write(part(file)); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		})}
		c, err := w.open(t, Options{})
		require.NoError(t, err)
		time.Sleep(65 * time.Second)
		require.Equal(t, 64, c.Status().Width)
		require.Positive(t, c.Status().Corrupt)
		time.Sleep(5200 * time.Millisecond)
		require.Equal(t, Stalled, c.Status().State)
		require.Contains(t, c.Status().Error, "a frame of 80x48 pixels, agreed to was 64x48")
		time.Sleep(time.Second)
		require.Equal(t, []any{Streaming, 80}, []any{c.Status().State, c.Status().Width})
		require.NoError(t, c.Close())
		w.close()
	})
}
