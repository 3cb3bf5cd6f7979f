// Package deploy puts the program, a model and settings on a board and has systemd
// run them. Files that are there already are not copied; others take their places at
// once, after they have passed the program's self-test on the board, and go back
// where the service does not start with them.
package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"

	"edgeclassify/packaging"
)

// Options of Run.
type Options struct {
	Target   string // as people know the board, for messages
	Model    string // file
	Binary   string // the program's file for the board; "" builds it
	Settings []Setting
	DryRun   bool // the shell only shows what would be run
	// Password asks for that of the user on the board, where root needs one; nil
	// makes this an error.
	Password func() (string, error)
	// Say tells people what is done.
	Say func(format string, args ...any)
}

const (
	service = "edge-classify"
	user    = service
	state   = "/var/lib/edge-classify"
)

// item is a file on the board.
type item struct {
	name, path, mode, owner string
	aside                   string // the folder where it waits: root's own, on the same disk
	open                    func() (io.ReadCloser, error)
	hash                    string
	changed                 bool
}

// staged is where an item waits for its turn, and old where it goes.
func (i *item) staged() string { return i.aside + "/." + service + "-" + i.name + ".deploy" }
func (i *item) old() string    { return i.aside + "/." + service + "-" + i.name + ".before" }

// deployment is what is known of a board.
type deployment struct {
	Options
	shell   Shell
	root    string // the folder that stands for / ; "" but in tests
	scratch string // a folder of this machine

	facts                          map[string]string
	password                       string
	program, model, settings, unit *item
	items                          []*item
}

// Run deploys.
func Run(ctx context.Context, shell Shell, o Options) error {
	scratch, err := os.MkdirTemp("", "deploy")
	if err != nil {
		return fmt.Errorf("deploy: %w", err)
	}
	defer os.RemoveAll(scratch)
	return (&deployment{Options: o, shell: shell, scratch: scratch}).run(ctx)
}

func (d *deployment) run(ctx context.Context) error {
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"looking at the board", d.look},
		{"becoming root", d.becomeRoot},
		{"the program", d.findProgram},
		{"comparing files", d.compare},
		{"making the user and folders", d.prepare},
		{"copying", d.copy},
		{"the self-test", d.selfTest},
		{"starting the service", d.start},
		{"waiting for a label", d.tell},
	} {
		if err := step.do(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("deploy: %s: %s: %w", d.Target, step.name, err)
		}
	}
	return nil
}

// look finds out what the board is.
func (d *deployment) look(ctx context.Context) error {
	out, err := d.shell.Run(ctx, posix(fmt.Sprintf(factsScript, quote(d.root+"/run/systemd/system"))), nil)
	if err != nil {
		return fmt.Errorf("%w\ndoes 'ssh %s' work?", err, d.Target)
	}
	if d.DryRun {
		out = "system=Linux\nmachine=aarch64\nroot=sudo\nsystemd=yes\n"
		d.Say("as if it were an aarch64 board with sudo and without any of the files:")
	}
	d.facts = map[string]string{}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		d.facts[key] = value
	}
	switch {
	case d.facts["system"] != "Linux":
		return fmt.Errorf("the board runs %q: want Linux", d.facts["system"])
	case d.facts["systemd"] == "":
		return errors.New("systemd does not run there: copy program and model by hand, and have them started by what the system has")
	}
	return nil
}

const factsScript = `echo "system=$(uname -s)"
echo "machine=$(uname -m)"
set -- $SSH_CONNECTION
echo "address=$3"
[ ! -d %s ] || echo systemd=yes
if [ "$(id -u)" = 0 ]; then echo root=login; elif sudo -n true 2>/dev/null; then echo root=sudo; fi`

// becomeRoot asks for a password where root needs one.
func (d *deployment) becomeRoot(ctx context.Context) error {
	if d.facts["root"] != "" {
		return nil
	}
	const wayOut = "deploy as root@HOST, or let the user become root without one: sudo visudo"
	if d.Password == nil {
		return errors.New("sudo asks for a password there: " + wayOut)
	}
	var err error
	if d.password, err = d.Password(); err != nil {
		return err
	}
	if _, err := d.asRoot(ctx, "true", nil); err != nil {
		return fmt.Errorf("%w\n%s", err, wayOut)
	}
	return nil
}

// asRoot runs a script as root.
func (d *deployment) asRoot(ctx context.Context, script string, stdin io.Reader) (string, error) {
	command := posix("set -e\n" + script)
	switch d.facts["root"] {
	case "login":
	case "sudo":
		command = "sudo -n " + command
	default:
		// -k: sudo reads the password in any case, and nothing more than its line.
		command = "sudo -k -S -p '' " + command
		password := strings.NewReader(d.password + "\n")
		if stdin == nil {
			stdin = password
		} else {
			stdin = io.MultiReader(password, stdin)
		}
	}
	return d.shell.Run(ctx, command, stdin)
}

