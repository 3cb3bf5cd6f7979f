package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/report"
)

// hostile is text that must reach the page as nothing but text.
const hostile = `<script>alert(1)</script>"'&}]]></style>{{.}}`

// element is an element of a page, with all text inside it.
type element struct {
	name       string
	attributes map[string]string
	text       string
}

// parse reads a page as XML, which is stricter than HTML: each element is
// closed, each attribute quoted. Elements come in the order of their ends.
func parse(t *testing.T, page []byte) []element {
	t.Helper()
	var done, open []element
	var starts []int // of the open elements, in the text
	var text strings.Builder
	decoder := xml.NewDecoder(bytes.NewReader(page))
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			require.Empty(t, open)
			return done
		}
		require.NoError(t, err, "%.2000s", page[max(0, int(decoder.InputOffset())-1000):])
		switch token := token.(type) {
		case xml.StartElement:
			attributes := map[string]string{}
			for _, a := range token.Attr {
				require.NotContains(t, attributes, a.Name.Local)
				attributes[a.Name.Local] = a.Value
			}
			open = append(open, element{name: token.Name.Local, attributes: attributes})
			starts = append(starts, text.Len())
		case xml.CharData:
			text.Write(token)
		case xml.EndElement:
			last := len(open) - 1
			open[last].text = text.String()[starts[last]:]
			done, open, starts = append(done, open[last]), open[:last], starts[:last]
		}
	}
}

func write(t *testing.T, r *report.Report) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, r.WriteHTML(&b))
	return b.Bytes()
}

func named(elements []element, name string) []element {
	return slices.DeleteFunc(slices.Clone(elements), func(e element) bool { return e.name != name })
}

// sections are the page's sections that have a name, in order.
func sections(elements []element) (ids []string) {
	for _, e := range named(elements, "section") {
		if id := e.attributes["id"]; id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// fill sets all values of one kind inside a value.
func fill[T any](v reflect.Value, value T) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fill(v.Elem(), value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), value)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), value)
		}
	case reflect.TypeFor[T]().Kind():
		v.Set(reflect.ValueOf(value).Convert(v.Type()))
	}
}

var everySection = []string{"ablation", "depth", "layers", "ranges", "sensitivity", "worst", "evaluation", "arena", "provenance"}

func TestPageIsWellFormedAndComplete(t *testing.T) {
	elements := parse(t, write(t, sample(t)))
	require.Equal(t, everySection, sections(elements))
	require.Len(t, named(elements, "svg"), 2+54+1+1, "noise, histograms, pictures, arena")
	body := named(elements, "body")[0].text
	for _, want := range []string{
		"Fit for use", "names the same class as float on 98.6 %", "Most noise comes from conv5_block3_3_conv",
		"75.8\u00a0% → 75.5\u00a0%", "70.9–79.6\u00a0%", "26.6\u00a0dB", "25.9\u00a0MB", "no plan can need less", "3.86\u00a0G",
		"−2.90", "equalization of blocks", "112×112×64", "conv4_block6_3_conv", "clip-mse, bias correction",
		"ILSVRC2012_val_", "✓ tiger cat", "41.0\u00a0%", "367 of 372", "no evidence that accuracy has changed", "180 classes, worst first",
		"worst picture 7.8\u00a0dB, median 29.9\u00a0dB", "Worst: ILSVRC2012_val_00000007.JPEG with 7.8\u00a0dB",
		"2c26b46b68ffc68f", "drawn with seed 2",
	} {
		require.Contains(t, body, want)
	}
}

func TestPageNeedsNoOtherFile(t *testing.T) {
	page := write(t, sample(t))
	for _, e := range parse(t, page) {
		require.NotEqual(t, "script", e.name)
		for name, value := range e.attributes {
			if name == "href" || strings.HasSuffix(name, "src") || strings.HasSuffix(name, "srcset") {
				require.Regexp(t, "^(#[a-z]+|data:.*)$", value)
			}
			require.NotContains(t, value, "url(")
		}
		if e.name == "style" {
			require.NotRegexp(t, `url\(|@import`, e.text)
		}
	}
	require.NotRegexp(t, `https?:|xlink`, string(page))
}

