package cli_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/cli"
)

func TestExitCodes(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		ctx  context.Context
		err  error
		code int
		want string
	}{
		{context.Background(), nil, cli.ExitOK, ""},
		{context.Background(), flag.ErrHelp, cli.ExitOK, ""},
		{context.Background(), cli.ErrReported, cli.ExitFailure, ""},
		{context.Background(), errors.New("no disk"), cli.ExitFailure, "p: no disk\n"},
		{context.Background(), cli.Usagef("no %s", "flag"), cli.ExitUsage, "p: no flag\nRun 'p -h' for help.\n"},
		{context.Background(), fmt.Errorf("m.q8: %w", cli.ErrPoor), cli.ExitPoor, "p: m.q8: not fit for use\n"},
		{ended, fmt.Errorf("at work: %w", context.Canceled), cli.ExitFailure, "p: interrupted\n"},
		{context.Background(), context.Canceled, cli.ExitFailure, "p: context canceled\n"},
	} {
		var out, errs bytes.Buffer
		code := cli.Run(c.ctx, "p", nil, cli.Streams{Out: &out, Err: &errs}, func(context.Context, []string, cli.Streams) error { return c.err })
		require.Equal(t, c.code, code, "%v", c.err)
		require.Equal(t, c.want, errs.String())
		require.Empty(t, out.String())
	}
}

func TestHelpHasSections(t *testing.T) {
	var out bytes.Buffer
	f := cli.Flags("p", "Usage: p", cli.Streams{Out: &out, Err: &out}, cli.Section{Title: "Tuning", Flags: []string{"depth", "force"}})
	f.Int("depth", 7, "go `N` deep")
	f.Bool("force", false, "do it")
	f.String("model", "", "the `FILE`")
	_, err := cli.Parse(f, []string{"-depth", "9", "-h"})
	require.ErrorIs(t, err, flag.ErrHelp)
	require.Equal(t, "Usage: p\n\nFlags:\n  -model FILE\n    \tthe FILE\n\nTuning:\n  -depth N\n    \tgo N deep (default 7)\n  -force\n    \tdo it\n", out.String())
}

// With the module's version or the revision that Go knows; a test binary has none.
func TestVersion(t *testing.T) {
	require.Equal(t, "devel", cli.Version())
}
