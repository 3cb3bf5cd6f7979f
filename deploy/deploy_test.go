//go:build unix

package deploy

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/config"
	"edgeclassify/internal/nettest"
	"edgeclassify/q8"
)

// board is a folder of this machine in place of a board: ssh runs its scripts here, in
// the shell, with programs that need a real board replaced.
type board struct {
	t    *testing.T
	root string
	bin  string // the replaced programs
	log  string // of systemctl
}

func newBoard(t *testing.T) *board {
	dir := t.TempDir()
	b := &board{t: t, root: filepath.Join(dir, "it's a root"), log: filepath.Join(dir, "log")}
	b.bin = filepath.Join(dir, "bin")
	require.NoError(t, os.MkdirAll(b.bin, 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(b.root, "run/systemd/system"), 0o755))
	for name, script := range map[string]string{
		"ssh":  `while [ "$1" != -- ]; do shift; done; shift 2; exec sh -c "$*"`, // as sshd does
		"id":   `[ $# = 1 ] && echo ${BOARD_UID:-0}`,
		"sudo": `[ "$1" = -n ] && [ -n "$BOARD_SUDO" ] && shift && exec "$@"; [ "$1 $2" = "-k -S" ] && read -r p && [ "$p" = secret ] && shift 4 && exec "$@"`,
		"systemctl": `echo "$*" >> "$BOARD_LOG"
case "$*" in
restart*) [ -z "$BOARD_BROKEN" ] || ! cmp -s "$BOARD_BROKEN" "$BOARD_MODEL";;
*StatusText*) echo "tabby (62 %), 9.1 results per second";;
*ActiveState*) echo active;;
is-active*) echo active;;
esac`,
		"journalctl": `echo "the service says why"`,
		"useradd":    "", "usermod": "", "getent": "", "chown": "", "sync": "",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(b.bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	}
	t.Setenv("PATH", b.bin+":"+os.Getenv("PATH"))
	t.Setenv("SSH_CONNECTION", "10.0.0.1 5000 10.0.0.7 22")
	t.Setenv("BOARD_LOG", b.log)
	t.Setenv("BOARD_MODEL", b.path("/var/lib/edge-classify/model.q8"))
	return b
}

func (b *board) path(path string) string { return filepath.Join(b.root, path) }

// deploy returns what people are told.
func (b *board) deploy(o Options) (string, error) {
	os.Remove(b.log)
	shell, err := NewSSH("pi@board")
	require.NoError(b.t, err)
	defer shell.Close()
	var said bytes.Buffer
	o.Target = "pi@board"
	o.Say = func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }
	d := &deployment{Options: o, shell: shell, scratch: b.t.TempDir(), root: b.root}
	if o.DryRun {
		d.shell = DryRun{SSH: shell, To: &said}
	}
	err = d.run(b.t.Context())
	return said.String(), err
}

func (b *board) systemctl() string {
	text, err := os.ReadFile(b.log)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(b.t, err)
	}
	return string(text)
}

// files are those on the board.
func (b *board) files() (list []string) {
	require.NoError(b.t, filepath.WalkDir(b.root, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			list = append(list, strings.TrimPrefix(path, b.root))
		}
		return err
	}))
	return list
}

func (b *board) requireModel(file string) {
	want, err := os.ReadFile(file)
	require.NoError(b.t, err)
	got, err := os.ReadFile(b.path("/var/lib/edge-classify/model.q8"))
	require.NoError(b.t, err)
	require.True(b.t, bytes.Equal(want, got))
}

// model writes a model file, with a self-test that is right or not.
func model(t *testing.T, seed uint64, right bool) string {
	m := nettest.Model(seed, false)
	test := &q8.SelfTest{Seed: 1, LogitsSHA256: strings.Repeat("0", 64)}
	if right {
		logits, err := m.Reference(test.Image(m.Network), nil)
		require.NoError(t, err)
		test.LogitsSHA256 = int8.HashLogits(logits)
	}
	m, err := q8.New(m.Network, m.Preprocess, m.Classes, m.Activation, m.Provenance, test)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), fmt.Sprintf("model %d.q8", seed))
	require.NoError(t, q8.Write(file, m))
	return file
}

