package fleet

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"edgeclassify/internal/board"
	"edgeclassify/internal/private"
)

// Options say which broker to tell, and what.
type Options struct {
	// URL is mqtt://[USER[:PASSWORD]@]HOST[:PORT][/ID], or mqtts:// for TLS.
	// Ports are 1883 and 8883 where none is given. ID names the device: it is
	// the client identifier and part of every topic and must differ from those
	// of all other clients of the broker. By default it is derived from the
	// board's serial number, or else the machine's identifier.
	URL string
	// Password is used where URL has none, and that in PasswordFile before all
	// others. Unlike a URL neither shows in the list of processes.
	Password, PasswordFile string
	// CA is a PEM file of the authorities to trust instead of the system's.
	CA string

	Discovery   string        // Home Assistant's topic prefix, as "homeassistant"; none if empty
	Watch       []string      // labels that get a binary sensor, as stream.Options.Watch
	Page        string        // URL of the live page, if there is one; without a host, as http://:8080, this machine is meant
	Version     string        // of the program
	Results     time.Duration // least time between two results of the same class, by default a second
	Snapshots   time.Duration // least time between two pictures; none if 0
	Diagnostics time.Duration // time between two diagnostics, by default ten seconds
	// Update, if not nil, takes up the model at an HTTPS address whose file has that
	// SHA-256, as topic model/set asks for: whoever may publish there chooses the
	// model. It returns nil where that model is in use already.
	Update func(ctx context.Context, url, sha256 string) error
	Log    *slog.Logger
}

// target is what Options mean.
type target struct {
	address        string // host:port
	tls            *tls.Config
	user, password string
	id             string
	device         device
	discovery      string
	page           string
	pictures       bool
	update         bool
}

// validID is what Home Assistant takes as part of a topic.
var validID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

var validPrefix = regexp.MustCompile(`^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$`)

func (o *Options) target(root fs.FS) (*target, error) {
	u, err := parseURL(o.URL)
	if err != nil {
		return nil, fmt.Errorf("mqtt: the broker's URL: %w", err)
	}
	t := &target{discovery: o.Discovery, page: o.Page, pictures: o.Snapshots > 0, update: o.Update != nil, user: u.User.Username()}
	if o.Discovery != "" && !validPrefix.MatchString(o.Discovery) {
		return nil, fmt.Errorf("mqtt: discovery prefix %q: want letters, digits, - or _, and / between them", o.Discovery)
	}
	if err := t.setAddress(u); err != nil {
		return nil, fmt.Errorf("mqtt: %s: %w", u.Redacted(), err)
	}
	if err := t.setID(strings.TrimPrefix(u.Path, "/"), root); err != nil {
		return nil, fmt.Errorf("mqtt: %s: %w", u.Redacted(), err)
	}
	if err := t.setPassword(u, o); err != nil {
		return nil, err
	}
	if err := t.setCA(o.CA); err != nil {
		return nil, err
	}
	t.device = newDevice(t.id, o.Version, root)
	return t, nil
}

// parseURL tells what is to be written instead where url.Parse would tell what is
// wrong, or take a part of the password for something else. Errors hold no part of
// user and password, nor of what could be these.
func parseURL(text string) (*url.URL, error) {
	scheme, rest, found := strings.Cut(text, "://")
	switch scheme = strings.ToLower(scheme); {
	case !found:
		return nil, errors.New("it begins with mqtt:// or, for TLS, mqtts://, as mqtt://HOST")
	case scheme == "tcp":
		return nil, errors.New("write mqtt:// instead of tcp://")
	case scheme == "ssl" || scheme == "tls" || scheme == "mqtt+ssl":
		return nil, fmt.Errorf("write mqtts:// instead of %s://", scheme)
	case scheme == "ws" || scheme == "wss":
		return nil, fmt.Errorf("%s:// is not spoken: take the broker's port for mqtt:// or mqtts://", scheme)
	case scheme != "mqtt" && scheme != "mqtts":
		return nil, errors.New("unknown scheme: want mqtt:// or mqtts://")
	case strings.ContainsAny(rest[:strings.LastIndexByte(rest, '@')+1], "/?#"):
		return nil, errors.New("a / ? # or % in user or password is written %2F %3F %23 or %25")
	}
	u, err := url.Parse(text)
	var escape url.EscapeError
	var whole *url.Error // repeats the URL, and with it the password
	switch {
	case errors.As(err, &escape):
		return nil, errors.New("a % in user or password is written %25")
	case errors.As(err, &whole):
		return nil, whole.Err
	}
	return u, err
}

func (t *target) setAddress(u *url.URL) error {
	port := ""
	switch u.Scheme {
	case "mqtt":
		port = "1883"
	case "mqtts":
		port = "8883"
		t.tls = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	switch {
	case u.Hostname() == "":
		return errors.New("no host: want mqtt://HOST")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("nothing may follow the ID")
	}
	t.address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
	return nil
}

func (t *target) setID(id string, root fs.FS) error {
	t.id = id
	if id == "" {
		t.id = deviceID(root)
	}
	switch {
	case t.id == "":
		return errors.New("this machine has neither a serial number nor /etc/machine-id: name the device in the URL, as mqtt://HOST/ID")
	case !validID.MatchString(t.id):
		return fmt.Errorf("device %q: want 1 to 64 letters, digits, - or _", t.id)
	}
	return nil
}

func (t *target) setPassword(u *url.URL, o *Options) error {
	t.password = o.Password
	if inURL, ok := u.User.Password(); ok {
		t.password = inURL
	}
	if o.PasswordFile != "" {
		password, warning, err := private.Secret(o.PasswordFile)
		if err != nil {
			return fmt.Errorf("mqtt: password: %w", err)
		}
		if t.password = password; warning != "" {
			o.Log.Warn("mqtt: " + warning)
		}
	}
	return nil
}

func (t *target) setCA(file string) error {
	if file == "" {
		return nil
	}
	if t.tls == nil {
		return errors.New("mqtt: a certificate authority is of use with mqtts:// only")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("mqtt: certificate authority: %w", err)
	}
	t.tls.RootCAs = x509.NewCertPool()
	if !t.tls.RootCAs.AppendCertsFromPEM(text) {
		return fmt.Errorf("mqtt: certificate authority: %s holds no certificate in PEM form", file)
	}
	return nil
}

// deviceID is a name that stays the same for a board and differs between
// boards, empty if there is nothing to make it of. The serial number comes
// first: copied cards share their machine-id, which machine-id(5) also asks
// not to be shown as it is.
func deviceID(root fs.FS) string {
	for _, file := range []string{"proc/device-tree/serial-number", "etc/machine-id"} {
		text, _ := fs.ReadFile(root, file)
		if unique := strings.Trim(string(text), "\x00 \n"); unique != "" {
			sum := sha256.Sum256([]byte("edge-classify " + unique))
			return "edge-classify-" + hex.EncodeToString(sum[:4])
		}
	}
	return ""
}

func newDevice(id, version string, root fs.FS) device {
	name, _ := os.Hostname()
	return device{Identifiers: []string{id}, Name: cmp.Or(name, id), Model: board.Model(root), Version: version}
}
