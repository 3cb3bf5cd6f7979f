package capture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"edgeclassify/internal/procgroup"
	"edgeclassify/internal/shellwords"
)

const listPatience = 10 * time.Second // for the list of cameras

// csi opens a camera of a Raspberry Pi's camera connectors. Its V4L2 nodes
// give what the sensor sees before any correction, so that the vendor's
// program, which has the libcamera pipeline, does the work.
type csi struct {
	index    int
	o        Options
	extra    []string // of Options.Rpicam
	messages messages
	listed   bool // the camera has been seen
}

func openCSI(index string, o Options) (opener, error) {
	n, err := strconv.Atoi(cmp.Or(index, "0"))
	if err != nil || n < 0 || n > 99 {
		return nil, fmt.Errorf("%w \"csi:%s\": want csi or csi:N, N being 0 or 1", ErrUnknown, index)
	}
	c, err := newCSI(n, o)
	if err != nil {
		return nil, err
	}
	return c.open, nil
}

func newCSI(index int, o Options) (*csi, error) {
	extra, err := rpicamOptions(o.Rpicam)
	if o.FPS == 0 {
		o.FPS = 30
	}
	// With such widths no board pads lines; the program does not say if one
	// does.
	o.Width = (o.Width + 127) / 128 * 128
	o.Height += o.Height % 2
	return &csi{index: index, o: o, extra: extra, messages: messages{log: o.Log}}, err
}

// fixed are the options of the program that decide what comes out of the pipe,
// or that Options have fields for, and what to use instead.
var fixed = map[string]string{
	"output": "", "codec": "", "timeout": "", "flush": "", "segment": "", "split": "", "circular": "", "frames": "",
	"libav-format": "", "libav-audio": "", "save-pts": "", "metadata": "", "config": "", "signal": "", "keypress": "",
	"initial": "", "list-cameras": "", "help": "", "version": "", "verbose": "", "nopreview": "", "preview": "",
	"fullscreen": "", "qt-preview": "", "width": "-size", "height": "-size", "framerate": "-fps", "camera": "-camera csi:N",
}

// short are the one-letter names of fixed options.
var short = map[byte]string{'o': "output", 't': "timeout", 'c': "config", 'k': "keypress", 's': "signal", 'i': "initial",
	'h': "help", 'v': "verbose", 'n': "nopreview", 'p': "preview", 'f': "fullscreen"}

// rpicamOptions splits options for the program, and refuses those that would
// break the pipe. The program takes the beginning of a name, too.
func rpicamOptions(line string) ([]string, error) {
	words, err := shellwords.Split(line)
	if err != nil {
		return nil, fmt.Errorf("options for rpicam-vid: %w", err)
	}
	for i, word := range words {
		name, isLong := strings.CutPrefix(word, "--")
		if name, _, _ = strings.Cut(name, "="); !isLong {
			if _, err := strconv.ParseFloat(word, 64); err == nil || len(word) < 2 || word[0] != '-' {
				if i == 0 {
					return nil, fmt.Errorf("options for rpicam-vid: %q: want an option, such as --autofocus-mode", word)
				}
				continue // an option's value
			}
			name = short[word[1]]
		}
		for full, instead := range fixed {
			switch {
			case name == "" || !strings.HasPrefix(full, name):
			case instead != "":
				return nil, fmt.Errorf("options for rpicam-vid: %s: use %s", word, instead)
			default:
				return nil, fmt.Errorf("options for rpicam-vid: %s would break the pipe that frames come through", word)
			}
		}
	}
	return words, nil
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
func listCSI(ctx context.Context, program string) ([]csiCamera, error) {
	ctx, cancel := context.WithTimeout(ctx, listPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--list-cameras")
	procgroup.Own(cmd)
	cmd.Cancel = func() error { procgroup.Kill(cmd); return nil }
	cmd.WaitDelay = time.Second
	text, err := cmd.CombinedOutput() // versions differ in where the list goes
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, &costly{fmt.Errorf("%s --list-cameras hangs: no answer for %v: another program may hold a camera "+
			"(sudo fuser -v /dev/media*), or its driver hangs (dmesg | tail), until the board is restarted", program, listPatience)}
	case err != nil:
		said := messages{log: slog.New(slog.DiscardHandler), program: program}
		_, _ = said.Write(text) // into memory
		return nil, &costly{said.explain(err)}
	}
	return parseCSI(string(text)), nil
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
func (c *csi) find(ctx context.Context, program string) error {
	if c.listed {
		return nil
	}
	cameras, err := listCSI(ctx, program)
	if err != nil {
		return err
	}
	there := make([]string, len(cameras))
	for i, camera := range cameras {
		there[i] = fmt.Sprintf("csi:%d (%s)", camera.index, camera.name)
		c.listed = c.listed || camera.index == c.index
	}
	switch {
	case c.listed:
		return nil
	case len(cameras) == 0:
		return &costly{fmt.Errorf("%s finds no camera: check the ribbon cable with the power off", program)}
	}
	return &costly{fmt.Errorf("no camera csi:%d: there is %s; if one is missing check its ribbon cable with the power off",
		c.index, strings.Join(there, " and "))}
}

func (c *csi) open(ctx context.Context) (session, Status, error) {
	program, err := csiProgram()
	if err != nil {
		return nil, Status{}, err
	}
	if err := c.find(ctx, program); err != nil {
		return nil, Status{}, err
	}
	c.messages.program = program
	layout := Frame{Format: I420, Width: c.o.Width, Height: c.o.Height, Stride: c.o.Width, FullRange: true}
	return runProgram(ctx, c.command(program), &c.messages,
		content{device: "csi:" + strconv.Itoa(c.index), layout: layout, fps: c.o.FPS, steady: true})
}

// command writes frames to standard output until it is killed.
func (c *csi) command(program string) *exec.Cmd {
	args := []string{"-n", "-t", "0", "-v", "0", "--camera", strconv.Itoa(c.index),
		"--codec", "yuv420", "--width", strconv.Itoa(c.o.Width), "--height", strconv.Itoa(c.o.Height),
		"--framerate", strconv.FormatFloat(c.o.FPS, 'f', -1, 64)}
	if !slices.ContainsFunc(c.extra, func(word string) bool { return strings.HasPrefix(word, "--denoise") }) {
		args = append(args, "--denoise", "cdn_off")
	}
	return exec.Command(program, append(append(args, c.extra...), "--flush", "-o", "-")...)
}
