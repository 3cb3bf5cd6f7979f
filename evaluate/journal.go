package evaluate

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"
)

const (
	journalKind  = "quantize eval 1" // with the version of the format
	journalBatch = 64                // verdicts between two syncs: the most that a power cut takes
)

// journal is a file of verdicts that outlives an interruption: lines of JSON, a
// header and then one for each image. A nil journal keeps nothing.
type journal struct {
	mu      sync.Mutex
	file    *os.File
	pending bytes.Buffer // whole lines
	lines   int          // in pending
}

// journalHeader names what verdicts depend on besides image and true class.
type journalHeader struct {
	Kind  string `json:"kind"`
	Model string `json:"model_sha256"`
	Float string `json:"float_sha256"` // empty without a float network
}

// journalLine is the verdict on one image.
type journalLine struct {
	File string `json:"file"` // absolute path
	verdict
}

// Resume takes the verdicts in the file over and makes Run write those to come
// behind them. They are of the model and the float network of these SHA-256
// hashes, of which the second is empty without a float network. A file that does
// not exist is begun; one of other networks or true classes is an error.
func (e *Evaluation) Resume(path, model, float string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	lines, err := openJournal(file, journalHeader{journalKind, model, float})
	if err == nil {
		err = e.adopt(lines)
	}
	if err != nil {
		file.Close()
		return fmt.Errorf("%s: %w", path, err)
	}
	e.journal = &journal{file: file}
	return nil
}

// Close ends the file of Resume, if there is one.
func (e *Evaluation) Close() error {
	if e.journal == nil {
		return nil
	}
	return errors.Join(e.journal.flush(), e.journal.file.Close())
}

// adopt takes over the verdicts on images of this evaluation.
func (e *Evaluation) adopt(lines []journalLine) error {
	verdicts := make(map[string]verdict, len(lines))
	for _, l := range lines {
		verdicts[l.File] = l.verdict
	}
	for i, file := range e.images.Files {
		name, err := filepath.Abs(file)
		if err != nil {
			return err
		}
		v, ok := verdicts[name]
		if !ok {
			continue
		}
		if v.Class != e.verdicts[i].Class {
			return fmt.Errorf("%s was of class %d and is of class %d now (-1 is unknown): "+
				"give true classes as before, or -resume another file", file, v.Class, e.verdicts[i].Class)
		}
		v.known = true
		e.verdicts[i] = v
	}
	return nil
}

// openJournal reads the lines of a journal and leaves the file at its end. What
// follows the last whole line was cut off and is removed.
func openJournal(file *os.File, h journalHeader) ([]journalLine, error) {
	data, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	header, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	header = append(header, '\n')
	if bytes.HasPrefix(header, data) { // as yet without verdicts
		_, err := file.WriteAt(header, 0)
		if err == nil {
			_, err = file.Seek(0, io.SeekEnd)
		}
		return nil, err
	}
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	if err := h.check(first); err != nil {
		return nil, err
	}
	lines, size, err := parseJournal(rest)
	if err != nil {
		return nil, err
	}
	end := int64(len(first) + 1 + size)
	if err := file.Truncate(end); err != nil {
		return nil, err
	}
	_, err = file.Seek(end, io.SeekStart)
	return lines, err
}

// check compares the header with the first line of a file.
func (h journalHeader) check(line []byte) error {
	var found journalHeader
	if err := json.Unmarshal(line, &found); err != nil || found.Kind != h.Kind {
		return errors.New("the file was not written by this version of -resume: name another")
	}
	for _, c := range []struct{ what, found, want string }{
		{"model", found.Model, h.Model},
		{"float network", found.Float, h.Float},
	} {
		if c.found != c.want {
			return fmt.Errorf("the file belongs to another %s (SHA-256 %s) than the one given (%s): remove it or name another",
				c.what, cmp.Or(c.found, "none"), cmp.Or(c.want, "none"))
		}
	}
	return nil
}

// parseJournal reads the lines after the header and tells the size of the whole
// ones.
func parseJournal(data []byte) (lines []journalLine, size int, err error) {
	for number := 2; ; number++ {
		line, rest, whole := bytes.Cut(data[size:], []byte("\n"))
		if !whole {
			return lines, size, nil
		}
		var l journalLine
		if err := json.Unmarshal(line, &l); err != nil {
			return nil, 0, damaged(number, err)
		}
		if db := l.sqnr(); db != nil && (math.IsNaN(*db) || math.IsInf(*db, 0)) {
			return nil, 0, damaged(number, fmt.Errorf("no image has a signal of %g and a noise of %g", l.Signal, l.Noise))
		}
		lines = append(lines, l)
		size = len(data) - len(rest)
	}
}

func damaged(number int, err error) error {
	return fmt.Errorf("line %d is damaged: cut the file off before it, or remove it: %w", number, err)
}

// add writes a verdict down, in batches.
func (j *journal) add(file string, v verdict) error {
	if j == nil {
		return nil
	}
	name, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	line, err := json.Marshal(journalLine{name, v})
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.pending.Write(append(line, '\n'))
	if j.lines++; j.lines < journalBatch {
		return nil
	}
	return j.flush()
}

// flush brings the pending lines to the disk.
func (j *journal) flush() error {
	j.lines = 0
	if _, err := j.pending.WriteTo(j.file); err != nil {
		return err
	}
	return j.file.Sync()
}
