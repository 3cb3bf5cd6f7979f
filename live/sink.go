package live

import (
	"context"
	"encoding/json"
	"time"

	"edgeclassify/capture"
	"edgeclassify/stream"
)

var _ stream.Sink = (*Server)(nil)

// Model keeps the model's names.
func (s *Server) Model(m stream.Model) { s.memory.setModel(m, s.options.Watch) }

// Result keeps what there is to show of a result, without waiting for anyone.
func (s *Server) Result(r *stream.Result, f *capture.Frame) {
	now := time.Now()
	s.memory.setResult(r, now)
	s.metrics.observe(r)
	s.screen.show(f, now)
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

// Event passes a watched label's event on to viewers.
func (s *Server) Event(e stream.Event, _ *capture.Frame) {
	s.memory.addEvent(e)
	put(s.watched, e)
}

// Status keeps the camera's status.
func (s *Server) Status(status capture.Status) { s.memory.setStatus(status) }

// publish encodes what arrives, once for all viewers.
func (s *Server) publish(ctx context.Context) {
	var r stream.Result
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-s.watched:
			s.send(s.events, e)
		case <-s.arrived:
			if s.results.count() > 0 {
				s.memory.read(&r)
				s.send(s.results, &r)
			}
		}
	}
}

func (s *Server) send(to *fanout[[]byte], value any) {
	message, err := json.Marshal(value)
	if err != nil { // a number that JSON lacks
		s.options.Log.Warn("not shown on the page", "err", err)
		return
	}
	to.send(message)
}
