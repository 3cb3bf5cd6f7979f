package fetch

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

const (
	standstill = time.Minute // without a byte after which a download fails
	atMost     = time.Hour   // for a download
)

// File brings what is at an HTTPS address to path, if it has at most limit bytes,
// and returns its SHA-256. Every redirection has to be one to HTTPS. roots are the
// certificate authorities to trust, nil the system's. A download that fails leaves
// no file.
func File(ctx context.Context, address, path string, limit int64, roots *x509.CertPool) (sum string, err error) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	stall := time.AfterFunc(standstill, func() { fail(fmt.Errorf("no byte for %v", standstill)) })
	defer stall.Stop()
	body, err := secureBody(ctx, address, limit, roots)
	if err == nil {
		defer body.Close()
		sum, err = save(path, &counter{Reader: body, progress: func(int64, int64) { stall.Reset(standstill) }}, limit)
	}
	if cause := context.Cause(ctx); cause != nil { // a server that notices first may end the file as if it were whole
		err = cause
		os.Remove(path)
	}
	if err != nil {
		return "", fmt.Errorf("fetch: %w", err)
	}
	return sum, nil
}

func secureBody(ctx context.Context, address string, limit int64, roots *x509.CertPool) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if err := secure(request.URL); err != nil {
		return nil, err
	}
	client := http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(r *http.Request, before []*http.Request) error {
			if len(before) >= 10 {
				return errors.New("too many redirections")
			}
			return secure(r.URL)
		},
	}
	response, err := client.Do(request)
	switch {
	case err != nil:
		return nil, err
	case response.StatusCode != http.StatusOK:
		err = fmt.Errorf("%s answers %s", request.URL.Redacted(), response.Status)
	case response.ContentLength > limit:
		err = tooLarge(limit)
	}
	if err != nil {
		response.Body.Close()
		return nil, err
	}
	return response.Body, nil
}

func secure(u *url.URL) error {
	if u.Scheme != "https" {
		return fmt.Errorf("%s: only https:// is taken", u.Redacted())
	}
	return nil
}

func tooLarge(limit int64) error { return fmt.Errorf("the file has more than %d bytes", limit) }

// save writes a file and returns its SHA-256, or leaves none.
func save(path string, from io.Reader, limit int64) (string, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(from, limit+1))
	if err == nil && n > limit {
		err = tooLarge(limit)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(path)
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
