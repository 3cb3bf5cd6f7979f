package capture

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// csi opens a camera of a Raspberry Pi's camera connectors. Its V4L2 nodes
// give what the sensor sees before any correction, so that the vendor's
// program, which has the libcamera pipeline, does the work.
type csi struct {
	index  int
	o      Options
	listed bool // the camera has been seen
}

// programError is a failure that cost the start of a program.
type programError struct{ error }

func (e *programError) Unwrap() error { return e.error }

// newProgramError says how a program ended, with the last line it wrote.
func newProgramError(program string, err error, line string) error {
	return &programError{fmt.Errorf("%s: %w: %s", program, err, cmp.Or(line, "it did not say why"))}
}

func openCSI(index string, given bool, o Options) (opener, error) {
	n, err := strconv.Atoi(cmp.Or(index, "0"))
	if err != nil || n < 0 || n > 99 || given && index == "" {
		return nil, fmt.Errorf("%w \"csi:%s\": want csi or csi:N, N being 0 or 1", ErrUnknown, index)
	}
	return newCSI(n, o).open, nil
}

func newCSI(index int, o Options) *csi {
	if o.FPS == 0 {
		o.FPS = 30
	}
	// With such widths no board pads lines; the program does not say if one
	// does.
	o.Width = (o.Width + 127) / 128 * 128
	o.Height += o.Height % 2
	return &csi{index: index, o: o}
}

// csiProgram finds the vendor's program, by its present or its former name.
func csiProgram() (string, error) {
	for _, name := range []string{"rpicam-vid", "libcamera-vid"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("neither rpicam-vid nor libcamera-vid is installed: sudo apt install rpicam-apps")
}

// csiCamera is one line of the program's list, with the modes that follow it.
type csiCamera struct {
	index     int
	name, bus string
	sizes     []Size
}

// listCSI asks the program for cameras.
func listCSI(program string) ([]csiCamera, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--list-cameras")
	cmd.WaitDelay = time.Second
	text, err := cmd.CombinedOutput() // versions differ in where the list goes
	if err != nil {
		return nil, newProgramError(program, err, lastLine(text))
	}
	return parseCSI(string(text)), nil
}

func lastLine(text []byte) string {
	text = bytes.TrimSpace(text)
	return string(text[bytes.LastIndexByte(text, '\n')+1:])
}

// parseCSI reads lists like
//
//	0 : imx219 [3280x2464 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx219@10)
//	    Modes: 'SRGGB10_CSI2P' : 640x480 [206.65 fps - (1000, 752)/1280x960 crop]
func parseCSI(text string) []csiCamera {
	camera := regexp.MustCompile(`^\s*(\d+) : (\S+) \[.*\] \((.*)\)`)
	mode := regexp.MustCompile(`(\d+)x(\d+) \[([\d.]+) fps`)
	var list []csiCamera
	for line := range strings.Lines(text) {
		if m := camera.FindStringSubmatch(line); m != nil {
			index, _ := strconv.Atoi(m[1]) // of digits
			list = append(list, csiCamera{index: index, name: m[2], bus: m[3]})
		} else if m := mode.FindStringSubmatch(line); m != nil && len(list) > 0 {
			width, _ := strconv.Atoi(m[1])
			height, _ := strconv.Atoi(m[2])
			fps, _ := strconv.ParseFloat(m[3], 64)
			last := &list[len(list)-1]
			last.sizes = append(last.sizes, Size{Width: width, Height: height, FPS: []float64{fps}})
		}
	}
	return list
}

// find looks for the camera, once: listing takes the program a second.
func (c *csi) find(program string) error {
	if c.listed {
		return nil
	}
	cameras, err := listCSI(program)
	if err != nil {
		return err
	}
	for _, camera := range cameras {
		if camera.index == c.index {
			c.listed = true
			return nil
		}
	}
	return &programError{fmt.Errorf("%s lists %d cameras, none with number %d: check the ribbon cable with the power off",
		program, len(cameras), c.index)}
}

func (c *csi) open() (session, Status, error) {
	program, err := csiProgram()
	if err != nil {
		return nil, Status{}, err
	}
	if err := c.find(program); err != nil {
		return nil, Status{}, err
	}
	layout := Frame{Format: I420, Width: c.o.Width, Height: c.o.Height, Stride: c.o.Width, FullRange: true}
	s, err := startProgram(c.command(program), layout, c.o)
	if err != nil {
		return nil, Status{}, err
	}
	return s, Status{Device: "csi:" + strconv.Itoa(c.index), Format: I420,
		Width: layout.Width, Height: layout.Height, FPS: c.o.FPS}, nil
}

// command writes frames to standard output until it is killed.
func (c *csi) command(program string) *exec.Cmd {
	return exec.Command(program, "-n", "-t", "0", "-v", "0", "--camera", strconv.Itoa(c.index),
		"--codec", "yuv420", "--width", strconv.Itoa(c.o.Width), "--height", strconv.Itoa(c.o.Height),
		"--framerate", strconv.FormatFloat(c.o.FPS, 'f', -1, 64), "--denoise", "cdn_off", "--flush", "-o", "-")
}

// program is a session with a program that writes frames to a pipe.
type program struct {
	pool
	cmd      *exec.Cmd
	out      *os.File
	messages *lineLog
	layout   Frame
	patience time.Duration
	deadline time.Time
}

func startProgram(cmd *exec.Cmd, layout Frame, o Options) (*program, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	p := &program{
		pool: newPool(layout.need()), cmd: cmd, out: out, layout: layout,
		messages: &lineLog{log: o.Log, program: cmd.Path},
		patience: patience(time.Duration(float64(time.Second) / o.FPS)),
		deadline: time.Now().Add(2 * firstPatience), // the program starts, then the sensor
	}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = in, p.messages, time.Second
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		out.Close()
		return nil, err
	}
	return p, nil
}

