package capture

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"edgeclassify/internal/v4l2"
)

const (
	rawPixels = 640 * 480 // up to here raw frames cost less than decoding JPEG
	slowRate  = 10        // frames per second; raw formats slower than that give way to MJPEG
)

// agreement is what a driver gives.
type agreement struct {
	layout   Frame // without data
	interval v4l2.Fraction
}

func (a agreement) slow(wanted float64) bool {
	rate := a.interval.Rate()
	return rate > 0 && rate < min(slowRate, wanted)
}

// negotiate finds the format that suits best and sets it. What counts is what
// the driver returns, never what it was asked for.
func negotiate(d device, o Options) (agreement, error) {
	offered, err := d.Formats()
	if err != nil {
		return agreement{}, err
	}
	choices := preferred(offered, o.Width*o.Height <= rawPixels)
	if len(choices) == 0 {
		return agreement{}, fmt.Errorf("it offers %s; of use are YUYV, NV12, YU12 and MJPG", fourCCs(offered))
	}
	if o.Format != "" {
		wanted := slices.IndexFunc(choices, func(f v4l2.FourCC) bool { return formatOf(f) == o.Format })
		if wanted < 0 {
			return agreement{}, fmt.Errorf("it offers %s, and not %s as asked for", fourCCs(offered), o.Format)
		}
		return set(d, choices[wanted], o)
	}
	best, err := set(d, choices[0], o)
	if err != nil || !best.slow(o.FPS) || best.layout.Format == MJPEG {
		return best, err
	}
	mjpeg := slices.IndexFunc(choices, func(f v4l2.FourCC) bool { return formatOf(f) == MJPEG })
	if mjpeg < 0 {
		return best, nil
	}
	return set(d, choices[mjpeg], o)
}

// preferred returns those of the offered formats that can be used, best first.
func preferred(offered []v4l2.FourCC, raw bool) []v4l2.FourCC {
	order := []v4l2.FourCC{v4l2.YUYV, v4l2.NV12, v4l2.YU12, v4l2.MJPG, v4l2.JPEG}
	if !raw {
		order = append(order[3:], order[:3]...)
	}
	return slices.DeleteFunc(order, func(f v4l2.FourCC) bool { return !slices.Contains(offered, f) })
}

// formatOf returns "" for formats of no use.
func formatOf(f v4l2.FourCC) Format {
	switch f {
	case v4l2.YUYV:
		return YUYV
	case v4l2.NV12:
		return NV12
	case v4l2.YU12:
		return I420
	case v4l2.MJPG, v4l2.JPEG:
		return MJPEG
	}
	return ""
}

func fourCCs(list []v4l2.FourCC) string {
	if len(list) == 0 {
		return "no pixel formats"
	}
	names := make([]string, len(list))
	for i, f := range list {
		names[i] = f.String()
	}
	return strings.Join(names, ", ")
}

// set sets a format and a rate.
func set(d device, f v4l2.FourCC, o Options) (agreement, error) {
	p, err := d.SetFormat(uint32(o.Width), uint32(o.Height), f)
	if err != nil {
		return agreement{}, err
	}
	a := agreement{layout: Frame{
		Format: formatOf(p.FourCC), Width: int(p.Width), Height: int(p.Height), FullRange: p.FullRange()}}
	switch {
	case a.layout.Format == "":
		return a, fmt.Errorf("asked for %v it gives %v, which is of no use", f, p.FourCC)
	case a.layout.Format != MJPEG:
		a.layout.Stride = int(p.BytesPerLine)
		if p.BytesPerLine == 0 { // some drivers mean: no padding
			a.layout.Stride = a.layout.minStride()
		}
		if need := a.layout.need(); need == 0 || need > int(p.SizeImage) {
			return a, fmt.Errorf("its driver is faulty: %dx%d %v with lines of %d bytes in %d bytes",
				p.Width, p.Height, p.FourCC, p.BytesPerLine, p.SizeImage)
		}
	}
	a.interval, err = d.SetInterval(interval(o.FPS))
	return a, err
}

// interval returns seconds per frame, exact to a thousandth of a frame.
func interval(fps float64) v4l2.Fraction {
	return v4l2.Fraction{Numerator: 1000, Denominator: uint32(math.Round(1000 * fps))}
}
