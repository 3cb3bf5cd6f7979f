package live

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"sync"
	"time"
)

const (
	teachPath  = "/api/teach/"
	maxWish    = 4 << 10                // bytes of a request
	teachEvery = 100 * time.Millisecond // between two states that viewers are told, at least
	stillHeld  = 3 * time.Second        // within which a browser must say that its button is
)

// wish is the body of a request that changes something.
type wish struct {
	Label string `json:"label"`
	To    string `json:"to"` // rename
	ID    string `json:"id"` // delete
	On    bool   `json:"on"` // collect
}

// teaching passes viewers' wishes on to the Teacher.
type teaching struct {
	Teacher
	mu   sync.Mutex
	held string // label whose button was held down last
	turn int    // counts what was said about buttons
}

// collect begins or ends collecting. What was begun ends by itself unless it is
// begun again in time, since browsers may go away with a button held.
func (t *teaching) collect(label string, on bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.Collect(label, on); err != nil {
		return err
	}
	if on || label == t.held {
		t.turn++
	}
	if on {
		t.held = label
		turn := t.turn
		time.AfterFunc(stillHeld, func() { t.release(turn) })
	}
	return nil
}

// release ends what was begun in that turn, if nothing was said since.
func (t *teaching) release(turn int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.turn == turn {
		_ = t.Collect(t.held, false) // or its label is gone
	}
}

func (s *Server) handleTeaching(mux *http.ServeMux) {
	if s.options.Teach == nil {
		return
	}
	t := &teaching{Teacher: s.options.Teach}
	mux.HandleFunc("GET "+teachPath+"{$}", func(w http.ResponseWriter, r *http.Request) { s.sendJSON(w, r, t.State()) })
	mux.HandleFunc("GET "+teachPath+"sample.jpg", s.serveSample)
	mux.HandleFunc("GET "+teachPath+"export.zip", s.serveExport)
	for name, fulfil := range map[string]func(wish) error{
		"add":     func(w wish) error { return t.AddLabel(w.Label) },
		"rename":  func(w wish) error { return t.RenameLabel(w.Label, w.To) },
		"remove":  func(w wish) error { return t.RemoveLabel(w.Label) },
		"collect": func(w wish) error { return t.collect(w.Label, w.On) },
		"delete":  func(w wish) error { return t.DeleteSample(w.Label, w.ID) },
		"train":   func(wish) error { return t.Train() },
		"cancel":  func(wish) error { t.Cancel(); return nil },
		"use":     func(wish) error { return t.Use() },
		"undo":    func(wish) error { return t.Undo() },
	} {
		mux.Handle("POST "+teachPath+name, change(fulfil))
	}
}

// change takes a wish of the page itself, and of programs. Other pages' are refused:
// browsers tell where a request comes from, and take this kind of body to another
// origin only if that asks for it.
func change(fulfil func(wish) error) http.HandlerFunc {
	var sameOrigin http.CrossOriginProtection
	return func(w http.ResponseWriter, r *http.Request) {
		if err := sameOrigin.Check(r); err != nil {
			http.Error(w, "only this server's own page may change what is taught: "+err.Error(), http.StatusForbidden)
			return
		}
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
			http.Error(w, "want a body of Content-Type application/json", http.StatusUnsupportedMediaType)
			return
		}
		wish, status, err := readWish(w, r)
		if err == nil {
			status, err = http.StatusConflict, fulfil(wish)
		}
		if err != nil {
			http.Error(w, err.Error(), status)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// readWish returns the status to answer with if there is none.
func readWish(w http.ResponseWriter, r *http.Request) (wish, int, error) {
	var read wish
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxWish))
	body.DisallowUnknownFields()
	err := body.Decode(&read)
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return wish{}, http.StatusRequestEntityTooLarge, fmt.Errorf("want at most %d bytes", maxWish)
	case err != nil:
		return wish{}, http.StatusBadRequest, fmt.Errorf(`want JSON such as {"label": "cup", "on": true}: %w`, err)
	}
	return read, 0, nil
}

func (s *Server) serveSample(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	file, err := s.options.Teach.Sample(query.Get("label"), query.Get("id"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "image/jpeg")
	s.viewer(w, r).send(file)
}

// serveExport sends a file that takes its time. One that cannot be ended is cut off,
// so that nobody takes it for whole.
func (s *Server) serveExport(w http.ResponseWriter, r *http.Request) {
	v := s.viewer(w, r)
	if !v.alive() {
		return
	}
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", `attachment; filename="taught-`+time.Now().Format("2006-01-02")+`.zip"`)
	out := bufio.NewWriterSize(v, sendBuffer)
	err := s.options.Teach.Export(out)
	if err == nil {
		err = out.Flush()
	}
	switch {
	case err != nil && v.sent == 0:
		w.Header().Del("Content-Disposition")
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case err != nil:
		s.options.Log.Warn("export of what is taught was cut off", "err", err)
		panic(http.ErrAbortHandler)
	}
}

// tellTaught tells viewers the state when it changes, and when there is a further
// viewer. It does nothing while nobody teaches.
func (s *Server) tellTaught(ctx context.Context) {
	if s.options.Teach == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.options.Teach.Changed():
		case <-s.pupil:
		}
		if s.lessons.count() > 0 {
			s.send(s.lessons, s.options.Teach.State())
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(teachEvery):
		}
	}
}
