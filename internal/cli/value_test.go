package cli

import (
	"bytes"
	"errors"
	"flag"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestErrorsOfValuesSayWhatIsWanted(t *testing.T) {
	for _, c := range []struct {
		arg, want string
	}{
		{"-wait=yes", `"yes" for -wait: want true or false`},
		{"-every=500", `"500" for flag -every: want a time such as 500ms`},
		{"-top=abc", `"abc" for flag -top: want a whole number`},
		{"-top=99999999999999999999", "want a whole number"},
		{"-fps=fast", `"fast" for flag -fps: want a number`},
		{"-memory=much", `"much" for flag -memory: want a size such as`},
		{"-hold=-1s", `"-1s" for flag -hold: no time before now`},
		{"-own=x", `"x" for flag -own: of its own`},
		{"-wait", ""}, {"-every=5s", ""}, {"-top=3", ""}, {"-fps=2.5", ""},
	} {
		var out, errs bytes.Buffer
		f := Flags("program", "Usage", Streams{Out: &out, Err: &errs})
		f.Bool("wait", false, "")
		f.Duration("every", time.Second, "")
		f.Int("top", 5, "")
		f.Float64("fps", 0, "")
		f.Var(new(Size), "memory", "")
		f.Var(new(hold), "hold", "")
		f.Func("own", "", func(string) error { return errors.New("of its own") })
		_, err := Parse(f, []string{c.arg})
		require.Equal(t, c.want == "", err == nil, c.arg)
		require.Contains(t, errs.String(), c.want)
		require.NotContains(t, errs.String(), "parse error")
		f.VisitAll(func(f *flag.Flag) { _, wrapped := f.Value.(explained); require.False(t, wrapped) })

		_, err = Parse(f, []string{"-h"})
		require.ErrorIs(t, err, flag.ErrHelp)
		require.Contains(t, out.String(), "(default 1s)")
		require.NotContains(t, out.String(), "(default false)", "zero values are no defaults")
	}
}

// hold is a time with errors of its own.
type hold time.Duration

func (h *hold) String() string   { return time.Duration(*h).String() }
func (h *hold) Set(string) error { return errors.New("no time before now") }
func (h *hold) Get() any         { return time.Duration(*h) }
