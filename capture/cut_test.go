package capture

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// cutAll takes all files out of a stream.
func cutAll(t testing.TB, r io.Reader) (files [][]byte, damaged int) {
	stream := bufio.NewReaderSize(r, 64)
	for {
		file, err := readJPEG(stream, nil)
		switch {
		case err == nil:
			files = append(files, file)
		case isDamage(err):
			damaged++
		default:
			require.True(t, errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF), err)
			return files, damaged
		}
	}
}

func TestReadJPEG(t *testing.T) {
	whole, bare := encode(t)
	open := whole[:len(whole)-2] // without its end marker
	thumbnail := append([]byte("\xff\xd8\xff\xe1\x00\x08\xff\xd8\xff\xd9ab"), whole[2:]...)
	twoScans := append(bytes.Clone(open), whole[bytes.Index(whole, []byte("\xff\xda")):]...)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, c := range map[string]struct {
		stream  []byte
		want    [][]byte
		damaged int
	}{
		"side by side":         {join(whole, bare, whole), [][]byte{whole, bare, whole}, 0},
		"text between":         {join([]byte("--b\r\n\r\n"), whole, []byte("\r\n--b\r\n\xff\xff"), bare, []byte("\xff")), [][]byte{whole, bare}, 0},
		"a thumbnail":          {join(thumbnail, whole), [][]byte{thumbnail, whole}, 0},
		"two scans":            {join(twoScans, whole), [][]byte{twoScans, whole}, 0},
		"no end":               {join(open, whole), [][]byte{open, whole}, 0},
		"fill bytes":           {join(whole[:2], []byte("\xff\xff"), whole[2:]), [][]byte{whole}, 0},
		"started twice":        {join(whole[:2], whole), [][]byte{whole}, 0},
		"cut off in a header":  {join(whole[:2], []byte("\xff\xe0\x00\x04ab"), whole), [][]byte{whole}, 1},
		"no marker":            {join(whole[:2], []byte("ab"), whole), [][]byte{whole}, 1},
		"cut off by the end":   {join(whole, whole[:300]), [][]byte{whole}, 0},
		"nothing":              {nil, nil, 0},
		"an end without start": {join([]byte("\xff\xd9"), whole), [][]byte{whole}, 0},
	} {
		files, damaged := cutAll(t, bytes.NewReader(c.stream))
		require.Equal(t, c.want, files, name)
		require.Equal(t, c.damaged, damaged, name)
		files, damaged = cutAll(t, iotest.OneByteReader(bytes.NewReader(c.stream)))
		require.Equal(t, c.want, files, name)
		require.Equal(t, c.damaged, damaged, name)
	}
}

// FuzzReadJPEG: whatever comes, a whole file behind two others' room is found.
func FuzzReadJPEG(f *testing.F) {
	whole, bare := encode(f)
	f.Add(whole[:40])
	f.Add(bare[len(bare)-40:])
	f.Add([]byte("\xff\xd8\xff\xda\x00\x02ab\xff\xd0\xff\x00\xff\xff\xd9"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		if len(stream) > 1<<12 {
			return
		}
		rest := append(bytes.Clone(stream), make([]byte, 1<<16)...) // the longest segment
		rest = append(append(rest, whole...), whole...)
		files, _ := cutAll(t, bytes.NewReader(rest))
		require.NotEmpty(t, files)
		require.Equal(t, whole, files[len(files)-1])
		for _, file := range files {
			require.True(t, bytes.HasPrefix(file, []byte("\xff\xd8")))
			require.LessOrEqual(t, len(file), len(rest))
		}
	})
}

// endless gives the same bytes over and over.
type endless struct {
	bytes []byte
	at    int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.bytes[e.at:])
	e.at = (e.at + n) % len(e.bytes)
	return n, nil
}
func (e *endless) stop()               {}
func (e *endless) end(err error) error { return err }

func TestFeedsDoNotAllocate(t *testing.T) {
	_, bare := encode(t)
	for c, layout := range map[coding]Frame{raw: {Format: I420, Width: 64, Height: 48, Stride: 64}, jpegs: {}, anyBytes: {}} {
		s, _, err := openFeed(t.Context(), &endless{bytes: part(bare)[4:]}, content{layout: layout, coding: c})
		if c == anyBytes {
			s, _, err = openFeed(t.Context(), &endless{bytes: bare}, content{layout: layout, coding: c})
		}
		require.NoError(t, err)
		step := func() {
			a, err := s.next()
			if err != nil || a.newest == nil {
				t.Fatal(a, err)
			}
			s.release(a.newest)
		}
		for range 10 {
			step()
		}
		require.Zero(t, testing.AllocsPerRun(100, step), c)
		s.close()
	}
}

// trickle gives its bytes, then nothing until it is stopped.
type trickle struct {
	bytes.Buffer
	stopped chan struct{}
	once    sync.Once
}

func (s *trickle) Read(p []byte) (int, error) {
	if s.Len() > 0 {
		return s.Buffer.Read(p)
	}
	<-s.stopped
	return 0, io.EOF
}
func (s *trickle) stop()               { s.once.Do(func() { close(s.stopped) }) }
func (s *trickle) end(err error) error { return err }

// TestFeedsStall after a while that depends on their rate, and on the first
// frame.
func TestFeedsStall(t *testing.T) {
	for name, c := range map[string]struct {
		fps          float64
		steady       bool
		first, later time.Duration
	}{
		"board":          {30, true, feedPatience, minPatience},
		"board, slow":    {0.5, true, 20 * time.Second, 20 * time.Second},
		"network":        {30, false, feedPatience, feedPatience},
		"network, slow":  {0.1, false, 100 * time.Second, 100 * time.Second},
		"network, plain": {0, false, feedPatience, feedPatience},
	} {
		synctest.Test(t, func(t *testing.T) {
			contents := content{layout: Frame{Format: I420, Width: 16, Height: 16, Stride: 16}, fps: c.fps, steady: c.steady}
			began := time.Now()
			_, _, err := openFeed(t.Context(), &trickle{stopped: make(chan struct{})}, contents)
			require.ErrorIs(t, err, errStalled, name)
			require.Equal(t, c.first, time.Since(began), name)

			src := &trickle{stopped: make(chan struct{})}
			src.Write(make([]byte, 2*16*16*3/2+1))
			s, _, err := openFeed(t.Context(), src, contents)
			require.NoError(t, err)
			for range 2 {
				_, err = s.next()
				require.NoError(t, err)
			}
			began = time.Now()
			_, err = s.next()
			require.ErrorIs(t, err, errStalled, name)
			require.Equal(t, c.later, time.Since(began), name)
			s.close()
		})
	}
}
