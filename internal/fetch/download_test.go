package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// server serves content and can cut the connection.
type server struct {
	*httptest.Server
	content  []byte
	etag     string // "": no validator at all
	noRange  bool   // ignores Range
	cutAfter int    // bytes of the body, of the first request only
	requests []http.Header
	statuses []int
}

func serve(t *testing.T, content []byte) *server {
	s := &server{content: content, etag: `"v1"`}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests = append(s.requests, r.Header.Clone())
		if s.etag != "" {
			w.Header().Set("ETag", s.etag)
		}
		if s.noRange {
			r.Header.Del("Range")
		}
		record := &recorder{ResponseWriter: w, statuses: &s.statuses, left: -1}
		if s.cutAfter > 0 && len(s.requests) == 1 {
			record.left = s.cutAfter
		}
		http.ServeContent(record, r, "", time.Time{}, bytes.NewReader(s.content))
	}))
	t.Cleanup(s.Close)
	return s
}

// recorder notes the status, and aborts the connection after left bytes.
type recorder struct {
	http.ResponseWriter
	statuses *[]int
	left     int
}

func (r *recorder) WriteHeader(status int) {
	*r.statuses = append(*r.statuses, status)
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.left < 0 || r.left > len(b) {
		return r.ResponseWriter.Write(b)
	}
	r.ResponseWriter.Write(b[:r.left])
	r.ResponseWriter.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func content() []byte { return bytes.Repeat([]byte("0123456789abcdef"), 1<<12) }

func pin(b []byte) pinned {
	sum := sha256.Sum256(b)
	return pinned{hex.EncodeToString(sum[:]), int64(len(b))}
}

func (s *server) download(ctx context.Context, path string) error {
	return download(ctx, path, pin(content()), Options{URL: s.URL, Progress: func(int64, int64) {}})
}

func TestDownload(t *testing.T) {
	s := serve(t, content())
	path := filepath.Join(t.TempDir(), "net.pth")
	var done, total int64
	err := download(t.Context(), path, pin(content()), Options{URL: s.URL, Progress: func(d, n int64) {
		require.GreaterOrEqual(t, d, done)
		done, total = d, n
	}})
	require.NoError(t, err)
	require.Equal(t, int64(len(content())), done)
	require.Equal(t, done, total)
	require.Equal(t, []string{"net.pth"}, entries(t, filepath.Dir(path)))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, content(), b)
}

func TestDownloadGoesOnAfterACut(t *testing.T) {
	s := serve(t, content())
	s.cutAfter = 20_000
	path := filepath.Join(t.TempDir(), "net.pth")

	err := s.download(t.Context(), path)
	require.ErrorContains(t, err, "unexpected EOF")
	require.ErrorContains(t, err, "run the same command again")
	require.ErrorContains(t, err, path)
	require.Equal(t, []string{"net.pth.part", "net.pth.part.validator"}, entries(t, filepath.Dir(path)))
	info, err := os.Stat(path + ".part")
	require.NoError(t, err)
	require.Equal(t, int64(s.cutAfter), info.Size())

	require.NoError(t, s.download(t.Context(), path))
	require.Equal(t, "bytes=20000-", s.requests[1].Get("Range"))
	require.Equal(t, `"v1"`, s.requests[1].Get("If-Range"))
	require.Equal(t, []int{200, 206}, s.statuses)
	require.Equal(t, []string{"net.pth"}, entries(t, filepath.Dir(path)))
	require.NoError(t, pin(content()).verify(path))
}

