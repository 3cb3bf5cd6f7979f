package fleet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	// Of Eclipse's two clients the one for MQTT 5: the broker tells why it
	// refuses, and contexts bound every wait.
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

const (
	attempt     = 10 * time.Second // to connect
	patience    = 20 * time.Second // for a write, an acknowledgement or an answer to a ping
	goodbye     = 400 * time.Millisecond
	withWill    = 0x04 // reason code of a disconnection after which the broker publishes the will
	firstFailed = 0x80 // reason codes from here on are failures
)

// link is a connection to the broker.
type link struct {
	client  *paho.Client
	conn    net.Conn
	largest int             // packet that the broker takes, in bytes; 0: no limit
	alive   context.Context // ends with the connection; its cause is why
	end     context.CancelCauseFunc
}

// refusal is an error that trying again is unlikely to mend.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// dial connects. receive gets what is subscribed to, and must not block.
func dial(ctx context.Context, t *target, receive func(*paho.Publish)) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	conn, err := dialConn(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	l := &link{conn: newGuard(conn)}
	l.alive, l.end = context.WithCancelCause(context.Background())
	l.client = paho.NewClient(paho.ClientConfig{
		Conn: l.conn, PacketTimeout: patience, OnClientError: l.end, AuthHandler: noAuth{},
		OnServerDisconnect: func(d *paho.Disconnect) { l.end(disconnectError(d.ReasonCode)) },
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			receive(p.Packet)
			return true, nil
		}},
	})
	ack, err := l.client.Connect(ctx, connectPacket(t))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("mqtt: broker %s: %w", t.address, connectError(t, ack, err))
	}
	if ack.Properties != nil && ack.Properties.MaximumPacketSize != nil {
		l.largest = int(*ack.Properties.MaximumPacketSize)
	}
	return l, nil
}

// dialConn connects as far as TLS.
func dialConn(ctx context.Context, t *target) (*patientConn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, err
	}
	if t.tls == nil {
		return &patientConn{Conn: conn}, nil
	}
	secure := tls.Client(conn, t.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, tlsError(t.address, err)
	}
	return &patientConn{Conn: secure}, nil
}

// patientConn does not wait for ever for a broker that reads no more. Paho
// locks it while it writes a packet.
type patientConn struct {
	net.Conn
	sync.Mutex
}

