package main

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"edgeclassify/capture"
	"edgeclassify/internal/cli"
)

// cameraOptions are of use with -camera only.
type cameraOptions struct {
	camera  string
	rpicam  string
	size    size
	format  string
	fps     float64
	wait    bool
	every   time.Duration
	smooth  time.Duration
	hold    time.Duration
	minProb float64
	watch   list

	passwordFile string

	pins    pinOptions
	teach   teachOptions
	page    pageOptions
	broker  brokerOptions
	events  eventOptions
	service serviceOptions
}

func (o *cameraOptions) flags(f *flag.FlagSet) {
	o.size = size{640, 480}
	o.source(f)
	f.Var(&o.size, "size", "ask the camera for frames of `WxH` pixels")
	f.StringVar(&o.format, "format", "", "ask a USB camera for `F`: yuyv, nv12, i420 or mjpeg, instead of what costs least")
	f.Float64Var(&o.fps, "fps", 0, "ask the camera for `N` frames a second; 0 leaves it to the camera")
	f.BoolVar(&o.wait, "wait", false, "wait for a camera that is missing or busy at the start, as for one that is unplugged later")
	f.DurationVar(&o.every, "every", 0, "classify a frame every `TIME`, such as 500ms; 0 is as fast as can be")
	f.DurationVar(&o.smooth, "smooth", 150*time.Millisecond, "smooth probabilities: `TIME` after which the past weighs 1/e; 0 is none, as always of file: and with -trigger")
	f.DurationVar(&o.hold, "hold", 300*time.Millisecond, "tell of -watch and switch -led once no result has said otherwise for `TIME`; 0 as with -smooth")
	f.Float64Var(&o.minProb, "min-prob", 0.5, "be sure of labels from probability `P` on, until it is below 0.8 times P")
	f.Var(&o.watch, "watch", "tell when one of `LABEL[,LABEL]` comes into view and when it leaves")
	for _, out := range o.outputs() {
		out.flags(f)
	}
}

// source defines the flags that say which camera, and how it is opened.
func (o *cameraOptions) source(f *flag.FlagSet) {
	f.StringVar(&o.camera, "camera", "", "classify what a camera sees: `SPEC` is "+capture.Forms())
	f.StringVar(&o.passwordFile, "camera-password-file", "", "log in to a camera in the network by the line USER:PASSWORD of `FILE`, which does not show in the list of processes")
	f.StringVar(&o.rpicam, "rpicam", "", "pass `OPTIONS` to rpicam-vid, such as '--autofocus-mode manual --lens-position 2.5', for a CSI camera")
}

// outputs are the places where results go, beside standard output.
func (o *cameraOptions) outputs() []output {
	return []output{&o.teach, &o.pins, &o.page, &o.broker, &o.events, &o.service}
}

// interval is the least time between two results, as asked for.
func (o *cameraOptions) interval() time.Duration {
	if o.fps > 0 {
		return max(o.every, time.Duration(float64(time.Second)/o.fps))
	}
	return o.every
}

// steady is how long results are smoothed for and must agree for: not at all where
// each picture stands for itself.
func (o *cameraOptions) steady() (smooth, hold time.Duration) {
	if o.pins.trigger != "" || strings.HasPrefix(o.camera, "file:") {
		return 0, 0
	}
	return o.smooth, o.hold
}

// check finds values that make no sense.
func (o *cameraOptions) check() error {
	switch {
	case !(o.fps >= 0 && o.fps <= 1000):
		return cli.Usagef("-fps %v: want 0 to 1000", o.fps)
	case o.every < 0:
		return cli.Usagef("-every %v: want 0 or more", o.every)
	case o.smooth < 0:
		return cli.Usagef("-smooth %v: want 0 or more, such as 150ms", o.smooth)
	case o.hold < 0:
		return cli.Usagef("-hold %v: want 0 or more, such as 300ms", o.hold)
	case !(o.minProb >= 0 && o.minProb <= 1):
		return cli.Usagef("-min-prob %v: want 0 to 1", o.minProb)
	case o.events.given() && len(o.watch) == 0:
		return cli.Usagef("-save and -exec are of use with -watch only, whose labels make events")
	case o.teach.dir != "" && o.page.http == "":
		return cli.Usagef("-teach is of use with -http only, on whose page one teaches")
	}
	for _, out := range o.outputs() {
		if err := out.check(); err != nil {
			return err
		}
	}
	return nil
}

// onlyForCamera names the flags that were given and need -camera.
func onlyForCamera(f *flag.FlagSet) string {
	camera := namesOf(new(cameraOptions).flags)
	var names []string
	f.Visit(func(given *flag.Flag) {
		if slices.Contains(camera, given.Name) {
			names = append(names, "-"+given.Name)
		}
	})
	return strings.Join(names, ", ")
}

// sections are the camera's flags for the help, each output's under its title.
func sections() []cli.Section {
	var o cameraOptions
	var list []cli.Section
	others := namesOf(o.flags)
	for _, out := range o.outputs() {
		names := namesOf(out.flags)
		if len(names) == 0 {
			continue
		}
		list = append(list, cli.Section{Title: out.title(), Flags: names})
		others = slices.DeleteFunc(others, func(name string) bool { return slices.Contains(names, name) })
	}
	return slices.Insert(list, 0, cli.Section{Title: "Cameras", Flags: others})
}

// namesOf are the flags that define defines.
func namesOf(define func(*flag.FlagSet)) (names []string) {
	f := flag.NewFlagSet("", flag.ContinueOnError)
	define(f)
	f.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	return names
}

// size is the flag value WxH.
type size struct{ width, height int }

const maxSide = 16384 // pixels

func (s *size) String() string { return fmt.Sprintf("%dx%d", s.width, s.height) }

func (s *size) Set(text string) error {
	w, h, _ := strings.Cut(strings.ToLower(text), "x")
	width, werr := strconv.Atoi(w)
	height, herr := strconv.Atoi(h)
	if werr != nil || herr != nil || min(width, height) < 1 || max(width, height) > maxSide {
		return fmt.Errorf("want WIDTHxHEIGHT, such as 640x480, of at most %d", maxSide)
	}
	s.width, s.height = width, height
	return nil
}

// list is the flag value A,B,C.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(text string) error {
	*l = nil
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			*l = append(*l, item)
		}
	}
	if len(*l) == 0 {
		return fmt.Errorf("the list is empty")
	}
	return nil
}

// Get tells package config that the list is one value.
func (l *list) Get() any { return l.String() }
