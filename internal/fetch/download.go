package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"edgeclassify/internal/atomicfile"
)

// download brings o.URL, a file that is known, to path by way of path.part, which stays for the next
// call if the connection breaks or ctx ends. The validator that the server
// gave for the part is kept beside it: without one the part is not continued,
// lest two versions of the file be joined.
//
// Source: RFC 9110, sections 13.1.5 (If-Range) and 14 (range requests).
func download(ctx context.Context, path string, file pinned, o Options) error {
	d := transfer{url: o.URL, part: path + ".part", validator: path + ".part.validator", size: file.size, progress: o.Progress}
	if err := d.run(ctx, file.verify); err != nil {
		return fmt.Errorf("%w; run the same command again to go on, or put %s by hand at %s", err, o.URL, path)
	}
	if err := file.verify(d.part); err != nil {
		d.discard()
		return fmt.Errorf("what %s sends is not the expected file: %w; run the same command again, "+
			"and if that does not help put the file by hand at %s", o.URL, err, path)
	}
	if err := os.Rename(d.part, path); err != nil {
		return err
	}
	d.discard()
	return atomicfile.SyncDir(filepath.Dir(path))
}

// transfer is a download that may have begun earlier.
type transfer struct {
	url, part, validator string
	size                 int64
	progress             func(done, total int64)
}

// run completes the part. A part that the server cannot continue is fetched
// from the start, once.
func (d transfer) run(ctx context.Context, verify func(string) error) error {
	for attempt := 1; ; attempt++ {
		offset, validator := d.resume()
		resp, err := d.request(ctx, offset, validator)
		if err != nil {
			return err
		}
		err = d.receive(resp, offset)
		resp.Body.Close()
		if !errors.Is(err, errCannotContinue) {
			return err
		}
		// The part may be whole: a stop just before the rename.
		if verify(d.part) == nil {
			return nil
		}
		d.discard()
		if attempt == 2 {
			return err
		}
	}
}

var errCannotContinue = errors.New("the server cannot continue the partial download")

// resume returns where to go on, 0 for the start, and for which version.
func (d transfer) resume() (offset int64, validator string) {
	v, err := os.ReadFile(d.validator)
	if err != nil || len(v) == 0 {
		return 0, ""
	}
	info, err := os.Stat(d.part)
	if err != nil {
		return 0, ""
	}
	return info.Size(), string(v)
}

func (d transfer) discard() {
	os.Remove(d.part)
	os.Remove(d.validator)
}

func (d transfer) request(ctx context.Context, offset int64, validator string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return nil, err
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		req.Header.Set("If-Range", validator)
	}
	client := http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableCompression: true, // a range of compressed bytes is of no use
		TLSHandshakeTimeout: 30 * time.Second, ResponseHeaderTimeout: time.Minute, DisableKeepAlives: true,
	}}
	return client.Do(req)
}

// receive appends the answer to the part, or starts the part anew if the
// answer is the whole file.
func (d transfer) receive(resp *http.Response, offset int64) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	switch resp.StatusCode {
	case http.StatusOK:
		offset = 0
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
		if err := d.remember(resp.Header); err != nil {
			return err
		}
	case http.StatusPartialContent:
		if rangeStart(resp.Header.Get("Content-Range")) != offset {
			return errCannotContinue
		}
	case http.StatusRequestedRangeNotSatisfiable:
		return errCannotContinue
	default:
		return fmt.Errorf("%s answers %s", d.url, resp.Status)
	}
	f, err := os.OpenFile(d.part, flags, 0o644)
	if err != nil {
		return err
	}
	total := int64(-1)
	if resp.ContentLength >= 0 {
		total = offset + resp.ContentLength
	}
	// No more than the file has, and a byte to see that it is another one.
	body := io.LimitReader(resp.Body, max(0, d.size-offset)+1)
	_, err = io.Copy(f, &counter{Reader: body, done: offset, total: total, progress: d.progress})
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// remember keeps the validator of the version that is about to come. A weak
// ETag cannot vouch for equal bytes.
func (d transfer) remember(h http.Header) error {
	v := h.Get("ETag")
	if v == "" || strings.HasPrefix(v, "W/") {
		v = h.Get("Last-Modified")
	}
	if v == "" {
		os.Remove(d.validator)
		return nil
	}
	return os.WriteFile(d.validator, []byte(v), 0o644)
}

// rangeStart is the first number of "bytes 5-9/10", or -1.
func rangeStart(contentRange string) int64 {
	rest, ok := strings.CutPrefix(contentRange, "bytes ")
	first, _, ok2 := strings.Cut(rest, "-")
	n, err := strconv.ParseInt(first, 10, 64)
	if !ok || !ok2 || err != nil {
		return -1
	}
	return n
}