func TestEveryoneCanReadThePage(t *testing.T) {
	elements := parse(t, write(t, sample(t)))
	for _, e := range elements {
		switch e.name {
		case "svg":
			require.Equal(t, "img", e.attributes["role"])
			require.NotEmpty(t, e.attributes["aria-label"])
		case "th":
			require.Contains(t, []string{"col", "colgroup", "row"}, e.attributes["scope"], e.text)
		case "img":
			require.Contains(t, e.attributes, "alt")
		case "section":
			require.True(t, e.attributes["aria-label"] != "" || e.attributes["id"] != "", e.text)
		}
		if strings.Contains(e.attributes["class"], "scroll") {
			require.Equal(t, "0", e.attributes["tabindex"], "the keyboard can scroll it")
			require.NotEmpty(t, e.attributes["aria-label"])
		}
	}
	require.Equal(t, "en", named(elements, "html")[0].attributes["lang"])
	require.Len(t, named(elements, "h1"), 1)
}

func TestTablesHaveAsManyCellsAsHeads(t *testing.T) {
	for _, table := range strings.Split(string(write(t, sample(t))), "<table")[1:] {
		table, _, _ = strings.Cut("<table"+table, "</table>")
		columns := 0
		for _, row := range strings.Split(table, "<tr")[1:] {
			cells := strings.Count(row, "<td") + strings.Count(row, "<th ")
			for _, span := range regexp.MustCompile(`colspan="(\d+)"`).FindAllStringSubmatch(row, -1) {
				n, err := strconv.Atoi(span[1])
				require.NoError(t, err)
				cells += n - 1
			}
			if columns == 0 {
				columns = cells
			}
			if strings.Contains(row, `scope="row"`) {
				require.Equal(t, columns, cells, row)
			}
		}
	}
}

func TestTextOfTheModelStaysText(t *testing.T) {
	r := sample(t)
	fill(reflect.ValueOf(r), hostile)
	elements := parse(t, write(t, r))
	require.Empty(t, named(elements, "script"))
	require.Len(t, named(elements, "style"), 1)
	require.Equal(t, everySection, sections(elements))
	for _, name := range []string{"title", "h1", "h3", "li", "dd", "td", "th", "figcaption"} {
		require.True(t, slices.ContainsFunc(named(elements, name), func(e element) bool { return strings.Contains(e.text, hostile) }), name)
	}
	for _, e := range elements {
		for name := range e.attributes {
			require.False(t, strings.HasPrefix(name, "on"), "%s of %s", name, e.name)
		}
	}
}

func TestEmptyReport(t *testing.T) {
	elements := parse(t, write(t, &report.Report{}))
	require.Equal(t, []string{"provenance"}, sections(elements))
	require.Empty(t, named(elements, "svg"))
	require.Equal(t, "Unnamed model", named(elements, "h1")[0].text)
	require.NotContains(t, named(elements, "body")[0].text, "for use", "no verdict is not a bad one")
}

func TestSectionsWithoutDataAreLeftOut(t *testing.T) {
	for missing, empty := range map[string]func(r *report.Report){
		"ablation":   func(r *report.Report) { r.Ablation = nil },
		"evaluation": func(r *report.Report) { r.Evaluation = nil },
		"worst":      func(r *report.Report) { r.Worst = nil },
		"arena":      func(r *report.Report) { r.Arena = nil },
		"depth": func(r *report.Report) {
			for i := range r.Layers {
				r.Layers[i].SQNR = report.SQNR{}
			}
		},
		"ranges": func(r *report.Report) {
			for i := range r.Layers {
				r.Layers[i].Histogram = nil
			}
		},
		"sensitivity": func(r *report.Report) {
			for i := range r.Layers {
				r.Layers[i].Int16 = nil
			}
		},
	} {
		t.Run(missing, func(t *testing.T) {
			r := sample(t)
			empty(r)
			elements := parse(t, write(t, r))
			ids := sections(elements)
			require.Equal(t, slices.DeleteFunc(slices.Clone(everySection), func(id string) bool { return id == missing }), ids)
			var links []string
			for _, a := range named(elements, "a") {
				links = append(links, strings.TrimPrefix(a.attributes["href"], "#"))
			}
			require.Equal(t, ids, links)
		})
	}
}

