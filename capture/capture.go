// Package capture takes frames from cameras and goes on doing so: USB cameras
// through V4L2, CSI cameras of a Raspberry Pi through the vendor's program, and
// for trials a synthetic picture or a folder of photographs.
//
// The latest frame wins: a camera is drained all the time, and Next returns
// the newest frame there is. A camera that stalls, fails or is unplugged is
// opened again until it works.
package capture

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"edgeclassify/preprocess"
)

// Options are wishes; Status says what the camera agreed to.
type Options struct {
	Width, Height int                    // default 640x480; of what the camera sends, before it is turned
	FPS           float64                // default 30; for photographs 1
	Format        Format                 // of USB cameras; "" takes what costs least
	Orientation   preprocess.Orientation // how the camera hangs: frames are to be turned so
	Wait          bool                   // Open does not fail where a camera is missing or busy: Next waits for it
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

// Open opens a camera:
//
//	auto           the first USB camera that works, else the first CSI camera
//	usb            the first USB camera that works
//	usb:/dev/videoN  that V4L2 device, on USB or not
//	csi, csi:N     camera N of a Raspberry Pi's camera connectors
//	test           a synthetic picture that moves
//	file:DIR       the JPEG files of a folder in turn, over and over
func Open(spec string, o Options) (Camera, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	kind, rest, given := strings.Cut(spec, ":")
	open := opener(nil)
	switch {
	case spec == "auto":
		open = openAuto(o)
	case o.Format != "" && spec != "auto" && kind != "usb":
		err = fmt.Errorf("format %s: %s has a format of its own; USB cameras have a choice", o.Format, spec)
	case kind == "usb" && (!given || rest != ""):
		open = newUSB(kernel{}, rest, o).open
	case kind == "csi":
		open, err = openCSI(rest, given, o)
	case spec == "test":
		open = openSynthetic(o)
	case kind == "file" && rest != "":
		open = openPhotographs(rest, o)
	default:
		err = fmt.Errorf("%w %q: want auto, usb, usb:/dev/videoN, csi, csi:N, test or file:DIR", ErrUnknown, spec)
	}
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	return start(spec, open, o)
}
