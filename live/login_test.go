package live

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"edgeclassify/internal/syncbuffer"

	"github.com/stretchr/testify/require"
)

var here = netip.MustParsePrefix("192.0.2.1/32")

func TestGuessesAreSlowedDown(t *testing.T) {
	now := time.Now()
	g := newGuesses(token, slog.New(slog.DiscardHandler))
	guess := 0
	wrong := func() time.Duration {
		guess++
		right, wait := g.try(fmt.Sprint("guess", guess), here, now)
		require.False(t, right)
		return wait
	}
	for _, want := range []time.Duration{0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 64} {
		require.Equal(t, want*time.Second, wrong())
		if want > 0 {
			now = now.Add(want*time.Second - time.Millisecond)
			right, wait := g.try(token, here, now)
			require.False(t, right, "it is not even looked at")
			require.Equal(t, time.Millisecond, wait)
			right, _ = g.try(token, netip.MustParsePrefix("192.0.2.2/32"), now)
			require.True(t, right, "of another address")
			now = now.Add(time.Millisecond)
		}
	}
	right, _ := g.try(token, here, now)
	require.True(t, right)
	now = now.Add(forgetAfter + time.Second)
	require.Zero(t, wrong(), "forgotten")
}

// A program that shows an old token for ever does not lock out its neighbours
// behind the same proxy.
func TestTheSameWrongTokenIsOneGuess(t *testing.T) {
	var log syncbuffer.Buffer
	g := newGuesses(token, slog.New(slog.NewTextHandler(&log, nil)))
	now := time.Now()
	for range 1000 {
		right, wait := g.try("last year's", here, now)
		require.False(t, right)
		require.Zero(t, wait)
		right, _ = g.try(token, here, now)
		require.True(t, right)
		now = now.Add(time.Second)
	}
	require.Equal(t, 1, strings.Count(log.String(), "\n"), "%s", &log)
}

func TestGuessesAreLoggedSparingly(t *testing.T) {
	var log syncbuffer.Buffer
	g := newGuesses(token, slog.New(slog.NewTextHandler(&log, nil)))
	now := time.Now()
	for i := range 3 * maxGuessers {
		now = now.Add(time.Millisecond)
		from := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)
		g.try("guess", from, now)
		require.LessOrEqual(t, len(g.of), maxGuessers, "memory is bounded")
	}
	require.Equal(t, 1, strings.Count(log.String(), "\n"))
	require.Contains(t, log.String(), "address=10.0.0.0/32")
	require.Contains(t, g.of, netip.MustParsePrefix("10.0.11.255/32"), "the newest is remembered")
	g.try("guess", here, now.Add(logEvery))
	require.Contains(t, log.String(), "address=192.0.2.1/32 tokens=1 of_all=3072\n")
	require.NotContains(t, log.String(), "guess")
}

func TestLogin(t *testing.T) {
	s := serve(t, Options{Token: token, Stale: time.Minute})
	browser := client(t)
	var err error
	browser.Jar, err = cookiejar.New(nil)
	require.NoError(t, err)
	ask := func(method, path, body string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequest(method, s.url(path), strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Accept", "text/html,application/xhtml+xml")
		if body != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		response, err := browser.Do(r)
		require.NoError(t, err)
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response, string(text)
	}
	form := func(token string) string { return url.Values{"token": {token}}.Encode() }

	for _, path := range []string{"/", "/metrics", "/login"} {
		response, text := ask(http.MethodGet, path, "")
		require.Equal(t, http.StatusUnauthorized, response.StatusCode)
		require.Contains(t, response.Header.Get("Content-Type"), "text/html")
		require.Contains(t, response.Header.Get("Content-Security-Policy"), "form-action 'self'")
		require.Contains(t, text, `<form method="post" action="/login">`)
		require.NotContains(t, text, "%!")
	}
	response, text := get(t, s.url("/"))
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	require.Contains(t, text, "a token is needed: open /?token=TOKEN", "programs get a line")
	for _, path := range []string{"/style.css", "/icon.svg"} { // what the form looks like
		response, _ := get(t, s.url(path))
		require.Equal(t, http.StatusOK, response.StatusCode)
	}

	response, text = ask(http.MethodPost, "/login", form("wrong one"))
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	require.Contains(t, text, "This is not the token.")
	require.Empty(t, response.Cookies())
	response, _ = ask(http.MethodPost, "/login", form(strings.Repeat("x", maxLogin)))
	require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
	response, _ = ask(http.MethodPost, "/", form(token))
	require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode, "nothing else takes a body")

	response, text = ask(http.MethodPost, "/login", form(token+" "))
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, "/", response.Request.URL.Path)
	require.Contains(t, text, `id="canvas"`)
	response, _ = ask(http.MethodGet, "/login", "")
	require.Equal(t, "/", response.Request.URL.Path)

	for i := range freeGuesses {
		ask(http.MethodPost, "/login", form(fmt.Sprint("guess", i)))
	}
	response, text = ask(http.MethodPost, "/login", form("once more"))
	require.Equal(t, http.StatusTooManyRequests, response.StatusCode)
	require.Contains(t, text, "too many wrong tokens came from your address")
	wait, err := strconv.Atoi(response.Header.Get("Retry-After"))
	require.NoError(t, err)
	require.Positive(t, wait)
	response, _ = get(t, s.url("/"), "Authorization", "Bearer "+token)
	require.Equal(t, http.StatusTooManyRequests, response.StatusCode)
	response, _ = ask(http.MethodGet, "/", "")
	require.Equal(t, http.StatusOK, response.StatusCode, "who has the cookie is not held up")
	response, _ = get(t, s.url("/healthz"))
	require.NotEqual(t, http.StatusTooManyRequests, response.StatusCode)
}
