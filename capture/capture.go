// Package capture takes frames from cameras and goes on doing so: USB cameras
// through V4L2, CSI cameras of a Raspberry Pi through the vendor's program,
// cameras in the network by HTTP or, through FFmpeg, RTSP, and for trials a
// synthetic picture or a folder of photographs.
//
// The latest frame wins: a camera is drained all the time, and Next returns
// the newest frame there is. A camera that stalls, fails or is unplugged is
// opened again until it works.
package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"edgeclassify/preprocess"
)

// Options are wishes; Status says what the camera agreed to.
type Options struct {
	Width, Height int                    // default 640x480; of what the camera sends, before it is turned
	FPS           float64                // default 30; for photographs 1
	Format        Format                 // of USB cameras; "" takes what costs least
	Limits        preprocess.Limits      // on what decoding a JPEG file takes
	Orientation   preprocess.Orientation // how the camera hangs: frames are to be turned so
	Wait          bool                   // Open does not fail where a camera is missing or busy: Next waits for it
	Rpicam        string                 // options for rpicam-vid, of CSI cameras, quoted as for a shell
	PasswordFile  string                 // a file with USER:PASSWORD, of cameras in the network that ask for it
	Log           *slog.Logger
}

// withDefaults fills in what is not given.
func (o Options) withDefaults() (Options, error) {
	if o.Width == 0 && o.Height == 0 {
		o.Width, o.Height = 640, 480
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case min(o.Width, o.Height) < preprocess.MinSide || max(o.Width, o.Height) > 16384:
		return o, fmt.Errorf("capture: size %dx%d: want %d to 16384 pixels each way", o.Width, o.Height, preprocess.MinSide)
	case o.Format != "" && !slices.Contains(Formats(), o.Format):
		return o, fmt.Errorf("capture: unknown format %q: want one of %v", o.Format, Formats())
	case !(o.FPS >= 0 && o.FPS <= 1000):
		return o, fmt.Errorf("capture: %v frames per second: want 0 (the default) to 1000", o.FPS)
	}
	return o, nil
}

// ErrUnknown is for cameras that Open has no name for.
var ErrUnknown = errors.New("unknown camera")

// kind is a kind of camera, with a file of its own.
type kind struct {
	schemes  []string // what the name begins with, up to a colon
	form     string   // of the name
	argument bool     // the name goes on behind the colon: true must, false must not, if not optional
	optional bool
	format   bool // Options.Format is of use,
	rpicam   bool // Options.Rpicam,
	password bool // and Options.PasswordFile
	open     func(argument string, o Options) (opener, error)
	shown    func(argument string) string // the name without secrets; nil: it has none
}

// kinds lists what Open takes.
func kinds() []kind {
	return []kind{
		{schemes: []string{"auto"}, form: "auto", rpicam: true, format: true, open: openAuto},
		{schemes: []string{"usb"}, form: "usb[:/dev/videoN]", argument: true, optional: true, format: true, open: openUSB},
		{schemes: []string{"csi"}, form: "csi[:N]", argument: true, optional: true, rpicam: true, open: openCSI},
		{schemes: []string{"http", "https"}, form: "http[s]://HOST/PATH", argument: true, password: true, open: openWeb, shown: shownAddress},
		{schemes: []string{"rtsp", "rtsps"}, form: "rtsp://HOST/PATH", argument: true, password: true, open: openRTSP, shown: shownAddress},
		{schemes: []string{"exec"}, form: "exec:COMMAND", argument: true, open: openExec, shown: shownCommand},
		{schemes: []string{"test"}, form: "test", open: openSynthetic},
		{schemes: []string{"file"}, form: "file:DIR", argument: true, open: openPhotographs},
	}
}

// Forms names what Open takes.
func Forms() string {
	list := kinds()
	forms := make([]string, len(list))
	for i, k := range list {
		forms[i] = k.form
	}
	return strings.Join(forms[:len(forms)-1], ", ") + " or " + forms[len(forms)-1]
}

// Open opens a camera and waits for what it takes to tell that it works, no
// longer than until ctx ends:
//
//	auto           the first USB camera that works, else the first CSI camera
//	usb            the first USB camera that works
//	usb:/dev/videoN  that V4L2 device, on USB or not; also usb:N, /dev/videoN and N
//	csi, csi:N     camera N of a Raspberry Pi's camera connectors
//	http://...     a camera in the network that sends JPEG files: without end as
//	               multipart/x-mixed-replace, or one for each request; https://
//	rtsp://...     a camera in the network, by ffmpeg; rtsps://
//	exec:COMMAND   what a program writes to standard output: raw I420 frames of
//	               the wanted size, or JPEG files
//	test           a synthetic picture that moves
//	file:DIR       the JPEG files of a folder in turn, over and over
func Open(ctx context.Context, spec string, o Options) (Camera, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	k, argument, err := find(spec)
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	device := spec
	if k.shown != nil {
		device = k.shown(spec)
	}
	open := opener(nil)
	switch {
	case o.Format != "" && !k.format:
		err = fmt.Errorf("format %s: %s has a format of its own; USB cameras have a choice", o.Format, device)
	case o.Rpicam != "" && !k.rpicam:
		err = fmt.Errorf("options for rpicam-vid: %s does without that program; they are of use with csi", device)
	case o.PasswordFile != "" && !k.password:
		err = fmt.Errorf("password file: %s asks for no password; cameras at http:// and rtsp:// may", device)
	default:
		open, err = k.open(argument, o)
	}
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	return start(ctx, device, open, o)
}

// find finds the kind of a camera, and what its name says behind the colon, or
// all of it where that is a URL.
func find(spec string) (kind, string, error) {
	if _, err := strconv.ParseUint(spec, 10, 8); err == nil || strings.HasPrefix(spec, "/dev/") {
		spec = "usb:" + spec
	}
	scheme, argument, given := strings.Cut(spec, ":")
	for _, k := range kinds() {
		if !slices.Contains(k.schemes, strings.ToLower(scheme)) || given != k.argument && !(k.optional && !given) || given && argument == "" {
			continue
		}
		if strings.HasPrefix(argument, "//") {
			argument = spec
		}
		return k, argument, nil
	}
	if given { // the rest may hold a password
		scheme += ":"
	}
	return kind{}, "", fmt.Errorf("%w %q: want %s", ErrUnknown, scheme, Forms())
}
