package live

import (
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	loginPath    = "/login"
	maxLogin     = 1 << 10 // bytes of a form
	cookieMaxAge = 30 * 24 * time.Hour
)

// loginPage is a format: of why it is shown.
//
//go:embed page/login.html
var loginPage string

// public are the files that all may have: health, and what the form looks like.
var public = [...]string{health, "/style.css", "/icon.svg"}

// denial is why a request may not pass.
type denial struct {
	why  string        // for programs
	form string        // for people, in HTML
	wait time.Duration // until a token is looked at
}

// admit tells why a request may not pass, or nil. One with the token in its query
// gets a cookie for those that follow.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) *denial {
	if s.options.Token == "" || slices.Contains(public[:], r.URL.Path) || s.known(r) {
		return nil
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return s.check(r, token)
	}
	token := r.URL.Query().Get("token")
	if token == "" {
		return &denial{
			why:  "a token is needed: open /?token=TOKEN, or send the header Authorization: Bearer TOKEN",
			form: "This page wants the token that the program was started with.",
		}
	}
	denied := s.check(r, token)
	if denied == nil {
		s.remember(w)
	}
	return denied
}

// check tells what is wrong with a token, if anything, or that it comes too soon
// behind wrong ones.
func (s *Server) check(r *http.Request, token string) *denial {
	right, wait := s.guesses.try(token, origin(r.RemoteAddr), time.Now())
	switch {
	case right:
		return nil
	case wait > 0:
		why := fmt.Sprintf("too many wrong tokens came from your address: try again in %d s", seconds(wait))
		return &denial{why, "<strong>" + why + "</strong>", wait}
	}
	return &denial{why: "this is not the token", form: "<strong>This is not the token.</strong>"}
}

// seconds is a time rounded up.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// tell tells programs why in a line, and shows browsers the form.
func (d *denial) tell(w http.ResponseWriter, r *http.Request) {
	header, status := w.Header(), http.StatusUnauthorized
	if d.wait > 0 {
		status = http.StatusTooManyRequests
		header.Set("Retry-After", strconv.Itoa(seconds(d.wait)))
	} else {
		header.Set("WWW-Authenticate", `Bearer realm="edge-classify"`)
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Error(w, d.why, status)
		return
	}
	header.Set("Content-Security-Policy", strings.Replace(policy, "form-action 'none'", "form-action 'self'", 1))
	header.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, loginPage, d.form)
}

// serveLogin takes the form.
func (s *Server) serveLogin(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxLogin)
	if err := r.ParseForm(); err != nil {
		http.Error(w, fmt.Sprintf("want a form of at most %d bytes", maxLogin), http.StatusRequestEntityTooLarge)
		return
	}
	if denied := s.check(r, strings.TrimSpace(r.PostForm.Get("token"))); denied != nil {
		denied.tell(w, r)
		return
	}
	s.remember(w)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// remember gives a browser the cookie. Other sites' links take it along, such as Home
// Assistant's, since no GET changes anything; what they embed does not.
func (s *Server) remember(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(), Value: s.cookie(), Path: "/", MaxAge: int(cookieMaxAge.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// known tells whether a request has the cookie.
func (s *Server) known(r *http.Request) bool {
	cookie, err := r.Cookie(s.cookieName())
	return err == nil && hmac.Equal([]byte(cookie.Value), []byte(s.cookie()))
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
