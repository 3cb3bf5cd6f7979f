package fleet

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

const (
	maxPacket  = 16 << 10  // bytes behind the fixed header: an acknowledgement, or a model's address
	packetCost = 256       // bytes that a smaller packet counts as
	inflow     = 128 << 10 // bytes a second that are read in the long run
	inflowAt   = 1 << 20   // once, bytes that are read at any rate
)

// guard reads for paho, which trusts the broker: it takes memory for any packet
// that is announced, works through as many as come, and fails on what it does
// not expect. It gets whole packets of the kinds that answer a publisher, of
// bounded size, at a bounded rate, and none that is malformed in a way that it
// would not survive.
//
// Source: MQTT Version 5.0, sections 1.5.5, 2.1 and 2.2.2.
type guard struct {
	*patientConn
	in     *bufio.Reader
	packet []byte // checked, and not yet read
	buffer [5 + maxPacket]byte
	budget float64 // bytes that may be read at once
	paidAt time.Time
}

func newGuard(c *patientConn) *guard {
	return &guard{patientConn: c, in: bufio.NewReader(c.Conn), budget: inflowAt, paidAt: time.Now()}
}

// Read implements io.Reader.
func (g *guard) Read(p []byte) (int, error) {
	if len(g.packet) == 0 {
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, g.packet)
	g.packet = g.packet[n:]
	return n, nil
}

// next reads a packet and checks it. One that has begun comes to its end soon, or
// the connection does.
func (g *guard) next() error {
	kind, err := g.in.ReadByte()
	if err != nil {
		return err
	}
	if err := checkKind(kind); err != nil {
		return err
	}
	if err := g.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	size, err := g.readLength()
	switch {
	case err != nil:
		return err
	case size > maxPacket:
		return fmt.Errorf("it sends a packet of %d bytes, more than the %d that it may", size, maxPacket)
	}
	header := binary.AppendUvarint(append(g.buffer[:0], kind), uint64(size))
	packet := g.buffer[:len(header)+size]
	body := packet[len(header):]
	if _, err := io.ReadFull(g.in, body); err != nil {
		return err
	}
	if err := checkBody(kind, body); err != nil {
		return err
	}
	g.pay(len(packet))
	g.packet = packet
	return g.SetReadDeadline(time.Time{})
}

// readLength reads a variable byte integer, of four bytes at most.
func (g *guard) readLength() (n int, err error) {
	for shift := 0; shift < 28; shift += 7 {
		b, err := g.in.ReadByte()
		if err != nil {
			return 0, err
		}
		if n |= int(b&127) << shift; b < 128 {
			return n, nil
		}
	}
	return 0, errMalformed
}

// pay waits until so many bytes may be read. Meanwhile the broker has to wait, too.
func (g *guard) pay(size int) {
	now := time.Now()
	g.budget = min(inflowAt, g.budget+inflow*now.Sub(g.paidAt).Seconds()) - float64(max(size, packetCost))
	g.paidAt = now
	if g.budget < 0 {
		time.Sleep(time.Duration(-g.budget / inflow * float64(time.Second)))
	}
}

// checkKind takes the first byte of packets that answer those of a publisher
// with QoS 0 and 1, and of what it subscribes to with QoS 1 at most.
func checkKind(b byte) error {
	const tlsAlert, tlsHandshake = 0x15, 0x16
	switch {
	case b == packets.CONNACK<<4, b == packets.PUBACK<<4, b == packets.SUBACK<<4, b == packets.PINGRESP<<4, b == packets.DISCONNECT<<4:
		return nil
	case b>>4 == packets.PUBLISH && b>>1&3 <= 1:
		return nil
	case b == tlsAlert, b == tlsHandshake:
		return &refusal{errors.New("it answers in TLS: write mqtts:// instead of mqtt://")}
	}
	return fmt.Errorf("it sends what no broker should (a packet that begins with 0x%02x)", b)
}

// checkBody finds properties whose length would lead out of the packet.
func checkBody(kind byte, body []byte) error {
	at := 0
	switch kind >> 4 {
	case packets.CONNACK, packets.SUBACK:
		at = 2
	case packets.PUBLISH:
		at = 2 + int(kind>>1&1)*2
		if len(body) >= 2 {
			at += int(binary.BigEndian.Uint16(body))
		}
	case packets.PUBACK:
		at = 3
	case packets.DISCONNECT:
		at = 1
	}
	if left := kind>>4 == packets.PUBACK || kind>>4 == packets.DISCONNECT; kind>>4 == packets.PINGRESP || left && len(body) <= at {
		return nil // none
	}
	if at > len(body) {
		return errMalformed
	}
	size, n := binary.Uvarint(body[at:])
	if n < 1 || n > 4 || size > uint64(len(body)-at-n) {
		return errMalformed
	}
	return nil
}

var errMalformed = errors.New("it sends a malformed packet")

// noAuth is for brokers that claim an authentication that nobody has asked for.
type noAuth struct{}

func (noAuth) Authenticate(*paho.Auth) *paho.Auth { return &paho.Auth{} }
func (noAuth) Authenticated()                     {}
