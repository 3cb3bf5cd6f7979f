package capture

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"edgeclassify/internal/private"
)

// address is where a camera is in the network, and who may use it.
type address struct {
	url            *url.URL // without user and password
	user, password string
}

// parseAddress reads a URL and, if Options name it, the file with the password or
// USER:PASSWORD. Errors do not repeat what may be a password.
func parseAddress(text string, o Options) (a address, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return a, fmt.Errorf("%w: its URL cannot be read: write special characters of user and password as per cent and "+
			"two digits (# as %%23, / as %%2F, @ as %%40), or put USER:PASSWORD into a file for -camera-password-file", ErrUnknown)
	}
	if u.User != nil {
		a.user = u.User.Username()
		a.password, _ = u.User.Password()
		u.User = nil
	}
	a.url = u
	if o.PasswordFile == "" {
		return a, nil
	}
	line, warning, err := private.Secret(o.PasswordFile)
	if err != nil {
		return a, fmt.Errorf("the camera's password: %w", err)
	}
	if warning != "" {
		o.Log.Warn(warning)
	}
	user, password, both := strings.Cut(line, ":")
	switch {
	case a.user != "" && !both:
		a.password = user
	case both && user != "" && a.user == "":
		a.user, a.password = user, password
	case both && user == a.user:
		a.password = password
	default:
		return a, errors.New("the camera's password: " + o.PasswordFile + ": want one line USER:PASSWORD")
	}
	return a, nil
}

// String is the address as it may be shown: without password and query, where
// some cameras take passwords.
func (a address) String() string {
	return (&url.URL{Scheme: a.url.Scheme, Host: a.url.Host, Path: a.url.Path}).String()
}

// shownAddress is what may be shown of a URL.
func shownAddress(spec string) string {
	a, err := parseAddress(spec, Options{})
	if err != nil {
		return "a camera in the network"
	}
	return a.String()
}

// full is the address with user and password.
func (a address) full() string {
	u := *a.url
	if a.user != "" {
		u.User = url.UserPassword(a.user, a.password)
	}
	return u.String()
}

// hide takes what nobody may see out of a program's messages.
func (a address) hide() *strings.Replacer {
	var pairs []string
	for _, secret := range []string{a.full(), a.url.String()} {
		pairs = append(pairs, secret, a.String())
	}
	secrets := []string{url.UserPassword(a.user, a.password).String() + "@", url.QueryEscape(a.password), a.password, a.url.RawQuery}
	for _, secret := range secrets {
		if len(secret) > 3 { // shorter ones would take half of a message away
			pairs = append(pairs, secret, "***")
		}
	}
	return strings.NewReplacer(pairs...)
}
