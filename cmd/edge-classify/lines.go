package main

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

const (
	backlog    = 256                    // lines that may wait
	lastChance = 500 * time.Millisecond // for what waits when the program ends
)

// lines writes in another goroutine, so that a reader who is slow does not
// stop the camera. What comes while too much waits is lost.
type lines struct {
	w     io.Writer
	log   *slog.Logger
	queue chan []byte
	quit  chan struct{} // closed to end it; put may come later still
	done  chan struct{}
	lost  int
	bad   bool // the last write failed
}

func newLines(w io.Writer, log *slog.Logger) *lines {
	l := &lines{w: w, log: log, queue: make(chan []byte, backlog), quit: make(chan struct{}), done: make(chan struct{})}
	go l.run()
	return l
}

func (l *lines) run() {
	defer close(l.done)
	for quit := l.quit; quit != nil || len(l.queue) > 0; {
		select {
		case line := <-l.queue:
			l.write(line)
		case <-quit:
			quit = nil
		}
	}
}

func (l *lines) write(line []byte) {
	_, err := l.w.Write(line)
	if err != nil && !l.bad {
		l.log.Error("results cannot be written", "err", err)
	}
	l.bad = err != nil
}

// put takes the line over, without waiting.
func (l *lines) put(line []byte) {
	select {
	case l.queue <- line:
		if l.lost > 0 {
			l.log.Warn("results lost: standard output was not read in time", "lines", l.lost)
			l.lost = 0
		}
	default:
		l.lost++
	}
}

// Close waits for what is still to be written, but not for ever.
func (l *lines) Close() error {
	close(l.quit)
	select {
	case <-l.done:
		return nil
	case <-time.After(lastChance):
		return fmt.Errorf("%d lines were not read in time", len(l.queue)+1)
	}
}