func TestEvaluationWithoutFloatOrTruth(t *testing.T) {
	r := sample(t)
	e := r.Evaluation
	e.FloatTop1, e.FloatTop5, e.Agreement, e.SQNR, e.ByImage, e.Flips = nil, nil, nil, nil, nil, nil
	text := named(parse(t, write(t, r)), "body")[0].text
	require.NotContains(t, text, "float →")
	require.NotContains(t, text, "Right, float")
	require.NotContains(t, text, "McNemar")
	require.Contains(t, text, "Top-1, int8")

	e.Top1, e.Top5, e.Classes = nil, nil, nil
	text = named(parse(t, write(t, r)), "body")[0].text
	require.NotContains(t, text, "Top-1")
	require.Contains(t, text, "372 pictures")
}

func TestNumbersThatAreNone(t *testing.T) {
	none := regexp.MustCompile(`NaN|\bInf|∞|<nil>|%!|\d{25}`)
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 0, -1e-300} {
		r := sample(t)
		fill(reflect.ValueOf(r), x)
		page := write(t, r)
		parse(t, page)
		require.Empty(t, none.FindString(string(page)), "%g", x)
	}
	for _, n := range []int{math.MinInt, -1, 0, 1, math.MaxInt} {
		r := sample(t)
		fill(reflect.ValueOf(r), n)
		fill(reflect.ValueOf(r), int64(n))
		fill(reflect.ValueOf(r), uint64(n))
		page := write(t, r)
		parse(t, page)
		require.Empty(t, none.FindString(string(page)), "%d", n)
	}
}

func TestSameReportGivesSameBytes(t *testing.T) {
	require.True(t, bytes.Equal(write(t, sample(t)), write(t, sample(t))))
}

func TestPageIsSmall(t *testing.T) {
	r := sample(t)
	r.Layers = append(r.Layers, r.Layers[:6]...)
	for i := range r.Layers {
		h := *r.Layers[i].Histogram
		h.Counts = slices.Repeat(h.Counts, 8)
		r.Layers[i].Histogram = &h
	}
	require.Less(t, len(write(t, r)), 1_000_000)
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestFailedWriteIsReported(t *testing.T) {
	require.ErrorContains(t, sample(t).WriteHTML(brokenWriter{}), "disk full")
}

// Contrast as WCAG 2.2 defines it: 4.5 for text, 3 for what charts draw.
func TestColoursHaveContrast(t *testing.T) {
	style, err := os.ReadFile("style.css")
	require.NoError(t, err)
	light, rest, found := strings.Cut(string(style), "prefers-color-scheme: dark")
	require.True(t, found)
	dark, _, _ := strings.Cut(rest, "* {")
	for scheme, css := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z]+): #([0-9a-f]{6});`).FindAllStringSubmatch(css, -1) {
			colours[m[1]] = luminance(t, m[2])
		}
		require.Len(t, colours, 12, scheme)
		for _, text := range []string{"text", "faint", "accent", "warm", "good", "bad"} {
			require.GreaterOrEqual(t, contrast(colours[text], colours["card"]), 4.5, "%s %s", scheme, text)
			require.GreaterOrEqual(t, contrast(colours[text], colours["page"]), 4.5, "%s %s", scheme, text)
		}
		for _, drawn := range []string{"soft", "cool"} {
			require.GreaterOrEqual(t, contrast(colours[drawn], colours["card"]), 3., "%s %s", scheme, drawn)
		}
	}
}

func luminance(t *testing.T, hex string) float64 {
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		require.NoError(t, err)
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += float64(weight * c)
	}
	return sum
}

func contrast(a, b float64) float64 { return (max(a, b) + 0.05) / (min(a, b) + 0.05) }