func (p *program) next() (arrival, error) {
	b := <-p.pool
	err := p.out.SetReadDeadline(p.deadline)
	if err == nil {
		_, err = io.ReadFull(p.out, b.memory)
	}
	if err != nil {
		p.release(b)
		return arrival{}, p.explain(err)
	}
	b.Frame = p.layout
	p.layout.Sequence++
	b.Data, b.Time = b.memory, time.Now() // the pipe does not tell when it was captured
	p.deadline = b.Time.Add(p.patience)
	return arrival{newest: b, frames: 1}, nil
}

// explain says why there was nothing to read.
func (p *program) explain(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%s: %w for %v", p.cmd.Path, errStalled, p.patience)
	case errors.Is(err, os.ErrClosed):
		return errClosed
	}
	return p.end()
}

// end kills the program and what it started, and returns how it ended.
func (p *program) end() error {
	killGroup(p.cmd)
	err := p.cmd.Wait()
	return newProgramError(p.cmd.Path, cmp.Or(err, errors.New("it has ended")), p.messages.lastLine())
}

func (p *program) interrupt() { p.out.Close() }

func (p *program) close() {
	p.out.Close()
	if p.cmd.ProcessState == nil {
		_ = p.end() // that it was killed is no news
	}
}

// lineLog logs what is written to it, line by line.
type lineLog struct {
	log     *slog.Logger
	program string

	mu   sync.Mutex
	part []byte // of a line whose end has not come
	last string
}

// maxLine bounds the lines of a program that does not break them.
const maxLine = 1024

func (l *lineLog) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range text {
		if c != '\n' && len(l.part) < maxLine {
			l.part = append(l.part, c)
			continue
		}
		l.flush()
	}
	return len(text), nil
}

// flush logs a line that is not blank. The caller holds the lock.
func (l *lineLog) flush() {
	if line := strings.TrimSpace(string(l.part)); line != "" {
		l.last = line
		l.log.Warn("camera program says", "program", l.program, "line", line)
	}
	l.part = l.part[:0]
}

// lastLine returns the last line, whole or not.
func (l *lineLog) lastLine() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	return l.last
}