// findProgram takes the program that was given, or builds it.
func (d *deployment) findProgram(ctx context.Context) error {
	p, err := platformOf(d.facts["machine"])
	if err != nil {
		return err
	}
	binary := d.Binary
	if binary == "" {
		binary = filepath.Join(d.scratch, "edge-classify")
		build := p.build(ctx, binary)
		d.Say("%s", strings.Join(append(p.environment(), build.Args...), " "))
		if d.DryRun {
			if err := os.WriteFile(binary, nil, 0o600); err != nil {
				return err
			}
		} else {
			if _, err := run(ctx, build, nil); err != nil {
				return fmt.Errorf("%w\ncall quantize within the source code, or take the program out of the release's archive for %v: -binary FILE", err, p)
			}
		}
	}
	if !d.DryRun {
		if err := p.check(binary); err != nil {
			return err
		}
	}
	return d.list(binary)
}

// list settles what belongs on the board.
func (d *deployment) list(binary string) error {
	fromFile := func(name string) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return os.Open(name) }
	}
	fromText := func(text string) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
	}
	const bin = "/usr/local/bin/edge-classify" // out of the Debian package's way
	at := func(path string) string { return d.root + path }
	unit := strings.Replace(packaging.Unit, "ExecStart=/usr/bin/edge-classify ", "ExecStart="+bin+" ", 1)
	model := at(state + "/model.q8")
	d.program = &item{name: "program", path: at(bin), mode: "755", owner: "root:root", open: fromFile(binary)}
	d.model = &item{name: "model", path: model, mode: "644", owner: "root:root", open: fromFile(d.Model)}
	// A password may be within.
	d.settings = &item{name: "settings", path: at("/etc/edge-classify/edge-classify.conf"), mode: "640", owner: "root:" + user, open: fromText(file(d.Settings, model))}
	d.unit = &item{name: "service", path: at("/etc/systemd/system/edge-classify.service"), mode: "644", owner: "root:root", open: fromText(unit)}
	d.items = []*item{d.program, d.model, d.settings, d.unit}
	for _, i := range d.items {
		i.aside = path.Dir(i.path)
		if i == d.model { // whose folder is the service's, which could put links there
			i.aside = path.Dir(i.aside)
		}
		if err := i.sum(); err != nil {
			return err
		}
	}
	return nil
}

func (i *item) sum() error {
	from, err := i.open()
	if err != nil {
		return err
	}
	defer from.Close()
	h := sha256.New()
	if _, err := io.Copy(h, from); err != nil {
		return err
	}
	i.hash = hex.EncodeToString(h.Sum(nil))
	return nil
}

// compare finds the files that differ from the board's. Settings that are there stay
// where no flags are given.
func (d *deployment) compare(ctx context.Context) error {
	var script strings.Builder
	for _, i := range d.items {
		fmt.Fprintf(&script, "if [ -e %s ]; then sha256sum < %[1]s; else echo; fi\n", quote(i.path))
	}
	fmt.Fprintf(&script, "sed -n 's/^[[:space:]]*http[[:space:]]*=[[:space:]]*//p' %s 2>/dev/null || true\n", quote(d.settings.path))
	out, err := d.asRoot(ctx, script.String(), nil)
	if err != nil {
		return err
	}
	found := strings.Split(out, "\n")
	if !d.DryRun && len(found) < len(d.items) {
		return fmt.Errorf("the board says %q: want a line for each file", out)
	}
	for n, i := range d.items {
		i.changed = d.DryRun || !strings.HasPrefix(found[n], i.hash)
	}
	if len(d.Settings) == 0 && !d.DryRun && found[2] != "" {
		d.settings.changed = false
		d.Settings = []Setting{{"http", strings.TrimSpace(found[len(d.items)])}}
	}
	return nil
}

// prepare makes the service's user and folders, as the Debian package does.
func (d *deployment) prepare(ctx context.Context) error {
	folders := ""
	for _, i := range d.items {
		folders += " " + quote(path.Dir(i.path))
	}
	_, err := d.asRoot(ctx, fmt.Sprintf(`id -u %[1]s >/dev/null 2>&1 || useradd --system --user-group --no-create-home --home-dir %[2]s --shell /usr/sbin/nologin %[1]s
for group in video gpio i2c; do
	if getent group "$group" >/dev/null; then usermod -a -G "$group" %[1]s; fi
done
mkdir -p%[3]s
chown %[1]s:%[1]s %[4]s`, user, state, folders, quote(path.Dir(d.model.path))), nil)
	return err
}

// copy brings what changed beside its place.
func (d *deployment) copy(ctx context.Context) error {
	for _, i := range d.items {
		if !i.changed {
			continue
		}
		d.Say("copying the %s to %s", i.name, i.path)
		if err := d.copyItem(ctx, i); err != nil {
			return fmt.Errorf("%s to %s: %w", i.name, i.path, err)
		}
	}
	return nil
}

