package report

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A tone is a colour of style.css. Charts are drawn in stand-ins for tones,
// which become CSS properties, so that charts follow light and dark.
type tone uint8

const (
	textTone tone = iota
	faintTone
	lineTone
	cardTone
	accentTone
	softTone
	warmTone
	coolTone
)

var toneProperties = [...]string{"--text", "--faint", "--line", "--card", "--accent", "--soft", "--warm", "--cool"}

// RGBA is the stand-in. It is never black, which the SVG would not spell out.
func (t tone) RGBA() (r, g, b, a uint32) {
	return color.RGBA{R: 0x0C, G: 0x55, B: uint8(t), A: 0xFF}.RGBA()
}

// A chart is a plot whose unit is about a CSS pixel on a desktop.
type chart struct {
	*plot.Plot
	width, height vg.Length
	tips          []tip
}

// A tip is the text that a browser shows over a part of a chart, in the
// plot's coordinates.
type tip struct {
	left, right, bottom, top float64
	text                     string
}

func newChart(width, height, fontSize vg.Length) *chart {
	p := plot.New()
	p.BackgroundColor = nil
	sans := font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, fontSize)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font, axis.Tick.Label.Font = sans, sans
		axis.Label.TextStyle.Color, axis.Tick.Label.Color = faintTone, faintTone
		axis.Label.Padding = 4
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = faintTone, faintTone
		axis.Tick.Length = 3
		axis.Padding = 0
	}
	p.Y.LineStyle.Width, p.Y.Tick.LineStyle.Width = 0, 0
	return &chart{Plot: p, width: width, height: height}
}

// grid adds horizontal lines; what is added later lies above them.
func (c *chart) grid() {
	g := plotter.NewGrid()
	g.Vertical.Color = nil
	g.Horizontal = draw.LineStyle{Color: lineTone, Width: 1}
	c.Add(g)
}

// boxes adds filled polygons, each with the same outline.
func (c *chart) boxes(fill, outline color.Color, rings []plotter.XYer) error {
	if len(rings) == 0 {
		return nil
	}
	p, err := plotter.NewPolygon(rings...)
	if err != nil {
		return err
	}
	p.Color = fill
	p.LineStyle = draw.LineStyle{Color: outline, Width: 0.75}
	if outline == nil {
		p.LineStyle.Width = 0
	}
	c.Add(p)
	return nil
}

// line adds a line through the points.
func (c *chart) line(style draw.LineStyle, points ...plotter.XY) error {
	l, err := plotter.NewLine(plotter.XYs(points))
	if err != nil {
		return err
	}
	l.LineStyle = style
	c.Add(l)
	return nil
}

func box(left, right, bottom, top float64) plotter.XYs {
	return plotter.XYs{{X: left, Y: bottom}, {X: left, Y: top}, {X: right, Y: top}, {X: right, Y: bottom}}
}

// ticks are about count round numbers from low to high.
func ticks(low, high float64, count int, label func(float64) string) plot.ConstantTicks {
	step := roundStep((high - low) / float64(count))
	if !finite(step) || step <= 0 {
		return nil
	}
	var marks plot.ConstantTicks
	first := math.Ceil(low/step - 1e-9)
	for i := range 2*count + 2 {
		if v := (first + float64(i)) * step; v <= high+float64(step*1e-9) {
			marks = append(marks, plot.Tick{Value: v, Label: label(v)})
		}
	}
	return marks
}

// wholeTicks are ticks at whole numbers only.
func wholeTicks(low, high float64, count int) plot.ConstantTicks {
	marks := ticks(low, high, count, func(v float64) string { return fixed(v, 0) })
	return slices.DeleteFunc(marks, func(t plot.Tick) bool { return t.Value != math.Trunc(t.Value) })
}

// roundStep is the least of 1, 2 or 5 times a power of ten that is not below x.
func roundStep(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, factor := range []float64{1, 2, 5} {
		if factor*power >= x {
			return factor * power
		}
	}
	return 10 * power
}

// svg renders the chart as an element of an HTML page. The label tells those
// who cannot see the chart what it shows.
func (c *chart) svg(label string) (template.HTML, error) {
	canvas := vgsvg.NewWith(vgsvg.UseWH(c.width, c.height))
	whole := draw.New(canvas)
	c.Draw(whole)
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", err
	}
	// The file's own head has sizes in points and links to XML namespaces.
	_, body, found := strings.Cut(b.String(), "xlink\">\n")
	if !found {
		return "", fmt.Errorf("an SVG file with an unknown head")
	}
	body = strings.TrimSuffix(strings.TrimSpace(body), "</svg>")
	var out strings.Builder
	fmt.Fprintf(&out, `<svg role="img" aria-label="%s" viewBox="0 0 %g %g">`,
		template.HTMLEscapeString(label), c.width.Points(), c.height.Points())
	out.WriteString(restyle().Replace(body))
	c.writeTips(&out, c.DataCanvas(whole))
	out.WriteString("</svg>")
	return template.HTML(out.String()), nil
}

// writeTips lays an invisible rectangle with a title over the part of each tip.
func (c *chart) writeTips(out *strings.Builder, data draw.Canvas) {
	x, y := c.Transforms(&data)
	for _, t := range c.tips {
		left, right := x(t.left).Points(), x(t.right).Points()
		bottom, top := y(t.bottom).Points(), y(t.top).Points()
		fmt.Fprintf(out, `<rect class="tip" x="%.4g" y="%.4g" width="%.4g" height="%.4g"><title>%s</title></rect>`,
			left, c.height.Points()-top, right-left, top-bottom, template.HTMLEscapeString(t.text))
	}
}

// restyle turns stand-ins into tones and leaves the font to the page.
func restyle() *strings.Replacer {
	pairs := []string{"font-family:Liberation Sans;font-variant:normal;font-weight:normal;font-style:normal;", ""}
	for t, property := range toneProperties {
		r, g, b, _ := tone(t).RGBA()
		pairs = append(pairs, fmt.Sprintf("#%02X%02X%02X", r>>8, g>>8, b>>8), "var("+property+")")
	}
	return strings.NewReplacer(pairs...)
}

func finite(values ...float64) bool {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}
