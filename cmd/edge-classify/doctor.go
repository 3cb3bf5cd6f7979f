package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"edgeclassify/capture"
	"edgeclassify/internal/cli"
	"edgeclassify/runtime"
)

const doctorUsage = `Usage: edge-classify doctor [-model FILE.q8] [-teach DIR] [-camera SPEC] [-json]

Finds out why it is slow, or wrong. Looks at the processor and the kernel picked
for it, clock, governor, temperature, throttling, memory and cameras; with
-model at the file's checksum, the speed, and the answer to a picture that
the file carries, which must be right to the bit; with -teach at what was taught
there; with -camera at the frames that this camera gives.

Each check is ok, warn or fail, and says what to do. With -json one object is
printed: ok, and checks (check, status, found, advice).

Exit codes: 0 nothing failed; 1 something failed; 2 wrong usage.`

// Status of a check.
const (
	statusOK   = "ok"
	statusWarn = "warn"
	statusFail = "fail"
)

// check is what the doctor found.
type check struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"`
}

func fine(name, found string) check            { return check{name, statusOK, found, ""} }
func warning(name, found, advice string) check { return check{name, statusWarn, found, advice} }
func failure(name, found, advice string) check { return check{name, statusFail, found, advice} }

// diagnosis is what the subcommand doctor prints.
type diagnosis struct {
	OK     bool    `json:"ok"`
	Checks []check `json:"checks"`
}

func (d *diagnosis) add(checks ...check) {
	for _, c := range checks {
		d.OK = d.OK && c.Status != statusFail
		d.Checks = append(d.Checks, c)
	}
}

func runDoctor(ctx context.Context, args []string, s cli.Streams) error {
	f := cli.Flags("edge-classify doctor", doctorUsage, s)
	var e engine
	e.flags(f)
	var camera cameraOptions
	camera.source(f)
	camera.teach.flags(f)
	asJSON := f.Bool("json", false, "print one JSON object")
	rest, err := cli.Parse(f, args)
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return cli.Usagef("doctor takes no arguments, found %q", rest[0])
	case e.threads < 1 || e.threads > runtime.MaxThreads:
		return cli.Usagef("-threads %d: want 1 to %d", e.threads, runtime.MaxThreads)
	}
	d := diagnosis{OK: true}
	root := os.DirFS("/")
	d.add(checkProgram(), checkProcessor(root), checkKernel(e.kernel))
	if e.model != "" {
		d.add(checkModel(ctx, &e)...)
	}
	if camera.teach.dir != "" {
		d.add(checkTaught(camera.teach.dir, e))
	}
	d.add(checkMachine(root)...)
	d.add(checkCameras()...)
	if camera.camera != "" {
		d.add(checkFrames(ctx, camera.camera, capture.Options{Rpicam: camera.rpicam, PasswordFile: camera.passwordFile}))
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := d.print(s.Out, *asJSON); err != nil {
		return err
	}
	if !d.OK {
		return cli.ErrReported
	}
	return nil
}

// print writes the diagnosis for machines or for people.
func (d *diagnosis) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(d)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range d.Checks {
		fmt.Fprintf(t, "%s\t%s\t%s\n", c.Status, c.Check, c.Found)
		if c.Advice != "" {
			fmt.Fprintf(t, "\t\t-> %s\n", c.Advice)
		}
	}
	return t.Flush()
}