func (d *deployment) copyItem(ctx context.Context, i *item) error {
	content, err := i.open()
	if err != nil {
		return err
	}
	defer content.Close()
	_, err = d.asRoot(ctx, fmt.Sprintf(`umask 077
rm -f %[1]s
cat > %[1]s
sha256sum < %[1]s | grep -q ^%[2]s || { echo it arrives damaged >&2; exit 1; }
chown %[3]s %[1]s
chmod %[4]s %[1]s`, quote(i.staged()), i.hash, i.owner, i.mode), content)
	return err
}

// selfTest has the board's processor check the model, bit for bit.
func (d *deployment) selfTest(ctx context.Context) error {
	current := func(i *item) string {
		if i.changed {
			return i.staged()
		}
		return i.path
	}
	out, err := d.asRoot(ctx, fmt.Sprintf("%s doctor -json -model %s || [ $? = 1 ]", quote(current(d.program)), quote(current(d.model))), nil)
	if err != nil || d.DryRun {
		return err
	}
	var found struct {
		Checks []struct{ Check, Status, Found, Advice string }
	}
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&found); err != nil {
		return fmt.Errorf("doctor says %q: %w", out, err)
	}
	var bad []error
	for _, c := range found.Checks {
		if c.Status == "ok" {
			if c.Check == "self-test" {
				d.Say("self-test passes there: %s", c.Found)
			}
			continue
		}
		d.Say("doctor: %s: %s: %s (%s)", c.Status, c.Check, c.Found, c.Advice)
		// What is wrong with the board itself was wrong before.
		if c.Status == "fail" && c.Check != "cameras" && c.Check != "throttling" {
			bad = append(bad, fmt.Errorf("%s: %s", c.Check, c.Found))
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("%w\nnothing was changed on the board", errors.Join(bad...))
	}
	return nil
}

// start puts what changed in its place and starts the service; if it does not start,
// everything goes back.
func (d *deployment) start(ctx context.Context) error {
	var keep, forth, back, tidy strings.Builder
	for _, i := range d.items {
		if !i.changed {
			continue
		}
		staged, place, old := quote(i.staged()), quote(i.path), quote(i.old())
		fmt.Fprintf(&keep, "rm -f %[2]s\n[ ! -e %[1]s ] || ln %[1]s %[2]s || cp -p %[1]s %[2]s\n", place, old)
		fmt.Fprintf(&forth, "mv -fT %s %s\n", staged, place)
		fmt.Fprintf(&back, "\t[ ! -e %[2]s ] || mv -fT %[2]s %[1]s\n", place, old)
		fmt.Fprintf(&tidy, "rm -f %s\n", old)
	}
	if forth.Len() == 0 {
		d.Say("nothing has changed")
		_, err := d.asRoot(ctx, "systemctl enable --now -q "+service, nil)
		return err
	}
	_, err := d.asRoot(ctx, fmt.Sprintf(`before=$(systemctl is-active %[1]s || true)
%[2]ssync
%[3]ssync
systemctl daemon-reload
systemctl enable -q %[1]s
if ! systemctl restart %[1]s; then
	journalctl -u %[1]s -n 12 --no-pager -o cat >&2 || true
%[4]s	systemctl daemon-reload
	if [ "$before" = active ]; then
		systemctl restart %[1]s || true
		echo "what was there before runs again" >&2
	else
		systemctl stop %[1]s || true
	fi
	exit 1
fi
%[5]s`, service, keep.String(), forth.String(), back.String(), tidy.String()), nil)
	if err == nil {
		d.Say("the service runs, and starts with the board")
	}
	return err
}

// tell prints where the page is, and what the camera sees.
func (d *deployment) tell(ctx context.Context) error {
	if page := d.page(); page != "" {
		d.Say("live page: %s", page)
	}
	const wait = `n=0
while
	text=$(systemctl show -p StatusText --value ` + service + `)
	case "$text" in ''|camera*) true;; *) false;; esac && systemctl is-active -q ` + service + ` && [ $n -lt 30 ]
do
	n=$((n+1))
	sleep 1
done
echo "state=$(systemctl show -p ActiveState --value ` + service + `)"
echo "text=$text"`
	out, err := d.asRoot(ctx, wait, nil) // a user's systemctl needs D-Bus
	if err != nil || d.DryRun {
		return err
	}
	status, text, _ := strings.Cut(strings.TrimSpace(out), "\ntext=")
	if status != "state=active" {
		return fmt.Errorf("the service has ended again: ssh %s journalctl -u %s", d.Target, service)
	}
	if text == "" {
		text = "no result yet"
	}
	d.Say("the board sees: %s", text)
	return nil
}

// page is the live page's address; "" without one.
func (d *deployment) page() string {
	address := value(d.Settings, "http")
	if address == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil { // a port alone is for the board itself
		return fmt.Sprintf("http://localhost:%[1]s on the board, and here with 'ssh -L %[1]s:localhost:%[1]s %[2]s'", address, d.Target)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if host = d.facts["address"]; host == "" {
			host = d.Target[strings.LastIndexByte(d.Target, '@')+1:]
		}
	}
	return "http://" + net.JoinHostPort(host, port)
}
