package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"edgeclassify/capture"
)

// serve publishes over l until it is lost or ctx ends.
func (m *MQTT) serve(ctx context.Context, l *link) error {
	defer l.close()
	defer context.AfterFunc(ctx, l.close)() // also out of a wait for the broker
	s := &sender{MQTT: m, link: l, topics: topicsOf(m.target.id), rejected: map[string]bool{}}
	if err := s.announce(); err != nil {
		return err
	}
	tick := time.NewTicker(m.diagnostics)
	defer tick.Stop()
	for {
		if err := s.sendAll(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.alive.Done():
			return fmt.Errorf("mqtt: broker %s: %w", m.target.address, l.why())
		case <-m.wake:
		case <-tick.C:
			if err := s.sendDiagnostics(); err != nil {
				return err
			}
		}
	}
}

// sender publishes what the mailbox holds over one connection.
type sender struct {
	*MQTT
	link     *link
	topics   topics
	rejected map[string]bool // topics that were logged
	encoder  capture.Encoder
}

// announce tells what there is to be seen, then that the device is there.
func (s *sender) announce() error {
	for _, e := range entities(s.target) {
		payload, err := e.payload(e.ImageTopic == "" || s.snapshots > 0)
		if err != nil {
			return err
		}
		if err := s.send(message{topic: e.topic(s.target), qos: 1, retain: true, payload: payload, contents: "application/json"}); err != nil {
			return err
		}
	}
	if err := s.sendStatus(true); err != nil {
		return err
	}
	return s.send(message{topic: s.topics.availability, qos: 1, retain: true, payload: []byte(online), contents: "text/plain"})
}

// sendAll empties the mailbox.
func (s *sender) sendAll() error {
	for _, send := range []func() error{func() error { return s.sendStatus(false) }, s.sendEvents, s.sendResult, s.sendPicture} {
		if err := send(); err != nil {
			return err
		}
	}
	return nil
}

func (s *sender) sendStatus(again bool) error {
	status, ok := s.takeStatus(again)
	if !ok {
		return nil
	}
	return s.sendJSON(message{topic: s.topics.camera, qos: 1, retain: true}, status)
}

// sendEvents keeps an event until the broker has it.
func (s *sender) sendEvents() error {
	for {
		if s.pending == nil {
			e, ok := s.takeEvent()
			if !ok {
				return nil
			}
			s.pending = &e
		}
		if err := s.sendJSON(message{topic: s.topics.event, qos: 1}, s.pending); err != nil {
			return err
		}
		s.pending = nil
	}
}

func (s *sender) sendResult() error {
	if !s.takeResult(&s.result) {
		return nil
	}
	return s.sendJSON(message{topic: s.topics.result}, &s.result)
}

func (s *sender) sendPicture() error {
	if !s.takeFrame(&s.frame) {
		return nil
	}
	file, err := s.encoder.JPEG(&s.frame)
	if err != nil {
		s.warn(s.topics.picture, err)
		return nil
	}
	return s.send(message{topic: s.topics.picture, payload: file, contents: "image/jpeg"})
}

func (s *sender) sendDiagnostics() error {
	if err := s.sendStatus(true); err != nil {
		return err
	}
	perSecond, last, ok := s.takeRate()
	if !ok {
		return nil
	}
	return s.sendJSON(message{topic: s.topics.diagnostics}, newDiagnostics(perSecond, &last))
}

func (s *sender) sendJSON(m message, payload any) error {
	var err error
	if m.payload, err = json.Marshal(payload); err != nil {
		s.warn(m.topic, err)
		return nil
	}
	m.contents = "application/json"
	return s.send(m)
}

// send fails if the connection is lost. A message that the broker does not
// take is logged instead.
func (s *sender) send(m message) error {
	err := s.link.publish(m)
	switch {
	case errors.Is(err, errRejected):
		s.warn(m.topic, err)
		return nil
	case err != nil:
		return fmt.Errorf("mqtt: broker %s: %w", s.target.address, s.reason(err))
	}
	return nil
}

// reason prefers what the broker said to how writing then failed.
func (s *sender) reason(err error) error {
	select {
	case <-s.link.alive.Done():
		return s.link.why()
	case <-time.After(100 * time.Millisecond): // it is read by another goroutine
		return err
	}
}

// warn logs the first failure of a topic.
func (s *sender) warn(topic string, err error) {
	if !s.rejected[topic] {
		s.rejected[topic] = true
		s.log.Warn("mqtt: a message was not published; later ones of its kind may follow it", "topic", topic, "err", err)
	}
}
