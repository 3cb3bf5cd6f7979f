package config

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// list is a repeatable flag that tells what it holds.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }
func (l *list) Get() any           { return []string(*l) }

// options are flags of every kind.
type options struct {
	config, model, camera string
	threads               int
	every                 time.Duration
	json                  bool
	leds                  list
	watch                 []string
}

func newFlags() (*flag.FlagSet, *options) {
	o := &options{}
	f := flag.NewFlagSet("test", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.config, "config", "", "")
	f.StringVar(&o.model, "model", "", "")
	f.StringVar(&o.camera, "camera", "auto", "")
	f.IntVar(&o.threads, "threads", 4, "")
	f.DurationVar(&o.every, "every", 0, "")
	f.BoolVar(&o.json, "json", false, "")
	f.Var(&o.leds, "led", "")
	f.Func("watch", "", func(s string) error {
		if s == "" {
			return errors.New("want a label")
		}
		o.watch = append(o.watch, s)
		return nil
	})
	return f, o
}

func write(t testing.TB, text string) string {
	path := filepath.Join(t.TempDir(), "test.conf")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestApply(t *testing.T) {
	f, o := newFlags()
	require.NoError(t, f.Parse(nil))
	require.NoError(t, Apply(f, write(t, `# everything
  # indented
model = /a path/with = and # .q8
camera=usb:/dev/video2
every	=	1m30s
json = true
led = 17=tabby
led = 18=pug:0.5
watch = a
watch = b`)))
	require.Equal(t, &options{
		model: "/a path/with = and # .q8", camera: "usb:/dev/video2", threads: 4, every: 90 * time.Second, json: true,
		leds: list{"17=tabby", "18=pug:0.5"}, watch: []string{"a", "b"},
	}, o)
}

func TestCommandLineOverrides(t *testing.T) {
	f, o := newFlags()
	require.NoError(t, f.Parse([]string{"-model", "mine.q8", "-json=false", "-led", "4=cat"}))
	require.NoError(t, Apply(f, write(t, "model = theirs.q8\r\njson = true\r\nled = 17=tabby\r\nled = 18=pug\r\nthreads = 2\r\n")))
	require.Equal(t, "mine.q8", o.model)
	require.False(t, o.json)
	require.Equal(t, list{"4=cat"}, o.leds)
	require.Equal(t, 2, o.threads)
}

func TestBadFiles(t *testing.T) {
	for text, want := range map[string]string{
		"\n\nmodle = x":            `test.conf:3: unknown key "modle", did you mean "model"?`,
		"Threads = 2":              `did you mean "threads"?`,
		"-json = true":             `did you mean "json"?`,
		"configs = x":              `test.conf:1: unknown key "configs"`,
		"xyzzy = 1":                `unknown key "xyzzy"`,
		"= 1":                      "no key before '='",
		"json":                     "test.conf:1: \"json\": want 'key = value'",
		"[camera]":                 "want 'key = value'",
		"threads = many":           `test.conf:1: threads: invalid value "many": want a whole number`,
		"threads =":                `threads: invalid value ""`,
		"every = 5":                `every: invalid value "5": want a time such as 500ms`,
		"json = perhaps":           `json: invalid value "perhaps": want true or false`,
		"watch =":                  `watch: invalid value "": want a label`,
		"model = a\nmodel = b":     "test.conf:2: model is given a second time",
		"config = other.conf":      "test.conf:1: config belongs on the command line",
		"model = \x00":             "is not a text",
		"model = \xff":             "is not a text",
		strings.Repeat("#", 2<<20): "is not a text",
	} {
		f, _ := newFlags()
		require.ErrorContains(t, Apply(f, write(t, text), "config"), want, "%.40q", text)
	}
	f, _ := newFlags()
	require.ErrorIs(t, Apply(f, "none.conf"), os.ErrNotExist)
	require.ErrorContains(t, Apply(f, t.TempDir()), "configuration: ")
}

// A repetition is told even where the command line overrides the key.
func TestRepetitionOfOverriddenKey(t *testing.T) {
	f, _ := newFlags()
	require.NoError(t, f.Parse([]string{"-model", "mine.q8"}))
	require.ErrorContains(t, Apply(f, write(t, "model = a\nmodel = b")), "second time")
}

// Whatever a file holds, it is refused or means what it says: the flags that
// it set, written as a file, set the same again.
func FuzzApply(f *testing.F) {
	f.Add("model = x\n# c\nthreads = 3\n")
	f.Add("led = 1\nled = 2\nevery = 3s")
	f.Add("json = \nmodle = 1\n===\n")
	f.Fuzz(func(t *testing.T, text string) {
		first, o := newFlags()
		path := write(t, text)
		if err := Apply(first, path); err != nil {
			require.Contains(t, err.Error(), path)
			return
		}
		var lines strings.Builder
		first.Visit(func(f *flag.Flag) {
			if f.Name != "led" && f.Name != "watch" {
				lines.WriteString(f.Name + " = " + f.Value.String() + "\n")
			}
		})
		for _, led := range o.leds {
			lines.WriteString("led = " + led + "\n")
		}
		for _, label := range o.watch {
			lines.WriteString("watch = " + label + "\n")
		}
		second, again := newFlags()
		require.NoError(t, Apply(second, write(t, lines.String())))
		require.Equal(t, o, again)
	})
}
