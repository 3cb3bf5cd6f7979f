package live

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"
)

//go:embed page
var page embed.FS

const (
	refresh      = time.Second // of the state, for viewers
	boundary     = "frame"
	snapshotWait = 5 * time.Second
)

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", file("page/index.html"))
	for _, name := range []string{"style.css", "region.js", "teach.js", "script.js", "icon.svg"} {
		mux.HandleFunc("GET /"+name, file("page/"+name))
	}
	mux.HandleFunc("GET /stream.mjpg", s.serveStream)
	mux.HandleFunc("GET /snapshot.jpg", s.serveSnapshot)
	mux.HandleFunc("GET /api/latest", s.serveLatest)
	mux.HandleFunc("GET /api/events", s.serveEvents)
	mux.Handle("GET /metrics", s.metrics.handler())
	mux.HandleFunc("GET "+health, s.serveHealth)
	s.handleTeaching(mux)
	mux.Handle("GET "+loginPath, http.RedirectHandler("/", http.StatusSeeOther))
	return s.guard(mux)
}

func file(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, page, name) }
}

func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	since := s.since(time.Now())
	if s.stale(since) {
		s.refuseOld(w, since)
		return
	}
	fmt.Fprintln(w, "ok")
}

// refuseOld tells that there is no picture that may be shown.
func (s *Server) refuseOld(w http.ResponseWriter, since time.Duration) {
	w.Header().Set("Retry-After", "2")
	http.Error(w, fmt.Sprintf("no picture since %.0f s", since.Seconds()), http.StatusServiceUnavailable)
}

func refuseMore(w http.ResponseWriter, err error) {
	w.Header().Set("Retry-After", "10")
	http.Error(w, err.Error(), http.StatusServiceUnavailable)
}

func (s *Server) serveLatest(w http.ResponseWriter, r *http.Request) { s.sendJSON(w, r, s.state()) }

func (s *Server) sendJSON(w http.ResponseWriter, r *http.Request, value any) {
	body, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	s.viewer(w, r).send(body, []byte("\n"))
}

func (s *Server) serveSnapshot(w http.ResponseWriter, r *http.Request) {
	box, err := s.screen.join(origin(r.RemoteAddr))
	if err != nil {
		refuseMore(w, err)
		return
	}
	defer s.screen.viewers.leave(box)
	late := time.NewTimer(snapshotWait)
	defer late.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-late.C:
			s.refuseOld(w, s.since(time.Now()))
			return
		case p := <-box:
			if age := time.Since(p.time); s.stale(age) {
				s.refuseOld(w, age)
				return
			}
			maps.Copy(w.Header(), s.describe(p))
			w.Header().Set("Content-Disposition", `inline; filename="camera-`+p.time.Format("2006-01-02-150405")+`.jpg"`)
			s.viewer(w, r).send(p.jpeg)
			return
		}
	}
}

// describe is a picture's headers.
func (s *Server) describe(p *picture) http.Header {
	now := time.Now()
	return http.Header{
		"Content-Type":   {"image/jpeg"},
		"Content-Length": {strconv.Itoa(len(p.jpeg))},
		"X-Sequence":     {strconv.FormatUint(p.sequence, 10)},
		"X-Age-Ms":       {fmt.Sprintf("%.1f", milliseconds(now.Sub(p.time)))},
		"X-Sent-Ms":      {fmt.Sprintf("%.1f", milliseconds(now.Sub(s.started)))},
	}
}

func (s *Server) serveStream(w http.ResponseWriter, r *http.Request) {
	box, err := s.screen.join(origin(r.RemoteAddr))
	if err != nil {
		refuseMore(w, err)
		return
	}
	defer s.screen.viewers.leave(box)
	if since := s.since(time.Now()); s.stale(since) {
		s.refuseOld(w, since)
		return
	}
	w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary="+boundary)
	v := s.viewer(w, r)
	v.send([]byte("--" + boundary + "\r\n"))
	check := time.NewTicker(refresh)
	defer check.Stop()
	for v.alive() {
		select {
		case <-r.Context().Done():
			return
		case <-check.C:
			if s.stale(s.since(time.Now())) {
				return
			}
		case p := <-box:
			if !s.stale(time.Since(p.time)) {
				s.part(v, p)
			}
		}
	}
}

// part sends a picture and the boundary that ends it, without which browsers do
// not show it before the next.
func (s *Server) part(v *viewer, p *picture) {
	var head bytes.Buffer
	s.describe(p).Write(&head)
	head.WriteString("\r\n")
	v.send(head.Bytes(), p.jpeg, []byte("\r\n--"+boundary+"\r\n"))
}

func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	results, err := s.results.join(origin(r.RemoteAddr))
	if err != nil {
		refuseMore(w, err)
		return
	}
	defer s.results.leave(results)
	events, err := s.events.join(origin(r.RemoteAddr))
	if err != nil {
		refuseMore(w, err)
		return
	}
	defer s.events.leave(events)
	lessons, err := s.lessons.join(origin(r.RemoteAddr))
	if err != nil {
		refuseMore(w, err)
		return
	}
	defer s.lessons.leave(lessons)
	select {
	case s.pupil <- struct{}{}:
	default:
	}
	w.Header().Set("Content-Type", "text/event-stream")
	v := s.viewer(w, r)
	v.send([]byte("retry: 2000\n\n"))
	check := time.NewTicker(refresh)
	defer check.Stop()
	for s.writeState(v); v.alive(); {
		select {
		case <-r.Context().Done():
			return
		case message := <-results:
			v.event("result", message)
		case message := <-events:
			v.event("watched", message)
		case message := <-lessons:
			v.event("teach", message)
		case <-check.C:
			s.writeState(v)
		}
	}
}

func (s *Server) writeState(v *viewer) {
	message, err := json.Marshal(s.state())
	if err != nil {
		v.err = err
		return
	}
	v.event("state", message)
}

// viewer writes to one that takes its time, until it takes too long. The first
// error stays.
type viewer struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	sent     int // bytes
	err      error
}

func (s *Server) viewer(w http.ResponseWriter, r *http.Request) *viewer {
	v := &viewer{w: w, patience: s.patience, control: http.NewResponseController(w)}
	if r.Method == http.MethodHead {
		v.err = http.ErrBodyNotAllowed
	}
	return v
}

func (v *viewer) alive() bool { return v.err == nil }

// send sends a message.
func (v *viewer) send(parts ...[]byte) {
	if v.err == nil {
		v.err = v.control.SetWriteDeadline(time.Now().Add(v.patience))
	}
	for _, part := range parts {
		if v.err == nil {
			var n int
			n, v.err = v.w.Write(part)
			v.sent += n
		}
	}
	if v.err == nil {
		v.err = v.control.Flush()
	}
}

func (v *viewer) Write(data []byte) (int, error) {
	v.send(data)
	return len(data), v.err
}

// event sends a server-sent event (WHATWG HTML, 9.2.6).
func (v *viewer) event(name string, data []byte) {
	v.send([]byte("event: "+name+"\ndata: "), data, []byte("\n\n"))
}