func TestDownloadStartsAnewWhereItCannotGoOn(t *testing.T) {
	for name, change := range map[string]func(s *server){
		"server without Range":       func(s *server) { s.noRange = true },
		"the file has changed":       func(s *server) { s.etag = `"v2"` },
		"server without validator":   func(s *server) { s.etag = "" },
		"weak validator":             func(s *server) { s.etag = `W/"v1"` },
		"part longer than the file":  func(*server) {},
		"part of unknown provenance": func(*server) {},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, content())
			path := filepath.Join(t.TempDir(), "net.pth")
			stale := []byte("stale")
			if strings.HasPrefix(name, "part longer") {
				stale = append(content(), "stale"...)
			}
			require.NoError(t, os.WriteFile(path+".part", stale, 0o644))
			if !strings.HasPrefix(name, "part of unknown") {
				require.NoError(t, os.WriteFile(path+".part.validator", []byte(`"v1"`), 0o644))
			}
			change(s)
			require.NoError(t, s.download(t.Context(), path))
			require.NoError(t, pin(content()).verify(path))
			require.Equal(t, []string{"net.pth"}, entries(t, filepath.Dir(path)))
		})
	}
}

func TestDownloadUsesAWholePart(t *testing.T) {
	s := serve(t, content())
	path := filepath.Join(t.TempDir(), "net.pth")
	require.NoError(t, os.WriteFile(path+".part", content(), 0o644))
	require.NoError(t, os.WriteFile(path+".part.validator", []byte(`"v1"`), 0o644))
	require.NoError(t, s.download(t.Context(), path))
	require.Equal(t, []int{416}, s.statuses)
	require.Equal(t, []string{"net.pth"}, entries(t, filepath.Dir(path)))
}

func TestDownloadOfTheWrongFile(t *testing.T) {
	s := serve(t, []byte("<html>please log in</html>"))
	dir := t.TempDir()
	_, err := Fetch(t.Context(), "resnet50-torchvision", Options{Dir: dir, URL: s.URL})
	require.ErrorContains(t, err, "not the expected file")
	require.ErrorContains(t, err, "expected 0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a")
	require.ErrorContains(t, err, filepath.Join(dir, "resnet50-0676ba61.pth"))
	require.Empty(t, entries(t, dir))
}

// A server that goes on and on fills no disk.
func TestDownloadHasASize(t *testing.T) {
	read := int64(0)
	s := serve(t, append(content(), make([]byte, 1<<20)...))
	path := filepath.Join(t.TempDir(), "net.pth")
	err := download(t.Context(), path, pin(content()), Options{URL: s.URL, Progress: func(done, _ int64) { read = done }})
	require.ErrorContains(t, err, "not the expected file")
	require.Equal(t, int64(len(content()))+1, read)
	require.Empty(t, entries(t, filepath.Dir(path)))
}

func TestDownloadErrorAnswer(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	dir := t.TempDir()
	_, err := Fetch(t.Context(), "resnet50-torchvision", Options{Dir: dir, URL: s.URL})
	require.ErrorContains(t, err, "answers 404")
	require.Empty(t, entries(t, dir))

	s.Close() // offline
	_, err = Fetch(t.Context(), "resnet50-torchvision", Options{Dir: dir, URL: s.URL})
	require.ErrorContains(t, err, "by hand at "+filepath.Join(dir, "resnet50-0676ba61.pth"))
	require.Empty(t, entries(t, dir))
}

func TestDownloadInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(content())))
		w.Write(content()[:1000])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer s.Close()
	path := filepath.Join(t.TempDir(), "net.pth")
	err := download(ctx, path, pin(content()), Options{URL: s.URL, Progress: func(done, _ int64) {
		if done == 1000 {
			cancel()
		}
	}})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "run the same command again")
	info, err := os.Stat(path + ".part")
	require.NoError(t, err)
	require.Equal(t, int64(1000), info.Size())
	require.NoFileExists(t, path)

	require.NoError(t, serve(t, content()).download(t.Context(), path))
	require.NoError(t, pin(content()).verify(path))
}

func TestDownloadToAFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("needs /dev/full, which Linux has")
	}
	s := serve(t, content())
	dir := t.TempDir()
	require.NoError(t, os.Symlink("/dev/full", filepath.Join(dir, "resnet50-0676ba61.pth.part")))
	_, err := Fetch(t.Context(), "resnet50-torchvision", Options{Dir: dir, URL: s.URL})
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorContains(t, err, "make room in "+dir)
	require.NoFileExists(t, filepath.Join(dir, "resnet50-0676ba61.pth"))
}