func TestDeploy(t *testing.T) {
	b := newBoard(t)
	first, second := model(t, 1, true), model(t, 2, true)
	everything := []string{
		"/etc/edge-classify/edge-classify.conf", "/etc/systemd/system/edge-classify.service",
		"/usr/local/bin/edge-classify", "/var/lib/edge-classify/model.q8",
	}

	said, err := b.deploy(Options{Model: first, DryRun: true, Settings: []Setting{{"watch", "it's"}}})
	require.NoError(t, err)
	require.NoFileExists(t, b.log)
	require.Empty(t, b.files())
	for _, want := range []string{"go build", "uname -m", "sha256sum", "watch = it's", "model 1.q8", "doctor", "systemctl restart", "/edge-classify\n"} {
		require.Contains(t, said, want)
	}

	said, err = b.deploy(Options{Model: first, Settings: []Setting{{"http", ":8080"}, {"watch", "tabby,Persian cat"}}})
	require.NoError(t, err, said)
	require.Equal(t, everything, b.files())
	b.requireModel(first)
	require.Contains(t, b.systemctl(), "daemon-reload\nenable -q edge-classify\nrestart edge-classify\n")
	require.Contains(t, said, "live page: http://10.0.0.7:8080\n")
	require.Contains(t, said, "the board sees: tabby (62 %), 9.1 results per second\n")
	info, err := os.Stat(b.path(everything[0]))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode().Perm())
	unit, err := os.ReadFile(b.path(everything[1]))
	require.NoError(t, err)
	require.Contains(t, string(unit), "\nExecStart=/usr/local/bin/edge-classify -config /etc/edge-classify/edge-classify.conf\n")
	settings, err := os.ReadFile(b.path(everything[0]))
	require.NoError(t, err)
	require.Contains(t, string(settings), "watch = tabby,Persian cat\n")

	// The same again copies nothing; without flags the settings stay.
	binary := b.path(everything[2]) // is as good as one of -binary
	said, err = b.deploy(Options{Model: first, Binary: binary})
	require.NoError(t, err, said)
	require.Contains(t, said, "nothing has changed\nlive page: http://10.0.0.7:8080\n")
	require.NotContains(t, b.systemctl(), "restart")

	said, err = b.deploy(Options{Model: second, Binary: binary})
	require.NoError(t, err, said)
	require.Equal(t, 1, strings.Count(said, "copying the"), said)
	b.requireModel(second)
	require.Equal(t, everything, b.files())

	// A model that the board computes wrongly.
	said, err = b.deploy(Options{Model: model(t, 3, false), Binary: binary})
	require.ErrorContains(t, err, "deploy: pi@board: the self-test: self-test: ")
	require.NotContains(t, b.systemctl(), "restart", said)
	b.requireModel(second)

	// A service that does not start.
	t.Setenv("BOARD_BROKEN", first)
	_, err = b.deploy(Options{Model: first, Binary: binary})
	require.ErrorContains(t, err, "starting the service: ")
	require.ErrorContains(t, err, "the service says why\nwhat was there before runs again")
	require.Equal(t, 2, strings.Count(b.systemctl(), "restart edge-classify"))
	b.requireModel(second)

	_, err = b.deploy(Options{Model: first, Binary: os.Args[0]})
	require.ErrorContains(t, err, "not edge-classify")
}

func TestRoot(t *testing.T) {
	b := newBoard(t)
	t.Setenv("BOARD_UID", "1000")
	o := Options{Model: model(t, 1, true), Binary: os.Args[0]}
	_, err := b.deploy(o)
	require.ErrorContains(t, err, "becoming root: sudo asks for a password there: deploy as root@HOST")
	o.Password = func() (string, error) { return "wrong", nil }
	_, err = b.deploy(o)
	require.ErrorContains(t, err, "becoming root: ssh: exit status 1\ndeploy as root@HOST")
	o.Password = func() (string, error) { return "secret", nil }
	_, err = b.deploy(o)
	require.ErrorContains(t, err, "the program: ", "root it is")

	d := &deployment{Options: o, shell: &SSH{target: "pi@board"}, password: "secret", facts: map[string]string{}}
	out, err := d.asRoot(t.Context(), "cat", strings.NewReader("content\n"))
	require.NoError(t, err)
	require.Equal(t, "content\n", out, "the password is not in the file")
	d.facts["root"] = "sudo"
	t.Setenv("BOARD_SUDO", "yes")
	out, err = d.asRoot(t.Context(), "cat", strings.NewReader("content\n"))
	require.NoError(t, err)
	require.Equal(t, "content\n", out)
}

