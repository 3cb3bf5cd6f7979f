package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"edgeclassify/deploy"
	"edgeclassify/internal/cli"
	"edgeclassify/q8"
)

const deployUsage = `Usage: quantize deploy USER@HOST -model FILE.q8 [flags] [flags of edge-classify]

Puts edge-classify and a model on a board and has systemd run them, by your own ssh
(HOST may be an alias of yours, or ssh://USER@HOST:PORT). Called again it updates what
has changed, and goes back to what was there if the service does not start. Both files
pass the board's self-test before they are used. It becomes root there by sudo.

The program for the board is FILE of -binary, out of the release's archive for boards,
or is built where Go and this program's source code are.

All other flags are those of the service, as 'edge-classify -h' explains them; files
that they name are the board's. One whose value begins with - needs the form
-flag=value. Without any, a board keeps its settings.

Examples:
  quantize deploy pi@raspberrypi -model my.q8 -camera auto -http :8080
  quantize deploy pi@raspberrypi -model better.q8
  quantize deploy pi@raspberrypi -model my.q8 -watch "Persian cat" -dry-run`

func deployCommand(ctx context.Context, args []string, s cli.Streams) error {
	f := cli.Flags("quantize deploy", deployUsage, s)
	model := f.String("model", "", "the quantized network, a .q8 `FILE`")
	binary := f.String("binary", "", "the program edge-classify for the board, a `FILE`")
	dryRun := f.Bool("dry-run", false, "print every command and run none")
	own, others := splitFlags(f, args)
	rest, err := cli.Parse(f, own)
	switch {
	case err != nil:
		return err
	case len(rest) != 1:
		return cli.Usagef("want one board, USER@HOST, not %q", rest)
	case *model == "":
		return cli.Usagef("no model given: -model FILE.q8")
	}
	settings, err := deploy.Settings(others)
	if err != nil {
		return cli.Usagef("%v", err)
	}
	file, err := q8.Open(*model) // not to be found out on the board
	if err != nil {
		return err
	}
	file.Close()
	say := func(format string, args ...any) { fmt.Fprintf(s.Out, format+"\n", args...) }
	o := deploy.Options{
		Target: rest[0], Model: *model, Binary: *binary, Settings: settings, DryRun: *dryRun, Say: say,
		Password: askPassword(s, rest[0]),
	}
	shell, err := deploy.NewSSH(o.Target)
	if err != nil {
		return err
	}
	defer shell.Close()
	if *dryRun {
		return deploy.Run(ctx, deploy.DryRun{SSH: shell, To: s.Out}, o)
	}
	return deploy.Run(ctx, shell, o)
}

// splitFlags parts the flags of f, and arguments before all flags, from others. A flag
// of either kind takes the next argument, if that is no flag and it is not bool.
func splitFlags(f *flag.FlagSet, args []string) (own, others []string) {
	to := &own
	for i := 0; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(args[i], "-")
		if isFlag {
			name, _, _ = strings.Cut(strings.TrimPrefix(name, "-"), "=")
			if to = &others; f.Lookup(name) != nil || name == "h" || name == "help" {
				to = &own
			}
		}
		*to = append(*to, args[i])
	}
	return own, others
}

// askPassword asks at the terminal; nil without one.
func askPassword(s cli.Streams, target string) func() (string, error) {
	in, ok := s.In.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	return func() (string, error) {
		fmt.Fprintf(s.Err, "sudo's password on %s: ", target)
		defer io.WriteString(s.Err, "\n")
		password, err := term.ReadPassword(int(in.Fd()))
		if err == nil && len(password) == 0 {
			err = errors.New("no password given")
		}
		return string(password), err
	}
}
