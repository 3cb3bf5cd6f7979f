package device

import (
	"context"
	"encoding/json"
	"strings"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/device/internal/guest"
	"edgeclassify/stream"
)

func joined(words []string) string { return strings.Join(words, " ") }

// program is a program that runs in the machine.
type program struct {
	*device
	number int
	next   int      // line to read
	errors []string // lines on standard error
	known  int      // how many of them newErrors has returned

	last stream.Result // that was read
}

// start starts edge-classify.
func (d *device) start(args ...string) *program {
	d.Helper()
	p := &program{device: d}
	d.call("Start", guest.Command{Args: append([]string{"/bin/edge-classify"}, args...)}, &p.number)
	d.Cleanup(func() {
		if d.Failed() {
			p.tellWhere()
			d.Logf("edge-classify %s: standard error:\n%s", joined(args), strings.Join(p.errors, "\n"))
		}
	})
	return p
}

// tellWhere has a program that runs say where it waits, and end.
func (p *program) tellWhere() {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	var done time.Time
	var printed guest.Printed
	for p.machine.Call(ctx, "Signal", guest.Signal{Process: p.number, Number: int(syscall.SIGQUIT)}, &done) == nil && !printed.Exited {
		printed = guest.Printed{}
		if p.machine.Call(ctx, "Tail", guest.Tail{Process: p.number, First: p.next, Wait: 5 * time.Second}, &printed) != nil {
			return
		}
		p.next += len(printed.Lines)
		for _, line := range printed.Lines {
			p.errors = append(p.errors, line.Text)
		}
	}
}

// watch starts edge-classify with a camera, such that each result tells of one
// frame.
func (d *device) watch(camera string, args ...string) *program {
	d.Helper()
	return d.start(append([]string{"-model", modelPath, "-camera", camera, "-json", "-smooth", "0"}, args...)...)
}

// print answers with the lines printed since, once there are some.
func (p *program) print(wait time.Duration) guest.Printed {
	p.Helper()
	var printed guest.Printed
	p.call("Tail", guest.Tail{Process: p.number, First: p.next, Wait: wait}, &printed)
	p.next += len(printed.Lines)
	for _, line := range printed.Lines {
		if line.Error {
			p.errors = append(p.errors, line.Text)
		}
	}
	return printed
}

// output waits for the program to end and returns what it printed on standard
// output.
func (p *program) output(timeout time.Duration) (out string, code int) {
	p.Helper()
	for end := time.Now().Add(timeout); time.Now().Before(end); {
		printed := p.print(time.Second)
		for _, line := range printed.Lines {
			if !line.Error {
				out += line.Text + "\n"
			}
		}
		if printed.Exited && len(printed.Lines) == 0 {
			return out, printed.Code
		}
	}
	require.FailNow(p, "the program does not end", "after %v; printed %s", timeout, out)
	return "", 0
}

// seen is a result and when it was printed, by the machine's clock.
type seen struct {
	stream.Result
	printed time.Time
}

func (s seen) label() string { return s.Top[0].Label }

// results returns those printed since, once there are some. It checks that
// each is of a newer frame than the one before, and that its age is true.
func (p *program) results(wait time.Duration) (all []seen) {
	p.Helper()
	printed := p.print(wait)
	for _, line := range printed.Lines {
		if line.Error || !strings.Contains(line.Text, `"top"`) {
			continue
		}
		r := seen{printed: line.Time}
		require.NoError(p, json.Unmarshal([]byte(line.Text), &r.Result), line.Text)
		require.NotEmpty(p, r.Top, line.Text)
		if !p.last.Time.IsZero() {
			require.Greater(p, r.Sequence, p.last.Sequence)
			require.True(p, r.Time.After(p.last.Time), "captured at %v, the one before at %v", r.Time, p.last.Time)
		}
		age := r.printed.Sub(r.Time)
		require.GreaterOrEqual(p, age.Seconds()*1000+1, r.AgeMS, "older than when it was printed")
		p.last = r.Result
		all = append(all, r)
	}
	require.False(p, printed.Exited, "the program ended, code %d: %s", printed.Code, strings.Join(p.errors, "\n"))
	return all
}

// newErrors is what has come on standard error since it was last asked for.
func (p *program) newErrors() string {
	text := strings.Join(p.errors[p.known:], "\n")
	p.known = len(p.errors)
	return text
}

// until reads results until one is as wanted, and returns it.
func (p *program) until(timeout time.Duration, what string, wanted func(seen) bool) seen {
	p.Helper()
	for end := time.Now().Add(timeout); time.Now().Before(end); {
		for _, r := range p.results(time.Second) {
			if wanted(r) {
				return r
			}
		}
	}
	require.FailNow(p, "no result that is "+what, "after %v; the last one: %+v; standard error:\n%s", timeout, p.last, strings.Join(p.errors, "\n"))
	return seen{}
}

// eventually waits for a condition, and reads results in the meantime.
func (p *program) eventually(timeout time.Duration, what string, holds func() bool) {
	p.Helper()
	for end := time.Now().Add(timeout); !holds(); p.results(50 * time.Millisecond) {
		require.True(p, time.Now().Before(end), "not within %v: %s", timeout, what)
	}
}

// from waits for the first result of a frame captured after a time.
func (p *program) from(after time.Time, timeout time.Duration) seen {
	p.Helper()
	return p.until(timeout, "of a frame after "+after.String(), func(r seen) bool { return r.Time.After(after) })
}

// count reads results until there are n more.
func (p *program) count(n int, timeout time.Duration) (all []seen) {
	p.Helper()
	p.until(timeout, "one of many", func(r seen) bool { all = append(all, r); return len(all) >= n })
	return all
}

// stop ends the program as systemd does, and returns its exit code and the
// time that it took.
func (p *program) stop() (code int, took time.Duration) {
	p.Helper()
	start := time.Now()
	p.at("Signal", guest.Signal{Process: p.number, Number: int(syscall.SIGTERM)})
	_, code = p.output(callTime)
	return code, time.Since(start)
}

// usage is what the program holds.
func (p *program) usage() (u guest.Usage) {
	p.Helper()
	p.call("Usage", p.number, &u)
	return u
}

// resumeTime is how soon there must be results after a fault has gone, and what else
// should come at once, on a busy host.
const resumeTime = 20 * time.Second

// resumes waits for results of frames captured after a time. They must come
// soon, and show nothing but what the camera sees since then. It returns how
// soon they came.
func (p *program) resumes(after time.Time, label string) time.Duration {
	p.Helper()
	r := p.from(after, callTime)
	took := r.printed.Sub(after)
	require.Equal(p, label, r.label(), "an old frame, or a wrong one")
	require.Less(p, took, resumeTime)
	for _, r := range p.count(5, callTime) {
		require.Equal(p, label, r.label(), "an old frame, or a wrong one")
	}
	return took
}
