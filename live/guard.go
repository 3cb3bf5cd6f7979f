package live

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
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
	cookieMaxAge = 30 * 24 * time.Hour
)

// headers of every answer. The page loads nothing from elsewhere and no other
// page may embed or read it.
var headers = [...][2]string{
	{"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Referrer-Policy", "no-referrer"},
	{"X-Content-Type-Options", "nosniff"},
	{"Cache-Control", "no-store"},
}

// guard refuses what no viewer asks for before it reaches next.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, h := range headers {
			w.Header().Set(h[0], h[1])
		}
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Now().Add(s.patience))
		switch {
		case r.ContentLength != 0:
			_ = control.SetReadDeadline(time.Now().Add(time.Second)) // nobody waits for more
			w.Header().Set("Connection", "close")
			http.Error(w, "requests have no body here", http.StatusRequestEntityTooLarge)
		case s.options.Token == "" && !localName(r.Host):
			http.Error(w, fmt.Sprintf("without a token this page is served to local names only, and %q is not one: use the address, or set a token", r.Host),
				http.StatusMisdirectedRequest)
		case !s.admit(w, r):
			w.Header().Set("WWW-Authenticate", `Bearer realm="edge-classify"`)
			http.Error(w, "a token is needed: open /?token=TOKEN, or send the header Authorization: Bearer TOKEN", http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, r)
		}
	})
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

// admit tells whether a request may pass. One with the token in its query gets
// a cookie for those that follow.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) bool {
	if s.options.Token == "" || r.URL.Path == health {
		return true
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return same(token, s.options.Token)
	}
	if token := r.URL.Query().Get("token"); token != "" {
		if !same(token, s.options.Token) {
			return false
		}
		http.SetCookie(w, &http.Cookie{
			Name: s.cookieName(), Value: s.cookie(), Path: "/", MaxAge: int(cookieMaxAge.Seconds()),
			HttpOnly: true, SameSite: http.SameSiteStrictMode,
		})
		return true
	}
	cookie, err := r.Cookie(s.cookieName())
	return err == nil && same(cookie.Value, s.cookie())
}

// cookieName tells servers of one machine apart, who share their cookies.
func (s *Server) cookieName() string {
	_, port, _ := net.SplitHostPort(s.Addr().String())
	return "edge-classify-" + port
}

// cookie stands for the token without giving it away.
func (s *Server) cookie() string {
	mac := hmac.New(sha256.New, []byte(s.options.Token))
	mac.Write([]byte("edge-classify cookie"))
	return hex.EncodeToString(mac.Sum(nil))
}

// same compares in a time that tells nothing.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
