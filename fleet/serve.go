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
	m.again()
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

// sendModel tells what there is to be seen, how it is, and then that the device is
// there: at first, and when another model sees something else.
func (s *sender) sendModel() error {
	state, watched, ok := s.takeModel()
	if !ok {
		return nil
	}
	for _, send := range []func() error{
		func() error { return s.sendEntities(watched) },
		func() error { return s.sendJSON(message{topic: s.topics.model, qos: 1, retain: true}, &state) },
		func() error { return s.sendStatus(true) },
		s.sendWatched,
		s.subscribe,
	} {
		if err := send(); err != nil {
			return err
		}
	}
	return s.send(message{topic: s.topics.availability, qos: 1, retain: true, payload: []byte(online), contents: "text/plain"})
}

func (s *sender) sendEntities(watched []string) error {
	if s.target.discovery == "" {
		return nil
	}
	t := *s.target
	t.device.Page = pageFrom(t.page, s.link.conn.LocalAddr())
	for _, e := range entities(&t, watched) {
		payload, err := e.payload()
		if err != nil {
			return err
		}
		if err := s.send(message{topic: e.topic(&t), qos: 1, retain: true, payload: payload, contents: "application/json"}); err != nil {
			return err
		}
	}
	return nil
}

// subscribe asks for what earlier watch lists have left, and for orders.
func (s *sender) subscribe() error {
	wanted := map[string]byte{s.topics.watched + "+": 0}
	if s.target.update {
		wanted[s.topics.setModel] = 1
	}
	for topic, qos := range wanted {
		err := s.link.subscribe(topic, qos)
		if err != nil && s.link.alive.Err() == nil && !s.rejected[topic] { // without a connection the next message fails
			s.rejected[topic] = true
			s.log.Warn("mqtt: the broker does not let this device subscribe", "topic", topic, "err", err)
		}
	}
	return nil
}

// sendAll empties the mailbox.
func (s *sender) sendAll() error {
	for _, send := range []func() error{
		s.sendModel, func() error { return s.sendStatus(false) }, s.sendWatched, s.sendFormer, s.sendEvents, s.sendResult, s.sendPicture,
	} {
		if err := send(); err != nil {
			return err
		}
	}
	return nil
}

// sendWatched tells whether each label is in view.
func (s *sender) sendWatched() error {
	for {
		e, ok := s.takeWatched()
		if !ok {
			return nil
		}
		if err := s.sendJSON(message{topic: s.topics.watched + slugOf(e.Label), qos: 1, retain: true}, e); err != nil {
			return err
		}
	}
}

// sendFormer removes labels that are watched no more.
func (s *sender) sendFormer() error {
	for {
		slug, ok := s.takeFormer()
		if !ok {
			return nil
		}
		topics := []string{s.topics.watched + slug}
		if s.target.discovery != "" {
			e := entity{component: "binary_sensor", object: objectOf(slug)}
			topics = append(topics, e.topic(s.target))
		}
		for _, topic := range topics {
			if err := s.send(message{topic: topic, qos: 1, retain: true}); err != nil {
				return err
			}
		}
	}
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
	return s.sendJSON(message{topic: s.topics.result, retain: true}, &s.result)
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
