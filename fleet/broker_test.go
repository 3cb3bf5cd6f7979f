package fleet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/stretchr/testify/require"

	"edgeclassify/internal/syncbuffer"
	"edgeclassify/internal/testneed"
	"edgeclassify/labels"
	"edgeclassify/stream"
)

const soon = 20 * time.Second // on a busy machine

// broker is a mosquitto of the test's own.
type broker struct {
	t       *testing.T
	program string
	port    string
	config  string
	process *exec.Cmd
	output  bytes.Buffer
}

// newBroker prepares a broker with further lines of configuration.
func newBroker(t *testing.T, lines ...string) *broker {
	if _, err := exec.LookPath("mosquitto"); err != nil {
		t.Setenv("PATH", os.Getenv("PATH")+string(os.PathListSeparator)+"/usr/sbin")
	}
	b := &broker{t: t, program: testneed.Program(t, "mosquitto", "apt-get install mosquitto"), port: freePort(t)}
	b.config = filepath.Join(t.TempDir(), "mosquitto.conf")
	text := fmt.Sprintf("user %s\npersistence false\nlistener %s 127.0.0.1\n%s\n", userName(), b.port, strings.Join(lines, "\n"))
	require.NoError(t, os.WriteFile(b.config, []byte(text), 0o600))
	return b
}

// userName keeps a mosquitto that root has started from files of its own.
func userName() string {
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	return "root"
}

func (b *broker) start() *broker {
	b.output.Reset()
	b.process = exec.Command(b.program, "-c", b.config)
	b.process.Stdout, b.process.Stderr = &b.output, &b.output
	require.NoError(b.t, b.process.Start())
	b.t.Cleanup(b.stop)
	require.Eventually(b.t, func() bool {
		conn, err := net.Dial("tcp", b.address())
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, soon, 10*time.Millisecond)
	return b
}

// stop kills the broker.
func (b *broker) stop() {
	if b.process != nil {
		_ = b.process.Process.Kill()
		_ = b.process.Wait()
		b.process = nil
	}
}

func (b *broker) address() string { return net.JoinHostPort("127.0.0.1", b.port) }
func (b *broker) url() string     { return "mqtt://" + b.address() + "/kitchen" }

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port
}

// listener is a client that keeps what it hears.
type listener struct {
	client   *paho.Client
	mu       sync.Mutex
	messages []paho.Publish
}

// listen subscribes to everything.
func (b *broker) listen() *listener {
	conn, err := net.Dial("tcp", b.address())
	require.NoError(b.t, err)
	l := &listener{}
	c := paho.NewClient(paho.ClientConfig{Conn: &patientConn{Conn: conn}, OnPublishReceived: []func(paho.PublishReceived) (bool, error){
		func(p paho.PublishReceived) (bool, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.messages = append(l.messages, *p.Packet)
			return true, nil
		},
	}})
	l.client = c
	_, err = c.Connect(b.t.Context(), &paho.Connect{ClientID: fmt.Sprintf("listener-%p", l), CleanStart: true, KeepAlive: 30})
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = c.Disconnect(&paho.Disconnect{}) })
	_, err = c.Subscribe(b.t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "#", QoS: 1, RetainAsPublished: true}}})
	require.NoError(b.t, err)
	return l
}

// all is what was heard of topics with that end.
func (l *listener) all(end string) (found []paho.Publish) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.messages {
		if strings.HasSuffix(m.Topic, end) {
			found = append(found, m)
		}
	}
	return found
}

// last waits for a message of topics with that end, and gives the newest.
func (l *listener) last(t *testing.T, end string) paho.Publish {
	require.Eventually(t, func() bool { return len(l.all(end)) > 0 }, soon, 5*time.Millisecond, end)
	all := l.all(end)
	return all[len(all)-1]
}

// until waits for the newest message of topics with that end to be as wanted:
// messages of other topics may come before it.
func (l *listener) until(t *testing.T, end string, wanted func(payload []byte) bool, what ...any) {
	t.Helper()
	require.Eventually(t, func() bool {
		all := l.all(end)
		return len(all) > 0 && wanted(all[len(all)-1].Payload)
	}, soon, 5*time.Millisecond, append([]any{end}, what...))
}

// wait waits for a payload.
func (l *listener) wait(t *testing.T, end, payload string) {
	t.Helper()
	l.until(t, end, func(got []byte) bool { return string(got) == payload }, payload)
}

// logs keeps lines for tests to read.
type logs struct{ syncbuffer.Buffer }

func (l *logs) count(part string) int { return strings.Count(l.String(), part) }

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// pets is the model that tests run.
var pets = stream.Model{Name: "pets", SHA256: strings.Repeat("0123456789abcdef", 4), Kernel: "portable",
	Classes: []labels.Class{{ID: "n02123045", Name: "tabby"}, {Name: "Persian cat"}, {Name: "dog"}}}

// open connects, for the length of the test, with a loop that has begun.
func open(t *testing.T, o Options) *MQTT {
	m, err := Connect(t.Context(), o)
	require.NoError(t, err)
	m.Model(pets)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// authority is a certificate authority made for a test, in files.
type authority struct {
	t           *testing.T
	dir, caFile string
	ca          *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = a.newKey()
	a.ca = template
	a.caFile = a.sign("ca", template, a.key)
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	return key
}

// sign writes a certificate.
func (a *authority) sign(name string, template *x509.Certificate, key *ecdsa.PrivateKey) string {
	der, err := x509.CreateCertificate(rand.Reader, template, a.ca, &key.PublicKey, a.key)
	require.NoError(a.t, err)
	return a.write(name+".crt", "CERTIFICATE", der)
}

func (a *authority) write(name, kind string, der []byte) string {
	path := filepath.Join(a.dir, name)
	require.NoError(a.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

// server makes a certificate for 127.0.0.1 and gives mosquitto's lines for it.
func (a *authority) server(notAfter time.Time) []string {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "broker"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: notAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	key := a.newKey()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	crt, keyFile := a.sign("broker", template, key), a.write("broker.key", "PRIVATE KEY", der)
	_, err = tls.LoadX509KeyPair(crt, keyFile)
	require.NoError(a.t, err)
	return []string{"allow_anonymous true", "certfile " + crt, "keyfile " + keyFile}
}

// answering is a TCP server that does to each connection what serve says.
func answering(t *testing.T, serve func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { conn.Close() })
			go serve(conn)
		}
	}()
	return "mqtt://" + l.Addr().String() + "/kitchen"
}
