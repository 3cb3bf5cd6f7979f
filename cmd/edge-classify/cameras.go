package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"edgeclassify/capture"
	"edgeclassify/internal/cli"
)

const camerasUsage = `Usage: edge-classify cameras [-json]

Lists the cameras of this machine: what -camera takes for each, its formats,
sizes and frames per second, and why it cannot be used if that is so. Formats
in parentheses are of no use to this program. Cameras in the network are not
looked for: -camera takes their address, http://... or rtsp://...

With -json one object is printed: cameras, a list.`

func runCameras(args []string, s cli.Streams) error {
	f := cli.Flags("edge-classify cameras", camerasUsage, s)
	asJSON := f.Bool("json", false, "print one JSON object")
	rest, err := cli.Parse(f, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return cli.Usagef("cameras takes no arguments, found %q", rest[0])
	}
	devices, err := capture.List()
	if err != nil {
		fmt.Fprintf(s.Err, "edge-classify: %v\n", err) // what was found is worth showing all the same
	}
	if *asJSON {
		list := struct {
			Cameras []capture.Device `json:"cameras"`
		}{append([]capture.Device{}, devices...)}
		return json.NewEncoder(s.Out).Encode(list)
	}
	if len(devices) == 0 {
		fmt.Fprintln(s.Out, "No cameras found on this machine. '-camera test' works without one, '-camera http://...' and rtsp:// take one in the network.")
	}
	for _, d := range devices {
		printDevice(s.Out, d)
	}
	return nil
}

func printDevice(w io.Writer, d capture.Device) {
	fmt.Fprintf(w, "%s  %s", d.Camera, d.Name)
	if d.Bus != "" {
		fmt.Fprintf(w, "  (%s, %s)", d.Driver, d.Bus)
	}
	fmt.Fprintln(w)
	if d.Problem != "" {
		fmt.Fprintf(w, "  cannot be used: %s\n", d.Problem)
	}
	for _, f := range d.Formats {
		name := string(f.Format)
		if name == "" {
			name = "(" + f.FourCC + ")"
		}
		for _, size := range f.Sizes {
			fmt.Fprintf(w, "  %-7s %s\n", name, describeSize(size))
		}
	}
}

func describeSize(s capture.Size) string {
	text := fmt.Sprintf("%dx%d", s.Width, s.Height)
	if s.MaxWidth > 0 {
		text += fmt.Sprintf(" to %dx%d", s.MaxWidth, s.MaxHeight)
	}
	var rates []string
	for _, fps := range s.FPS {
		rates = append(rates, fmt.Sprintf("%.4g", fps))
	}
	if len(rates) > 0 {
		text += "  " + strings.Join(rates, ", ") + " fps"
	}
	return text
}
