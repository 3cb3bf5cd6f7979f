package capture

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"edgeclassify/internal/shellwords"
)

// openExec opens what any program writes to standard output: raw I420 frames of
// the wanted size, or JPEG files.
func openExec(line string, o Options) (opener, error) {
	words, err := shellwords.Split(line)
	if err == nil && len(words) == 0 {
		err = errors.New("want a program")
	}
	if err != nil {
		return nil, fmt.Errorf("%w exec: %w", ErrUnknown, err)
	}
	if o.Width%2 != 0 || o.Height%2 != 0 {
		return nil, fmt.Errorf("exec: size %dx%d: want even numbers", o.Width, o.Height)
	}
	layout := Frame{Format: I420, Width: o.Width, Height: o.Height, Stride: o.Width}
	m := &messages{log: o.Log, program: words[0]}
	return func(ctx context.Context) (session, Status, error) {
		if _, err := exec.LookPath(words[0]); err != nil {
			return nil, Status{}, fmt.Errorf("exec: %w", err)
		}
		return runProgram(ctx, exec.Command(words[0], words[1:]...), m,
			content{device: shownCommand("exec:" + line), coding: anyBytes, layout: layout, fps: o.FPS})
	}, nil
}

// shownCommand is what may be shown of a command: arguments may hold passwords.
func shownCommand(spec string) string {
	words, _ := shellwords.Split(strings.TrimPrefix(spec, "exec:"))
	if len(words) == 0 {
		return "exec"
	}
	return "exec:" + filepath.Base(words[0])
}
