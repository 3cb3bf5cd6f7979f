package live

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	health       = "/healthz"
	bodyPatience = time.Second // for a body to come, which is none or small
)

// policy lets the page load nothing from elsewhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// headers of every answer. No other page may embed or read it.
var headers = [...][2]string{
	{"Content-Security-Policy", policy},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Referrer-Policy", "no-referrer"},
	{"X-Content-Type-Options", "nosniff"},
	{"Cache-Control", "no-store"},
}

// guard refuses what no viewer asks for before it reaches next.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.clients.answer(r)()
		for _, h := range headers {
			w.Header().Set(h[0], h[1])
		}
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Now().Add(s.patience))
		if r.ContentLength != 0 {
			_ = control.SetReadDeadline(time.Now().Add(bodyPatience))
		}
		switch {
		case s.options.Token != "" && r.Method == http.MethodPost && r.URL.Path == loginPath:
			s.serveLogin(w, r)
		case r.ContentLength != 0 && !s.takesBody(r):
			w.Header().Set("Connection", "close")
			http.Error(w, "requests have no body here", http.StatusRequestEntityTooLarge)
		case strings.Contains(r.Header.Get("Range"), ","):
			http.Error(w, "one range at a time", http.StatusRequestedRangeNotSatisfiable)
		case s.options.Token == "" && !localName(r.Host):
			http.Error(w, fmt.Sprintf("without a token this page is served to local names only, and %q is not one: use the address, or set a token", r.Host),
				http.StatusMisdirectedRequest)
		default:
			if denied := s.admit(w, r); denied != nil {
				denied.tell(w, r)
				return
			}
			next.ServeHTTP(w, r)
		}
	})
}

// takesBody tells whether a request may have a body, which is read only once the
// request may pass.
func (s *Server) takesBody(r *http.Request) bool {
	return s.options.Teach != nil && r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, teachPath)
}

// localName tells whether a Host header is an address, a name without dots or
// one that only local networks resolve. Others may be an attacker's, who lets
// them point here so that browsers hand him what this server answers (DNS
// rebinding).
func localName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(host, ".")
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	host = strings.ToLower(host)
	return !strings.Contains(host, ".") || slices.ContainsFunc(localDomains[:], func(domain string) bool { return strings.HasSuffix(host, domain) })
}

// localDomains are not in the public DNS (RFC 6761, 6762, 8375 and ICANN's
// .internal), or not delegated there.
var localDomains = [...]string{".localhost", ".local", ".home.arpa", ".internal", ".lan", ".home"}
