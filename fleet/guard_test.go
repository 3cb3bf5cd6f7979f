package fleet

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"
)

// greeted is a broker that accepts the connection and then sends bytes for as
// long as they are taken.
func greeted(send ...[]byte) func(net.Conn) {
	return func(c net.Conn) {
		acknowledges(c)
		for _, b := range send {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, c)
	}
}

// What a broker may send costs a bounded amount of memory, and the connection.
func TestHostileBroker(t *testing.T) {
	const huge = "it sends a packet of 268435455 bytes, more than the 16384 that it may"
	full := bytes.Repeat([]byte{0xff}, 1<<20)
	end := []byte{0xff, 0xff, 0xff, 0x7f} // 256 MB
	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  string
	}{
		"a large message":    {greeted([]byte{0x30}, end, full), huge},
		"a large answer":     {func(c net.Conn) { _, _ = c.Write(append([]byte{0x20}, end...)); greeted(full)(c) }, huge},
		"an endless length":  {greeted([]byte{0x30}, full, full, full, full), "it sends a malformed packet"},
		"a long property":    {greeted([]byte{0x30, 5, 0, 1, 'a', 0xff, 0xff}), "it sends a malformed packet"},
		"a long topic":       {greeted([]byte{0x30, 2, 0xff, 0xff}), "it sends a malformed packet"},
		"exactly once":       {greeted([]byte{0x34, 6, 0, 1, 'a', 0, 1, 0}), "a packet that begins with 0x34"},
		"an acknowledgement": {greeted(bytes.Repeat([]byte{0x50, 2, 0, 1}, 1000)), "a packet that begins with 0x50"},
		"another CONNACK":    {greeted([]byte{0x20, 3, 0, 0, 0}), "received unexpected CONNACK"},
		"a web page":         {func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, "a packet that begins with 0x48"},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			var lines logs
			runtime.ReadMemStats(&before)
			m, err := Connect(t.Context(), Options{URL: answering(t, c.serve), Log: lines.logger()})
			require.NoError(t, err)
			require.Eventually(t, func() bool { return lines.count(c.want) > 0 }, soon, time.Millisecond, &lines)
			require.NoError(t, m.Close())
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20))
		})
	}
}

// A broker may claim what nobody has asked for.
func TestUnwantedAuthentication(t *testing.T) {
	var lines logs
	open(t, Options{Log: lines.logger(), URL: answering(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1024))
		_, _ = c.Write([]byte{0x20, 7, 0, 0, 4, packets.PropAuthMethod, 0, 1, 'x'})
		_, _ = io.Copy(io.Discard, c)
	})})
	require.Eventually(t, func() bool { return lines.count("mqtt: connected") == 1 }, soon, time.Millisecond)
}

func TestLimitsAreAnnounced(t *testing.T) {
	got := make(chan *packets.ControlPacket, 1)
	open(t, Options{URL: answering(t, func(c net.Conn) {
		if p, err := packets.ReadPacket(c); err == nil {
			got <- p
		}
	})})
	sent := (<-got).Content.(*packets.Connect).Properties
	require.EqualValues(t, maxPacket, *sent.MaximumPacketSize)
	require.EqualValues(t, 1, *sent.ReceiveMaximum)
}

// A broker that accepts and hangs up is not asked again at once.
func TestReconnectsAreFew(t *testing.T) {
	moments := make(chan time.Time, 100) // when it accepts and when it hangs up, in turn
	open(t, Options{URL: answering(t, func(c net.Conn) {
		moments <- time.Now()
		acknowledges(c)
		moments <- time.Now()
		c.Close()
	})})
	<-moments
	for least := minWait / 2; least <= 2*minWait; least *= 2 {
		hungUp := <-moments
		require.GreaterOrEqual(t, (<-moments).Sub(hungUp), least)
	}
}

// guarded runs read beside a broker that writes, in a bubble of its own time.
func guarded(t *testing.T, broker func(net.Conn), read func(*guard)) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var wrote sync.WaitGroup
		defer wrote.Wait()
		defer far.Close()
		wrote.Go(func() { broker(far) })
		read(newGuard(&patientConn{Conn: near}))
	})
}

func TestFloodIsReadSlowly(t *testing.T) {
	const count = 20_000
	guarded(t, func(c net.Conn) {
		_, _ = c.Write(bytes.Repeat([]byte{packets.PINGRESP << 4, 0}, count))
	}, func(g *guard) {
		start := time.Now()
		for range count {
			_, err := packets.ReadPacket(g)
			require.NoError(t, err)
		}
		rest := count*packetCost - inflowAt
		require.InDelta(t, float64(rest)/inflow, time.Since(start).Seconds(), 0.1)
	})
}

func TestPacketsComeToTheirEnd(t *testing.T) {
	guarded(t, func(c net.Conn) {
		time.Sleep(time.Hour) // a broker with nothing to say is all right
		_, _ = c.Write([]byte{packets.PINGRESP << 4, 0, packets.PUBACK << 4, 3})
		for range 3 {
			time.Sleep(patience / 2)
			if _, err := c.Write([]byte{0}); err != nil {
				return
			}
		}
	}, func(g *guard) {
		_, err := packets.ReadPacket(g)
		require.NoError(t, err)
		_, err = packets.ReadPacket(g)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}

// sent is a connection on which all that a broker sends has arrived.
type sent struct {
	net.Conn
	io.Reader
}

func (s sent) Read(p []byte) (int, error)        { return s.Reader.Read(p) }
func (s sent) SetReadDeadline(_ time.Time) error { return nil }

// FuzzGuard reads any bytes as paho does, which fails on nothing that the guard
// lets pass.
func FuzzGuard(f *testing.F) {
	user := []byte{packets.PropUser, 0, 1, 'k', 0, 1, 'v'}
	for _, seed := range [][]byte{
		append([]byte{0x20, 10, 0, 0, 7}, user...), append([]byte{0x40, 11, 0, 1, 0, 7}, user...), {0x40, 2, 0, 1}, {0x40, 3, 0, 1, 0x87},
		append([]byte{0x90, 11, 0, 1, 7}, append(user, 1)...), {0xd0, 0}, {0xe0, 1, 0x8e}, append([]byte{0xe0, 9, 0, 7}, user...),
		append([]byte{0x32, 15, 0, 1, 't', 0, 1, 7}, append(user, "{}"...)...), {0x30, 6, 0, 1, 't', 2, packets.PropSubscriptionIdentifier, 0xff},
		{0x30, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x20, 8, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f}, {0xd0, 0x80, 0},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		g := newGuard(&patientConn{Conn: sent{Reader: bytes.NewReader(b)}})
		for n := 0; ; n++ {
			p, err := packets.ReadPacket(g)
			if err != nil {
				return
			}
			require.LessOrEqual(t, n, len(b)/2)
			require.NotEmpty(t, p.String())
		}
	})
}

func TestGuardTellsTheEnd(t *testing.T) {
	g := newGuard(&patientConn{Conn: sent{Reader: bytes.NewReader([]byte{0x40, 3, 0})}})
	_, err := packets.ReadPacket(g)
	require.True(t, errors.Is(err, io.ErrUnexpectedEOF), err)
}
