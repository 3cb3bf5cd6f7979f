package capture

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/icholy/digest"
)

// errGone is the failure of a camera that does not answer.
var errGone = errors.New("the camera cannot be reached")

// web opens a camera in the network that sends JPEG files by HTTP: without end
// as multipart/x-mixed-replace, or one for each request.
type web struct {
	at     address
	fps    float64
	client *http.Client
}

const stillRate = 1 // frames per second, of a camera that has to be asked for each

func openWeb(text string, o Options) (opener, error) {
	at, err := parseAddress(text, o)
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout, t.MaxResponseHeaderBytes, t.DisableCompression = feedPatience, 64<<10, true
	return newWeb(at, o, t).open, nil
}

func newWeb(at address, o Options, t http.RoundTripper) *web {
	return &web{at: at, fps: o.FPS, client: &http.Client{Transport: &login{RoundTripper: t, at: at}}}
}

func (w *web) open(ctx context.Context) (session, Status, error) {
	asking, cancel := context.WithCancel(context.Background())
	a := &answers{web: w, ctx: asking, cancel: cancel}
	stop := context.AfterFunc(ctx, cancel)
	err := a.ask()
	stop()
	if err != nil {
		return nil, Status{}, &costly{a.end(err)}
	}
	fps := 0.
	if a.still {
		if fps = w.fps; fps == 0 {
			fps = stillRate
		}
		a.pace = newPace(fps)
		a.pace.due = time.Now().Add(a.pace.interval)
	}
	return openFeed(ctx, a, content{device: w.at.String(), coding: jpegs, fps: fps})
}

// answers is a source: what a camera answers, one request after the other if
// each gives one picture.
type answers struct {
	*web
	ctx    context.Context
	cancel context.CancelFunc
	body   io.ReadCloser
	still  bool // the answer is one picture
	pace   *pace
}

// ask sends a request.
func (a *answers) ask() error {
	request, err := http.NewRequestWithContext(a.ctx, http.MethodGet, a.at.url.String(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Cache-Control", "no-cache")
	answer, err := a.client.Do(request)
	if err != nil {
		return err
	}
	a.body = answer.Body
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	a.still = kind == "image/jpeg" || kind == "image/jpg"
	switch {
	case answer.StatusCode == http.StatusUnauthorized:
		return errors.New("user or password is wrong, or missing: http://USER:PASSWORD@HOST/, or -camera-password-file FILE")
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("it answers %s", answer.Status)
	case strings.HasPrefix(kind, "text/") || strings.HasPrefix(kind, "image/") && !a.still:
		return fmt.Errorf("it sends %s: want an address that gives JPEG files, as multipart/x-mixed-replace or one image/jpeg", kind)
	}
	return nil
}

// Read implements io.Reader.
func (a *answers) Read(p []byte) (int, error) {
	n, err := a.body.Read(p)
	if !errors.Is(err, io.EOF) || !a.still {
		return n, err
	}
	if n > 0 {
		return n, nil
	}
	a.body.Close()
	if err := a.pace.wait(); err != nil {
		return 0, err
	}
	return 0, a.ask()
}

func (a *answers) stop() {
	a.cancel()
	if a.pace != nil {
		a.pace.interrupt()
	}
}

// end closes the connection.
func (a *answers) end(err error) error {
	a.stop()
	if a.body != nil {
		a.body.Close()
	}
	if a.pace != nil {
		a.pace.close()
	}
	var failed *url.Error // repeats the address
	var distrust *tls.CertificateVerificationError
	switch {
	case errors.As(err, &distrust):
		err = fmt.Errorf("%w: if the camera made its certificate itself, name a file with it in the variable SSL_CERT_FILE", distrust)
	case errors.As(err, &failed):
		err = fmt.Errorf("%w: %w", errGone, failed.Err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: it has ended the stream", errGone)
	}
	return fmt.Errorf("%s: %w", a.at, err)
}

// login answers a camera that asks who wants its pictures, by basic or digest
// authentication (RFC 7617, RFC 7616). Other machines, which it may redirect
// to, are told nothing.
type login struct {
	http.RoundTripper
	at address

	mu        sync.Mutex
	challenge *digest.Challenge // the last one
	basic     bool              // the camera asks for the password as it is
	count     int               // of uses of the challenge
}

// RoundTrip implements http.RoundTripper.
func (l *login) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.at.user == "" || !l.trusts(r.URL) {
		return l.RoundTripper.RoundTrip(r)
	}
	answer, err := l.try(r)
	if err != nil || answer.StatusCode != http.StatusUnauthorized || !l.learn(answer.Header) {
		return answer, err
	}
	_, _ = io.CopyN(io.Discard, answer.Body, 4<<10) // so that the connection can be used again
	answer.Body.Close()
	if answer, err = l.try(r); err == nil && answer.StatusCode == http.StatusUnauthorized {
		l.learn(nil) // so that the next attempt is one wrong password, not two
	}
	return answer, err
}

// trusts tells whether a machine may be told the password: the camera, also
// where it goes over to TLS.
func (l *login) trusts(u *url.URL) bool {
	return u.Scheme == l.at.url.Scheme && u.Host == l.at.url.Host || u.Scheme == "https" && u.Hostname() == l.at.url.Hostname()
}

// learn takes note of how the camera wants to be answered.
func (l *login) learn(h http.Header) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count, l.basic = 0, false
	l.challenge, _ = digest.FindChallenge(h)
	for _, v := range h.Values("WWW-Authenticate") {
		l.basic = l.basic || l.challenge == nil && strings.HasPrefix(strings.ToLower(v), "basic")
	}
	return l.challenge != nil || l.basic
}

// try sends a request, with what the camera has asked for before.
func (l *login) try(r *http.Request) (*http.Response, error) {
	header, err := l.header(r)
	if err != nil {
		return nil, err
	}
	if header != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", header)
	}
	return l.RoundTripper.RoundTrip(r)
}

func (l *login) header(r *http.Request) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.basic:
		plain := http.Request{Header: http.Header{}}
		plain.SetBasicAuth(l.at.user, l.at.password)
		return plain.Header.Get("Authorization"), nil
	case l.challenge != nil:
		l.count++
		answer, err := digest.Digest(l.challenge, digest.Options{Method: r.Method, URI: r.URL.RequestURI(), Count: l.count,
			Username: l.at.user, Password: l.at.password})
		if err != nil {
			return "", err
		}
		return answer.String(), nil
	}
	return "", nil
}
