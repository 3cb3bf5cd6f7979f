package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"edgeclassify/internal/images"
)

// photographs is a session that shows JPEG files in turn.
type photographs struct {
	pool
	*pace
	dir      string
	log      *slog.Logger
	files    []string
	at       int // index of the next file
	sequence uint64
}

func openPhotographs(dir string, o Options) (opener, error) {
	if o.FPS == 0 {
		o.FPS = 1
	}
	return func(context.Context) (session, Status, error) {
		s := &photographs{pool: newPool(0), pace: newPace(o.FPS), dir: dir, log: o.Log}
		if err := s.list(); err != nil {
			return nil, Status{}, err
		}
		return s, Status{Device: "file:" + dir, Format: MJPEG, FPS: o.FPS}, nil
	}, nil
}

// list reads the folder, again in every round, and begins a round.
func (s *photographs) list() error {
	files, err := images.List(s.dir)
	if err != nil {
		return err
	}
	s.at, s.files = 0, slices.DeleteFunc(files, func(path string) bool {
		kind := strings.ToLower(filepath.Ext(path))
		return kind != ".jpg" && kind != ".jpeg"
	})
	if len(s.files) == 0 {
		return fmt.Errorf("%s has no JPEG files: frames are taken of JPEG only: %w", s.dir, fs.ErrNotExist)
	}
	return nil
}

func (s *photographs) next() (arrival, error) {
	if err := s.wait(); err != nil {
		return arrival{}, err
	}
	if s.at == len(s.files) {
		if err := s.list(); err != nil {
			return arrival{}, err
		}
	}
	path := s.files[s.at]
	s.at++
	b := <-s.pool
	b.Frame = Frame{Format: MJPEG, FullRange: true, Time: time.Now(), Sequence: s.sequence}
	s.sequence++
	if err := b.load(path); err != nil {
		s.log.Warn("photograph is left out", "file", path, "error", err)
		s.release(b)
		return arrival{corrupt: 1}, nil
	}
	return arrival{newest: b, frames: 1}, nil
}

// load reads a JPEG file.
func (b *buffer) load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	const most = 64 << 20
	file := bytes.NewBuffer(b.memory[:0])
	n, err := io.Copy(file, io.LimitReader(f, most+1))
	if err != nil {
		return err
	}
	if n > most {
		return errors.New("larger than 64 MiB: scale it down")
	}
	b.memory = file.Bytes()
	if _, err := b.completeJPEG(b.memory); err != nil {
		return err
	}
	c, err := jpeg.DecodeConfig(bytes.NewReader(b.Data))
	b.Width, b.Height = c.Width, c.Height
	return err
}
