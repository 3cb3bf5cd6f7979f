package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"edgeclassify/capture"
	"edgeclassify/internal/atomicfile"
)

// album is a folder of events: for each a JPEG file, unless there was no frame, and
// a JSON file beside it.
type album struct {
	dir       string
	maxEvents int
	maxBytes  int64
	encoder   capture.Encoder
}

// Names of files sort by time. Files of other names are others'.
const timestamp = "20060102T150405.000Z" // in UTC

var (
	ours      = regexp.MustCompile(`^(event-\d{8}T\d{6}\.\d{3}Z-(?:start|end)-[^.]*)\.(?:jpg|json)$`)
	abandoned = regexp.MustCompile(`^\.event-\d{8}T\d{6}\.\d{3}Z-(?:start|end)-[^.]*\.(?:jpg|json)\.[0-9a-f]+\.tmp$`)
)

// openAlbum makes the folder, and removes what a run that was killed left half
// written.
func openAlbum(o Options) (*album, error) {
	if o.MaxEvents < 1 || o.MaxBytes < 1 {
		return nil, fmt.Errorf("events: at most %d events of %d bytes: want at least 1", o.MaxEvents, o.MaxBytes)
	}
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	if err := atomicfile.Check(filepath.Join(o.Dir, "event")); err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	for _, entry := range entries {
		const old = time.Minute // else it may be another program's, at work
		info, err := entry.Info()
		if err == nil && info.Mode().IsRegular() && abandoned.MatchString(entry.Name()) && time.Since(info.ModTime()) > old {
			_ = os.Remove(filepath.Join(o.Dir, entry.Name()))
		}
	}
	dir, err := filepath.Abs(o.Dir)
	return &album{dir: dir, maxEvents: o.MaxEvents, maxBytes: o.MaxBytes}, err
}

// keep writes an event's files and notes the picture's path in its record. The
// picture is there before the JSON file that names it.
func (a *album) keep(t *task) error {
	var picture []byte
	var err error
	name := fileName(&t.record)
	if t.frame != nil {
		if picture, err = a.encoder.JPEG(t.frame); err != nil {
			return err
		}
		t.record.Picture = name + ".jpg"
	}
	text, err := json.MarshalIndent(&t.record, "", "  ")
	t.record.Picture = ""
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	if err := a.makeRoom(int64(len(picture) + len(text))); err != nil {
		return fmt.Errorf("events: %w", err)
	}
	if picture != nil {
		path := filepath.Join(a.dir, name+".jpg")
		if err := write(path, picture); err != nil {
			return err
		}
		t.record.Picture = path
	}
	return write(filepath.Join(a.dir, name+".json"), text)
}

func write(path string, content []byte) error {
	return atomicfile.Write(path, 0o640, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// fileName is when, what and which label, in letters that all file systems take.
func fileName(r *Record) string {
	const most = 60 // bytes, of the few hundred that names may have
	label := strings.Map(func(c rune) rune {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			return c
		}
		return '_'
	}, r.Label)
	if len(label) > most {
		label = strings.ToValidUTF8(label[:most], "")
	}
	return "event-" + r.Time.UTC().Format(timestamp) + "-" + r.Kind + "-" + label
}

// kept is an event in the folder.
type kept struct {
	name  string // without extension
	files []string
	bytes int64
}

// list are the events in the folder, oldest first. It is read anew for each event,
// so that files may come and go, as may the disk.
func (a *album) list() (list []kept, err error) {
	entries, err := os.ReadDir(a.dir) // sorted
	for _, entry := range entries {
		match := ours.FindStringSubmatch(entry.Name())
		if match == nil {
			continue
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if n := len(list); n == 0 || list[n-1].name != match[1] {
			list = append(list, kept{name: match[1]})
		}
		k := &list[len(list)-1]
		k.files, k.bytes = append(k.files, entry.Name()), k.bytes+info.Size()
	}
	return list, err
}

// makeRoom removes the oldest events for one more, of that size.
func (a *album) makeRoom(size int64) error {
	if size > a.maxBytes {
		return fmt.Errorf("an event of %d bytes is more than the %d that may be kept", size, a.maxBytes)
	}
	list, err := a.list()
	if err != nil {
		return err
	}
	for _, k := range list {
		size += k.bytes
	}
	for len(list) >= a.maxEvents || size > a.maxBytes {
		oldest := list[0]
		slices.Reverse(oldest.files) // the picture last: a cut leaves no JSON file that names none
		for _, file := range oldest.files {
			if err := os.Remove(filepath.Join(a.dir, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		list, size = list[1:], size-oldest.bytes
	}
	return nil
}