func TestErrorsTellTheStep(t *testing.T) {
	b := newBoard(t)
	require.NoError(t, os.RemoveAll(b.path("/run")))
	_, err := b.deploy(Options{})
	require.ErrorContains(t, err, "deploy: pi@board: looking at the board: systemd does not run there")
	_, err = NewSSH("-oProxyCommand=reboot")
	require.ErrorContains(t, err, "want USER@HOST")

	require.NoError(t, os.WriteFile(filepath.Join(b.bin, "ssh"), []byte("#!/bin/sh\necho 'Permission denied (publickey).' >&2\nexit 255\n"), 0o755))
	_, err = b.deploy(Options{})
	require.ErrorContains(t, err, "ssh: exit status 255\nPermission denied (publickey).\ndoes 'ssh pi@board' work?")
}

func TestPlatform(t *testing.T) {
	for machine, want := range map[string]platform{
		"aarch64": {"arm64", ""}, "armv7l": {"arm", "7"}, "armv6l": {"arm", "6"}, "x86_64": {"amd64", ""},
	} {
		p, err := platformOf(machine)
		require.NoError(t, err)
		require.Equal(t, want, p)
	}
	_, err := platformOf("riscv64")
	require.ErrorContains(t, err, `the board is "riscv64": want aarch64`)
	require.ErrorContains(t, platform{arch: "arm64"}.check("deploy.go"), "deploy.go")
}

func TestPage(t *testing.T) {
	for address, want := range map[string]string{
		"": "", ":80": "http://10.0.0.7:80", "0.0.0.0:80": "http://10.0.0.7:80", "[::]:80": "http://10.0.0.7:80",
		"192.168.0.2:80": "http://192.168.0.2:80", "8080": "http://localhost:8080 on the board, and here with 'ssh -L 8080:localhost:8080 pi@board'",
	} {
		d := &deployment{Options: Options{Target: "pi@board", Settings: []Setting{{"http", address}}}, facts: map[string]string{"address": "10.0.0.7"}}
		require.Equal(t, want, d.page())
	}
}

func TestSettings(t *testing.T) {
	list, err := Settings([]string{"-wait", "-camera", "csi:0", "--http=:8080", "-led", "27=cat:0.6", "-led", "GPIO5=dog", "-flip=-h"})
	require.NoError(t, err)
	require.Equal(t, []Setting{{"wait", "true"}, {"camera", "csi:0"}, {"http", ":8080"}, {"led", "27=cat:0.6"}, {"led", "GPIO5=dog"}, {"flip", "-h"}}, list)
	for want, args := range map[string][]string{
		`"photo.jpg" is no flag`:            {"-wait", "-json=true", "photo.jpg"},
		`"-" is no flag`:                    {"-"},
		"-config has no place":              {"-config", "x"},
		`-watch "a\nexec = rm": a file of `: {"-watch", "a\nexec = rm"},
		`-watch " a": a file of `:           {"-watch", " a"},
		`"-a b=c" is no flag`:               {"-a b=c"},
	} {
		_, err := Settings(args)
		require.ErrorContains(t, err, want)
	}
}

// Whatever is given comes out of the settings' file as it was.
func FuzzSettings(f *testing.F) {
	for _, seed := range []string{"cat", "a = b # c", "'$(reboot)`x`\\", "\n", "-x"} {
		f.Add("watch", seed)
	}
	f.Fuzz(func(t *testing.T, key, text string) {
		list, err := Settings([]string{"-" + key + "=" + text})
		if err != nil {
			return
		}
		require.Len(t, list, 1)
		path := filepath.Join(t.TempDir(), "conf")
		require.NoError(t, os.WriteFile(path, []byte(file(list, "/m.q8")), 0o600))
		got := map[string]string{}
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		for _, name := range []string{"model", "camera", "wait", list[0].Key} {
			if flags.Lookup(name) == nil {
				flags.Func(name, "", func(v string) error { got[name] = v; return nil })
			}
		}
		require.NoError(t, config.Apply(flags, path))
		require.Equal(t, "/m.q8", got["model"])
		require.Equal(t, list[0].Value, got[list[0].Key])
	})
}

// The shell gives back what was quoted.
func FuzzQuote(f *testing.F) {
	for _, seed := range []string{"", "it's", "$(x) `y` \\ \" * ~ \n\t;&|", "'", "\x1b\u202e", "-n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) {
			return // no argument of a program has it
		}
		out, err := exec.Command("sh", "-c", posix("printf %s "+quote(s))).Output()
		require.NoError(t, err)
		require.Equal(t, s, string(out))
	})
}
