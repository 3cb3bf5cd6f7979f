package live

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// origin is what an address counts as where clients share something: IPv6 hosts
// have a whole /64 to themselves, but for those that only the same link can reach.
func origin(addr string) netip.Prefix {
	host, _ := netip.ParseAddrPort(addr) // of a TCP connection
	ip := host.Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() && !ip.IsLinkLocalUnicast() {
		bits = 64
	}
	from, _ := ip.Prefix(bits)
	return from
}

// connKey is where a request's context has its *connection.
type connKey struct{}

// connection is one that may be closed for another unless it is being answered.
type connection struct {
	net.Conn
	from     netip.Prefix
	answered bool
	used     time.Time
}

// clients are the connections there are. Beyond a number of an address, and of all,
// a further one takes the place of what has waited longest for a request: so one
// client cannot keep others out, and itself only by asking for much.
type clients struct {
	mu    sync.Mutex
	conns map[net.Conn]*connection
}

// enter is for http.Server.ConnContext. It closes c if there is no place for it.
func (l *clients) enter(ctx context.Context, c net.Conn) context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := origin(c.RemoteAddr().String())
	of, most := l.count()
	if of[from] >= connsEach && !l.dismiss(from) || len(l.conns) >= maxConns && !l.dismiss(most) {
		c.Close()
		return ctx
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer) // without it pictures are only older
	}
	conn := &connection{Conn: c, from: from, used: time.Now()}
	l.conns[c] = conn
	return context.WithValue(ctx, connKey{}, conn)
}

// leave is for http.Server.ConnState.
func (l *clients) leave(c net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, c)
	}
}

// answer keeps a request's connection from being dismissed until done is called.
func (l *clients) answer(r *http.Request) (done func()) {
	set := func(answered bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if c, ok := r.Context().Value(connKey{}).(*connection); ok {
			c.answered, c.used = answered, time.Now()
		}
	}
	set(true)
	return func() { set(false) }
}

// count is the number of connections of each address, and the one that has most.
func (l *clients) count() (of map[netip.Prefix]int, most netip.Prefix) {
	of = make(map[netip.Prefix]int)
	for _, c := range l.conns {
		of[c.from]++
		if of[c.from] > of[most] {
			most = c.from
		}
	}
	return of, most
}

// dismiss closes the address's connection that has been idle for longest, if any is.
func (l *clients) dismiss(from netip.Prefix) bool {
	var oldest *connection
	for _, c := range l.conns {
		if c.from == from && !c.answered && (oldest == nil || c.used.Before(oldest.used)) {
			oldest = c
		}
	}
	if oldest == nil {
		return false
	}
	oldest.Close()
	delete(l.conns, oldest.Conn)
	return true
}
