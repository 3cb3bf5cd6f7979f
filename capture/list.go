package capture

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"edgeclassify/internal/v4l2"
)

// Device is a camera of the system.
type Device struct {
	Camera  string         `json:"camera"` // what Open takes: usb:/dev/video0, csi:0
	Name    string         `json:"name"`
	Bus     string         `json:"bus,omitempty"`
	Driver  string         `json:"driver,omitempty"`
	Formats []DeviceFormat `json:"formats,omitempty"`
	Problem string         `json:"problem,omitempty"` // why it cannot be used
}

// DeviceFormat is a pixel format of a camera.
type DeviceFormat struct {
	FourCC string `json:"fourcc"`
	Format Format `json:"format,omitempty"` // as frames have it; "" if it is of no use
	Sizes  []Size `json:"sizes,omitempty"`
}

// Size is a picture size of a camera. With MaxWidth and MaxHeight it is a
// range of sizes.
type Size struct {
	Width     int       `json:"width"`
	Height    int       `json:"height"`
	MaxWidth  int       `json:"max_width,omitempty"`
	MaxHeight int       `json:"max_height,omitempty"`
	FPS       []float64 `json:"fps,omitempty"` // highest first
}

// List returns the cameras of the system, without opening them for good.
// Cameras that cannot be used say why.
func List() ([]Device, error) {
	list := listUSB(kernel{})
	program, err := csiProgram()
	if err != nil {
		return list, nil // no Raspberry Pi, or none that has CSI cameras set up
	}
	cameras, err := listCSI(context.Background(), program)
	if err != nil {
		return list, fmt.Errorf("capture: CSI cameras: %w", err)
	}
	for _, c := range cameras {
		list = append(list, Device{Camera: fmt.Sprintf("csi:%d", c.index), Name: c.name, Bus: c.bus, Driver: "libcamera",
			Formats: []DeviceFormat{{FourCC: v4l2.YU12.String(), Format: I420, Sizes: c.sizes}}})
	}
	return list, nil
}

func listUSB(sys system) []Device {
	var list []Device
	for _, n := range sys.nodes() {
		if d, ok := describe(sys, n); ok {
			list = append(list, d)
		}
	}
	return list
}

// describe reports whether a node is, or may be, a camera.
func describe(sys system, n v4l2.Node) (Device, bool) {
	d := Device{Camera: "usb:" + n.Path, Name: n.Name}
	dev, err := sys.open(n.Path)
	if err != nil {
		d.Problem = explain(sys, n.Path, err).Error()
		return d, true
	}
	defer dev.Close()
	c, err := dev.Capability()
	if err != nil {
		d.Problem = err.Error()
		return d, true
	}
	if !c.Captures() {
		return d, false
	}
	d.Name, d.Bus, d.Driver = c.Card, c.Bus, c.Driver
	if d.Formats, err = formats(dev); err != nil {
		d.Problem = err.Error()
	} else if !slices.ContainsFunc(d.Formats, func(f DeviceFormat) bool { return f.Format != "" }) {
		d.Problem = "none of its formats is of use"
	}
	return d, true
}

func formats(dev device) ([]DeviceFormat, error) {
	offered, err := dev.Formats()
	if err != nil {
		return nil, err
	}
	list := make([]DeviceFormat, len(offered))
	for i, f := range offered {
		list[i] = DeviceFormat{FourCC: f.String(), Format: formatOf(f)}
		if list[i].Sizes, err = sizes(dev, f); err != nil {
			return list, err
		}
	}
	return list, nil
}

func sizes(dev device, f v4l2.FourCC) ([]Size, error) {
	offered, err := dev.Sizes(f)
	if err != nil {
		return nil, err
	}
	list := make([]Size, len(offered))
	for i, s := range offered {
		list[i] = Size{Width: int(s.Width), Height: int(s.Height)}
		if s.MaxWidth != s.Width || s.MaxHeight != s.Height {
			list[i].MaxWidth, list[i].MaxHeight = int(s.MaxWidth), int(s.MaxHeight)
		}
		intervals, err := dev.Intervals(f, s.Width, s.Height)
		if err != nil {
			return list, err
		}
		for _, v := range intervals {
			list[i].FPS = append(list[i].FPS, v.Rate())
		}
		slices.SortFunc(list[i].FPS, func(a, b float64) int { return cmp.Compare(b, a) })
	}
	return list, nil
}