func (c *patientConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func connectPacket(t *target) *paho.Connect {
	expected, largest := uint16(1), uint32(maxPacket) // else paho makes room for 65535 messages, of any size
	return &paho.Connect{
		Properties: &paho.ConnectProperties{ReceiveMaximum: &expected, MaximumPacketSize: &largest},

		ClientID: t.id, CleanStart: true, KeepAlive: uint16(patience / time.Second),
		Username: t.user, UsernameFlag: t.user != "",
		Password: []byte(t.password), PasswordFlag: t.password != "",
		WillMessage:    &paho.WillMessage{Topic: topicsOf(t.id).availability, Payload: []byte(offline), QoS: 1, Retain: true},
		WillProperties: &paho.WillProperties{},
	}
}

// connectError tells what a broker's answer means.
func connectError(t *target, ack *paho.Connack, err error) error {
	switch {
	case ack == nil && hungUp(err) && t.tls == nil:
		return fmt.Errorf("it closed the connection without a word: if it wants TLS, write mqtts://; it must speak MQTT 5 (%w)", err)
	case ack == nil && hungUp(err):
		return fmt.Errorf("it closed the connection without a word: it must speak MQTT 5 (%w)", err)
	case ack == nil:
		return err
	}
	reason := firstSentence((&packets.Connack{ReasonCode: ack.ReasonCode}).Reason())
	if ack.Properties != nil && ack.Properties.ReasonString != "" {
		text := ack.Properties.ReasonString
		reason += ": " + text[:min(len(text), maxReason)]
	}
	switch ack.ReasonCode {
	case packets.ConnackBadUsernameOrPassword, packets.ConnackNotAuthorized:
		return &refusal{fmt.Errorf("user %q is refused (%s): check user name and password", t.user, reason)}
	case packets.ConnackServerUnavailable, packets.ConnackServerBusy, packets.ConnackQuotaExceeded, packets.ConnackConnectionRateExceeded:
		return errors.New(reason)
	}
	return &refusal{errors.New(reason)}
}

// hungUp tells whether the other side has ended the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// tlsError tells what to do about a failed handshake.
func tlsError(address string, err error) error {
	var (
		invalid x509.CertificateInvalidError
		issuer  x509.UnknownAuthorityError
		check   *tls.CertificateVerificationError
		alert   tls.AlertError
		record  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		// A board without a clock of its own gets the time from the network.
		return fmt.Errorf("broker %s: %w: is this machine's clock right?", address, err)
	case errors.As(err, &issuer):
		return &refusal{fmt.Errorf("broker %s: %w: give the certificate of the authority that signed the broker's", address, err)}
	case errors.As(err, &record):
		return &refusal{fmt.Errorf("broker %s: %w: this port takes no TLS: write mqtt:// instead of mqtts://", address, err)}
	case hungUp(err):
		return fmt.Errorf("broker %s: it closed the connection: if this port takes no TLS, write mqtt:// instead of mqtts:// (%w)", address, err)
	case errors.As(err, &check), errors.As(err, &alert):
		return &refusal{fmt.Errorf("broker %s: %w", address, err)}
	}
	return fmt.Errorf("broker %s: TLS: %w", address, err)
}

func disconnectError(code byte) error {
	reason := firstSentence((&packets.Disconnect{ReasonCode: code}).Reason())
	if code == packets.DisconnectSessionTakenOver {
		return fmt.Errorf("it ended the connection: %s: %s", reason, sameID)
	}
	return fmt.Errorf("it ended the connection: %s", reason)
}

const sameID = "if another client has the same ID, give this one its own in the URL, as mqtt://HOST/ID"

// why is the reason that the connection ended.
func (l *link) why() error {
	err := context.Cause(l.alive)
	if errors.Is(err, io.EOF) { // some brokers do not say that a client was replaced
		return fmt.Errorf("it closed the connection without a word: %s", sameID)
	}
	return err
}

// firstSentence is a reason's name, without its explanation.
func firstSentence(reason string) string {
	name, _, _ := strings.Cut(reason, " - ")
	return strings.ToLower(name)
}

// message is what is published.
type message struct {
	topic    string
	qos      byte
	retain   bool
	payload  []byte
	contents string // MIME type
}

// errRejected is a message that the broker does not take, while the connection
// goes on.
var errRejected = errors.New("the broker does not take it")

// publish sends a message, and waits for its acknowledgement if it has one.
func (l *link) publish(m message) error {
	const overhead = 64 // of a packet, beside topic and payload, and more than enough
	if size := len(m.payload) + len(m.topic) + overhead; l.largest > 0 && size > l.largest {
		return fmt.Errorf("%w: %d bytes are more than its limit of %d", errRejected, size, l.largest)
	}
	ctx, cancel := context.WithTimeout(l.alive, patience)
	defer cancel()
	p := &paho.Publish{Topic: m.topic, QoS: m.qos, Retain: m.retain, Payload: m.payload, Properties: &paho.PublishProperties{ContentType: m.contents}}
	r, err := l.client.Publish(ctx, p)
	switch {
	case r != nil && r.ReasonCode >= firstFailed:
		return fmt.Errorf("%w: reason code 0x%02x", errRejected, r.ReasonCode)
	case errors.Is(err, paho.ErrInvalidArguments):
		return fmt.Errorf("%w: %w", errRejected, err)
	}
	return err
}

// subscribe asks for the messages of a topic, but those of this client. Retained
// ones come again each time.
func (l *link) subscribe(topic string, qos byte) error {
	ctx, cancel := context.WithTimeout(l.alive, patience)
	defer cancel()
	_, err := l.client.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: topic, QoS: qos, NoLocal: true}}})
	return err
}

// close ends the connection such that the broker publishes the will, or
// without a word to a broker that does not listen.
func (l *link) close() {
	cut := time.AfterFunc(goodbye, func() { l.conn.Close() })
	defer cut.Stop()
	_ = l.client.Disconnect(&paho.Disconnect{ReasonCode: withWill}) // there is nobody left to tell
	l.end(net.ErrClosed)
}
