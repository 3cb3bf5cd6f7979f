// Package cli is what the programs share at their edge: exit codes, flags,
// signals and progress bars.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"edgeclassify/internal/printable"
)

// Version of the programs: the tag or the revision of the sources, from the build
// information; "devel" where that has none.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return strings.TrimPrefix(info.Main.Version, "v")
}

// Exit codes of all programs.
const (
	ExitOK      = 0
	ExitFailure = 1 // something could not be done; standard error says what
	ExitUsage   = 2 // the command line makes no sense
	ExitPoor    = 3 // the outcome is not fit for use
)

// Streams are a program's standard streams.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// ErrReported is returned by a program that has already told what went wrong.
var ErrReported = errors.New("already reported")

// ErrPoor is wrapped by the error of a program whose outcome is not fit for use.
var ErrPoor = errors.New("not fit for use")

type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// Usagef is an error in the command line.
func Usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// Section is flags that the help lists under a title of their own.
type Section struct {
	Title string
	Flags []string // names
}

// Flags returns a flag set whose help is usage followed by the flags, those of
// sections behind all others.
func Flags(name, usage string, s Streams, sections ...Section) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(s.Err)
	f.Usage = func() {
		fmt.Fprintln(s.Out, usage)
		var named []string
		for _, section := range sections {
			named = append(named, section.Flags...)
		}
		printFlags(s.Out, f, "Flags", func(name string) bool { return !slices.Contains(named, name) })
		for _, section := range sections {
			printFlags(s.Out, f, section.Title, func(name string) bool { return slices.Contains(section.Flags, name) })
		}
	}
	return f
}

// printFlags prints the flags of some names.
func printFlags(w io.Writer, all *flag.FlagSet, title string, of func(name string) bool) {
	part := flag.NewFlagSet("", flag.ContinueOnError)
	part.SetOutput(w)
	all.VisitAll(func(f *flag.Flag) {
		if of(f.Name) {
			part.Var(f.Value, f.Name, f.Usage)
			part.Lookup(f.Name).DefValue = f.DefValue
		}
	})
	fmt.Fprintf(w, "\n%s:\n", title)
	part.PrintDefaults()
}

// Parse parses flags that may stand before, between and behind the arguments,
// and returns the arguments.
func Parse(f *flag.FlagSet, args []string) (rest []string, err error) {
	help := f.Usage
	f.Usage = func() {} // a wrong flag is worth a line, not all the help
	plain := explain(f)
	defer func() {
		plain()
		f.Usage = help
		if errors.Is(err, flag.ErrHelp) {
			help()
		}
	}()
	for {
		if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, usageError{""} // the flag set has told what is wrong
		}
		args = f.Args()
		if len(args) == 0 {
			return rest, nil
		}
		rest, args = append(rest, args[0]), args[1:]
	}
}

// Main runs a program and returns its exit code. At the first SIGINT or SIGTERM
// ctx ends, and the program has patience to stop by itself before it is left as it
// is; at the second it has none.
func Main(name string, run func(ctx context.Context, args []string, s Streams) error) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	ctx, stop := context.WithCancel(context.WithValue(context.Background(), stopKey{}, new(atomic.Bool)))
	defer stop()
	ended := make(chan int, 1)
	go func() { ended <- Run(ctx, name, os.Args[1:], Streams{os.Stdin, os.Stdout, os.Stderr}, run) }()
	select {
	case code := <-ended:
		return code
	case <-signals:
		stop()
	}
	select {
	case code := <-ended:
		return code
	case <-signals:
	case <-time.After(patience):
	}
	fmt.Fprintf(os.Stderr, "%s: interrupted\n", name)
	if ok, _ := ctx.Value(stopKey{}).(*atomic.Bool); ok.Load() {
		return ExitOK
	}
	return ExitFailure
}

// patience leaves some of the second in which users and systems expect a program
// to end.
const patience = 900 * time.Millisecond

type stopKey struct{} // of an *atomic.Bool: whether to be stopped is no failure

// RunsUntilStopped says that ctx's program has no other end than to be interrupted,
// which is no failure then.
func RunsUntilStopped(ctx context.Context) {
	if ok, found := ctx.Value(stopKey{}).(*atomic.Bool); found {
		ok.Store(true)
	}
}

// Run runs a program with the given arguments and streams, reports its error
// and returns the exit code. What the program prints is printable, and JSON means
// what it does without that.
func Run(ctx context.Context, name string, args []string, s Streams, run func(ctx context.Context, args []string, s Streams) error) int {
	s.Out, s.Err = printable.Writer{Raw: s.Out}, printable.Writer{Raw: s.Err}
	err := run(ctx, args, s)
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return ExitOK
	case errors.Is(err, ErrReported):
		return ExitFailure
	case errors.As(err, &usage):
		if usage.text != "" {
			fmt.Fprintf(s.Err, "%s: %v\n", name, err)
		}
		fmt.Fprintf(s.Err, "Run '%s -h' for help.\n", name)
		return ExitUsage
	case errors.Is(err, ErrPoor):
		fmt.Fprintf(s.Err, "%s: %v\n", name, err)
		return ExitPoor
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintf(s.Err, "%s: interrupted\n", name)
		return ExitFailure
	default:
		fmt.Fprintf(s.Err, "%s: %v\n", name, err)
		return ExitFailure
	}
}

// Raw is the stream itself behind one that Run gives a program: what is written
// to it must be printable.
func Raw(w io.Writer) io.Writer {
	if p, ok := w.(printable.Writer); ok {
		return p.Raw
	}
	return w
}

// Terminal is the terminal that a stream is, as by Raw; nil if it is none.
func Terminal(w io.Writer) *os.File {
	if file, ok := Raw(w).(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return file
	}
	return nil
}

// Progress shows a bar for work of any number of steps on w, if that is a
// terminal. It returns the function that moves the bar and the one that ends
// it.
func Progress(w io.Writer, label string, bytes bool) (move func(done, total int64), end func()) {
	file := Terminal(w)
	if file == nil {
		return func(int64, int64) {}, func() {}
	}
	bar := progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(file), progressbar.OptionSetDescription(printable.Text(label)),
		progressbar.OptionShowBytes(bytes), progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(),
		// No goroutine that redraws by itself: a benchmark would measure it.
		progressbar.OptionSetSpinnerChangeInterval(0))
	// A bar that cannot be drawn is no reason to stop the work.
	move = func(done, total int64) {
		if total > 0 && bar.GetMax64() != total {
			bar.ChangeMax64(total)
		}
		_ = bar.Set64(done)
	}
	return move, func() { _ = bar.Finish(); fmt.Fprintln(w) }
}
