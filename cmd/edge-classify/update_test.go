package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/stretchr/testify/require"

	"edgeclassify/internal/nettest"
	"edgeclassify/internal/testneed"
)

// modelServer serves a file over HTTPS as /model.q8, and counts how often.
type modelServer struct {
	*httptest.Server
	authority string // its certificate's file
	times     atomic.Int64
}

func serveModel(t *testing.T, file []byte) *modelServer {
	s := &modelServer{authority: filepath.Join(t.TempDir(), "ca.pem")}
	mux := http.NewServeMux()
	mux.HandleFunc("/model.q8", func(w http.ResponseWriter, _ *http.Request) {
		s.times.Add(1)
		_, _ = w.Write(file)
	})
	s.Server = httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	der := s.Certificate().Raw
	require.NoError(t, os.WriteFile(s.authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return s
}

func sumOf(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}

// loader takes what it can read, unless it is told to refuse it.
type loader struct {
	refuse error
	loaded []string // contents
}

func (l *loader) Load(path string) error {
	text, err := os.ReadFile(path)
	if err == nil && l.refuse == nil {
		l.loaded = append(l.loaded, string(text))
	}
	return errors.Join(err, l.refuse)
}

func TestUpdate(t *testing.T) {
	server := serveModel(t, []byte("new"))
	dir := t.TempDir()
	path := filepath.Join(dir, "model.q8")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	models := &loader{}
	u, err := newUpdater(path, models, server.authority)
	require.NoError(t, err)
	holds := func(text string) {
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, text, string(got))
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 1, "nothing is left beside it")
	}
	address, ctx := server.URL+"/model.q8", t.Context()
	require.ErrorContains(t, u.update(ctx, address, sumOf([]byte("other"))), "has SHA-256 "+sumOf([]byte("new"))+", expected "+sumOf([]byte("other")))
	require.ErrorContains(t, u.update(ctx, server.URL+"/none", sumOf([]byte("new"))), "404")
	models.refuse = errors.New("not a model")
	require.ErrorContains(t, u.update(ctx, address, sumOf([]byte("new"))), "not a model")
	holds("old")
	models.refuse = nil
	require.NoError(t, u.update(ctx, address, sumOf([]byte("new"))))
	holds("new")
	asked := server.times.Load()
	require.NoError(t, u.update(ctx, address, sumOf([]byte("new"))), "it is there")
	require.Equal(t, asked, server.times.Load())
	require.Equal(t, []string{"new", "new"}, models.loaded)

	_, err = newUpdater(filepath.Join(dir, "none", "model.q8"), models, "")
	require.ErrorContains(t, err, "-mqtt-update: the model cannot be replaced: ")
	_, err = newUpdater(path, models, filepath.Join(dir, "none"))
	require.ErrorContains(t, err, "-mqtt-ca: open ")
}

// A retained message updates the running program, and each start of it later, once.
func TestUpdateByBroker(t *testing.T) {
	if _, err := exec.LookPath("mosquitto"); err != nil {
		t.Setenv("PATH", os.Getenv("PATH")+string(os.PathListSeparator)+"/usr/sbin")
	}
	mosquitto := testneed.Program(t, "mosquitto", "apt-get install mosquitto")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	at := free.Addr().(*net.TCPAddr)
	require.NoError(t, free.Close())
	broker := exec.Command(mosquitto, "-p", fmt.Sprint(at.Port)) // for this machine only, and open to everyone here
	require.NoError(t, broker.Start())
	t.Cleanup(func() { broker.Process.Kill(); broker.Wait() })

	dir := photoDir(t, "cat.jpg", "espresso.jpg")
	before, after := know(t, nettest.Model(1, false)), know(t, nettest.Model(2, true))
	server := serveModel(t, after.file)
	t.Setenv("SSL_CERT_FILE", server.authority) // the program's system authorities
	path := filepath.Join(t.TempDir(), "model.q8")
	require.NoError(t, os.WriteFile(path, before.file, 0o600))
	args := []string{"-model", path, "-camera", "file:" + dir, "-fps", "50", "-mqtt", "mqtt://" + at.String() + "/board", "-mqtt-update"}
	p := startProgram(t, args...)
	require.Equal(t, before.sha256, p.result().Model)

	retain(t, at.String(), "edge-classify/board/model/set", fmt.Appendf(nil, `{"url": %q, "sha256": %q}`, server.URL+"/model.q8", sumOf(after.file)))
	kept := func() bool {
		file, err := os.ReadFile(path)
		require.NoError(t, err)
		return bytes.Equal(file, after.file)
	}
	for end := time.Now().Add(soon); p.result().Model != after.sha256 || !kept(); {
		require.True(t, time.Now().Before(end), p.errs.String())
	}
	p.stop()
	require.NoFileExists(t, path+".part")

	p = startProgram(t, args...)
	p.logged("the model is the one that runs", 1, func() { require.Equal(t, after.sha256, p.result().Model) })
	p.stop()
	require.EqualValues(t, 1, server.times.Load())
}

// retain leaves a message at a broker that may be about to start.
func retain(t *testing.T, address, topic string, payload []byte) {
	var conn net.Conn
	require.Eventually(t, func() (ok bool) {
		var err error
		conn, err = net.Dial("tcp", address)
		return err == nil
	}, soon, 10*time.Millisecond)
	c := paho.NewClient(paho.ClientConfig{Conn: packets.NewThreadSafeConn(conn)})
	_, err := c.Connect(t.Context(), &paho.Connect{ClientID: "operator", CleanStart: true, KeepAlive: 30})
	require.NoError(t, err)
	_, err = c.Publish(t.Context(), &paho.Publish{Topic: topic, QoS: 1, Retain: true, Payload: payload})
	require.NoError(t, err)
	require.NoError(t, c.Disconnect(&paho.Disconnect{}))
}
