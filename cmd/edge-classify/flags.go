package main

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"edgeclassify/internal/cli"
)

// cameraOptions are of use with -camera only.
type cameraOptions struct {
	camera  string
	size    size
	format  string
	fps     float64
	wait    bool
	every   time.Duration
	smooth  float64
	minProb float64
	watch   list

	http, token, tokenFile                string
	mqtt, mqttPasswordFile, mqttAuthority string
	mqttPictures                          time.Duration
	trigger, display                      string
	leds                                  repeated
}

func (o *cameraOptions) flags(f *flag.FlagSet) {
	o.size = size{640, 480}
	f.StringVar(&o.camera, "camera", "", "classify what a camera sees: `SPEC` is auto, usb[:/dev/videoN], csi[:N], test or file:DIR")
	f.Var(&o.size, "size", "ask the camera for frames of `WxH` pixels")
	f.StringVar(&o.format, "format", "", "ask a USB camera for `F`: yuyv, nv12, i420 or mjpeg, instead of what costs least")
	f.Float64Var(&o.fps, "fps", 0, "ask the camera for `N` frames a second; 0 leaves it to the camera")
	f.BoolVar(&o.wait, "wait", false, "wait for a camera that is missing or busy at the start, as for one that is unplugged later")
	f.DurationVar(&o.every, "every", 0, "classify a frame every `TIME`, such as 500ms; 0 is as fast as can be")
	f.Float64Var(&o.smooth, "smooth", 0.5, "weight `W` of the past in probabilities, 0 (none) to below 1")
	f.Float64Var(&o.minProb, "min-prob", 0.5, "be sure of labels from probability `P` on, until it is below 0.8 times P")
	f.Var(&o.watch, "watch", "tell when one of `LABEL[,LABEL]` comes into view and when it leaves")
	f.StringVar(&o.http, "http", "", "show a live page at `ADDR`: PORT for this machine only, :PORT for the network")
	f.StringVar(&o.token, "token", "", "ask viewers of the page for the token `T`")
	f.StringVar(&o.tokenFile, "token-file", "", "read the token from `FILE`, which does not show in the list of processes")
	f.StringVar(&o.mqtt, "mqtt", "", "publish to the broker at `URL`, mqtt[s]://[USER[:PASSWORD]@]HOST[:PORT][/ID]")
	f.StringVar(&o.mqttPasswordFile, "mqtt-password-file", "", "read the broker's password from `FILE`")
	f.StringVar(&o.mqttAuthority, "mqtt-ca", "", "trust the certificate authorities in `FILE` instead of the system's")
	f.DurationVar(&o.mqttPictures, "mqtt-pictures", time.Minute, "publish a picture every `TIME` at most; 0 publishes none")
	f.StringVar(&o.trigger, "trigger", "", "classify only when `PIN[:rising]` has an edge: falling, as of a button to ground, or rising")
	f.Var(&o.leds, "led", "switch a pin on while a label is seen: `PIN=LABEL[:P]`; P is 0.5 by default; may be repeated")
	f.StringVar(&o.display, "display", "", "show the label on a `DISPLAY`, ssd1306[-128x32][@i2c-1:0x3c]")
}

// check finds values that make no sense.
func (o *cameraOptions) check() error {
	switch {
	case !(o.fps >= 0 && o.fps <= 1000):
		return cli.Usagef("-fps %v: want 0 to 1000", o.fps)
	case o.every < 0:
		return cli.Usagef("-every %v: want 0 or more", o.every)
	case !(o.smooth >= 0 && o.smooth < 1):
		return cli.Usagef("-smooth %v: want 0 to below 1", o.smooth)
	case !(o.minProb >= 0 && o.minProb <= 1):
		return cli.Usagef("-min-prob %v: want 0 to 1", o.minProb)
	case o.token != "" && o.tokenFile != "":
		return cli.Usagef("-token and -token-file exclude each other")
	case o.http == "" && (o.token != "" || o.tokenFile != ""):
		return cli.Usagef("a token is of use with -http only")
	case o.mqtt == "" && (o.mqttPasswordFile != "" || o.mqttAuthority != ""):
		return cli.Usagef("-mqtt-password-file and -mqtt-ca are of use with -mqtt only")
	case o.mqttPictures < 0:
		return cli.Usagef("-mqtt-pictures %v: want 0 or more", o.mqttPictures)
	}
	return nil
}

// onlyForCamera names the flags that were given and need -camera.
func onlyForCamera(f *flag.FlagSet) string {
	camera := flag.NewFlagSet("", flag.ContinueOnError)
	new(cameraOptions).flags(camera)
	var names []string
	f.Visit(func(given *flag.Flag) {
		if camera.Lookup(given.Name) != nil {
			names = append(names, "-"+given.Name)
		}
	})
	return strings.Join(names, ", ")
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

// repeated is a flag that may be given several times.
type repeated []string

func (r *repeated) String() string { return strings.Join(*r, " ") }

func (r *repeated) Set(text string) error {
	*r = append(*r, text)
	return nil
}
