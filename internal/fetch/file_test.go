package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFile(t *testing.T) {
	content := bytes.Repeat([]byte("model"), 1000)
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/model", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write(content)
		}
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "9")
		_, _ = w.Write([]byte("half"))
	})
	mux.Handle("/moved", http.RedirectHandler("/model", http.StatusFound))
	mux.Handle("/plain", http.RedirectHandler(plain.URL, http.StatusFound))
	mux.Handle("/circle", http.RedirectHandler("/circle", http.StatusFound))
	mux.HandleFunc("/silent", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	dir := t.TempDir()
	path := filepath.Join(dir, "model.q8.part")
	sum := sha256.Sum256(content)
	for _, from := range []string{"/model", "/moved"} {
		got, err := File(t.Context(), server.URL+from, path, int64(len(content)), roots)
		require.NoError(t, err)
		require.Equal(t, hex.EncodeToString(sum[:]), got)
		saved, err := SHA256(path)
		require.NoError(t, err)
		require.Equal(t, got, saved)
		require.NoError(t, os.Remove(path))
	}
	for url, want := range map[string]string{
		server.URL + "/none":    "/none answers 404 Not Found",
		server.URL + "/endless": "the file has more than 5000 bytes",
		server.URL + "/cut":     "unexpected EOF",
		server.URL + "/plain":   "only https:// is taken",
		server.URL + "/circle":  "too many redirections",
		plain.URL:               "only https:// is taken",
		"https://127.0.0.1:1/x": "connect",
		"https://%zz":           "invalid URL escape",
	} {
		_, err := File(t.Context(), url, path, int64(len(content)), roots)
		require.ErrorContains(t, err, want, url)
		require.Empty(t, entries(t, dir), url)
	}
	_, err := File(t.Context(), server.URL+"/model", path, int64(len(content))-1, roots)
	require.ErrorContains(t, err, "the file has more than 4999 bytes")
	_, err = File(t.Context(), server.URL+"/model", path, 1<<20, nil)
	require.ErrorContains(t, err, "certificate")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = File(ctx, server.URL+"/silent", path, 1<<20, roots)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Empty(t, entries(t, dir))
}
