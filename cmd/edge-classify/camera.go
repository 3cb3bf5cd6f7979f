package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"edgeclassify/capture"
	"edgeclassify/classify"
	"edgeclassify/fleet"
	"edgeclassify/internal/board"
	"edgeclassify/internal/cli"
	"edgeclassify/labels"
	"edgeclassify/stream"
)

// halt is how long a frame that is being classified may take when the program
// is to stop. It leaves half a second to say goodbye within cli.Main's patience.
const halt = 300 * time.Millisecond

// runCamera classifies what a camera sees until ctx ends, which is no error.
func runCamera(ctx context.Context, o options, s cli.Streams) error {
	cli.RunsUntilStopped(ctx)
	log := newLog(s.Err)
	// Nearly all of the heap is weights, for ever: it may grow by a tenth before
	// garbage is collected, and need not double.
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	file, _ := os.Stat(o.model) // before it is read
	m, err := o.open(classify.Options{Top: o.top})
	if err != nil {
		return err
	}
	models := newReloader(o, m, log)
	busy := false // still with a frame: what it uses is left to the system
	defer func() {
		if !busy {
			models.close()
		}
	}()
	if err := o.teach.begin(&o, models); err != nil {
		return err
	}
	if err := findAll(models.model.Classes(), o.watch); err != nil {
		return usageError(err)
	}
	if err := o.features.fits(models.model); err != nil {
		return fmt.Errorf("%s: %w", o.model, err)
	}
	camera, err := capture.Open(ctx, o.camera, capture.Options{
		Width: o.size.width, Height: o.size.height, FPS: o.fps, Format: capture.Format(strings.ToUpper(o.format)), Wait: o.wait, Log: log,
		Rpicam: o.rpicam, PasswordFile: o.passwordFile,
		Orientation: o.orientation, Limits: o.limits(),
	})
	switch {
	case ctx.Err() != nil: // asked to stop
		log.Info("stopped")
		return nil
	case err != nil:
		return usageError(err)
	}
	defer func() {
		if !busy {
			camera.Close()
		}
	}()
	running, end := context.WithCancel(ctx)
	models.ended = running.Done()
	out, err := openOutputs(ctx, o, models, s.Out, log)
	if err != nil {
		end()
		return usageError(err)
	}
	defer func() { end(); out.close() }()
	go models.follow(running, file, hangups(s.In))
	out.systemd.Ready()
	smooth, hold := o.steady()
	ended := make(chan error, 1)
	go func() {
		ended <- stream.Run(ctx, camera, stream.NewClassifier(models.model, o.roi), stream.Options{
			Every: o.every, Smooth: smooth, Hold: hold, MinProb: o.minProb, Watch: o.watch, Top: o.top,
			Trigger: out.trigger, Replace: models.replace, Board: readBoard, Log: log,
		}, out.sinks...)
	}()
	busy, err = await(ctx, ended)
	if ctx.Err() != nil { // asked to stop
		log.Info("stopped")
		return nil
	}
	return err
}

// await waits for the end, but once ctx has ended not for long.
func await(ctx context.Context, ended <-chan error) (busy bool, err error) {
	select {
	case err := <-ended:
		return false, err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return false, err
	case <-time.After(halt):
		return true, ctx.Err()
	}
}

// usageError is err as one of the command line, where a flag names something
// that does not exist anywhere.
func usageError(err error) error {
	if errors.Is(err, capture.ErrUnknown) || errors.Is(err, labels.ErrUnknown) {
		return cli.Usagef("%v", err)
	}
	return err
}

func readBoard() board.State { return board.Read(os.DirFS("/")) }

// newLog logs a line each, on a terminal in place of the line that textPrinter
// rewrites.
func newLog(w io.Writer) *slog.Logger {
	terminal := cli.Terminal(w) != nil
	w = cli.Raw(w) // slog quotes what is not printable
	if terminal {
		w = freshLine{w}
	}
	return slog.New(fleet.LogHandler(w, slog.LevelInfo, os.Getenv))
}

// freshLine clears the terminal's line before each write.
type freshLine struct{ io.Writer }

func (f freshLine) Write(b []byte) (int, error) {
	if _, err := io.WriteString(f.Writer, clearLine); err != nil {
		return 0, err
	}
	return f.Writer.Write(b)
}
