package pins

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edgeclassify/internal/syncbuffer"

	"github.com/stretchr/testify/require"
	"periph.io/x/conn/v3/i2c/i2ctest"

	"edgeclassify/capture"
	"edgeclassify/stream"
)

func TestParseDisplay(t *testing.T) {
	for spec, want := range map[string]displaySpec{
		"ssd1306":                   {64, "i2c-1", 0x3c},
		"ssd1306-128x64":            {64, "i2c-1", 0x3c},
		"ssd1306-128x32@i2c-0":      {32, "i2c-0", 0x3c},
		"ssd1306@i2c-20:0x3D":       {64, "i2c-20", 0x3d},
		"ssd1306-128x32@i2c-1:0x3d": {32, "i2c-1", 0x3d},
	} {
		got, err := parseDisplay(spec)
		require.NoError(t, err, spec)
		require.Equal(t, want, got, spec)
	}
	for _, spec := range []string{"", "sh1106", "ssd1306@", "ssd1306@i2c-1:", "ssd1306@i2c-1:60", "ssd1306@i2c-1:0x3c4", "ssd1306:0x3c", "ssd1306-96x16"} {
		_, err := NewDisplay(spec, nil)
		require.ErrorContains(t, err, "want ssd1306[-128x32][@BUS[:ADDRESS]]", spec)
	}
	_, err := NewDisplay("ssd1306@i2c-999", nil)
	require.ErrorContains(t, err, `display "ssd1306@i2c-999": i2c: `)
}

func TestRows(t *testing.T) {
	for _, c := range []struct {
		v    view
		rows []string
	}{
		{view{label: "tabby", prob: 0.934, rate: 10.06}, []string{"tabby", "", "", " 93%      10.1 fps"}},
		{view{label: "tabby", prob: 1}, []string{"tabby", "", "", "100%"}},
		{view{label: "great white shark", prob: 0.05, rate: 0.01}, []string{"great white shark", "", "", "  5%"}},
		{view{label: "black-and-tan coonhound of the hills", prob: 0.05, rate: 144}, []string{"black-and-tan", "coonhound of the", "hills", "  5%     144.0 fps"}},
		{view{label: "Persian cat", prob: 0.5}, []string{"Persian cat", " 50%"}},
		{view{label: "black-and-tan coonhound", prob: 0.5}, []string{"black-and-tan coonhound", " 50%"}}, // as much as fits
		{view{}, []string{"", "  0%"}},
		{view{state: capture.Missing, label: "tabby"}, []string{"camera:", "missing", "", ""}},
		{view{state: capture.Stalled}, []string{"camera:", "stalled"}},
	} {
		require.Equal(t, c.rows, c.v.rows(len(c.rows)))
	}
}

// art is a picture in characters: what a person would see.
func art(c *canvas, w, h int) string {
	var b strings.Builder
	for y := range h {
		line := make([]byte, w)
		for x := range w {
			line[x] = '.'
			if c.pix[y/8*width+x]>>(y%8)&1 != 0 {
				line[x] = '#'
			}
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.String()
}

func TestText(t *testing.T) {
	c := newCanvas(32)
	c.text(0, "cat")
	require.Equal(t, `
.....................
.....................
.....................
.....................
...............#.....
...............#.....
.####...####..####...
#....#......#..#.....
#.......#####..#.....
#......#....#..#.....
#....#.#...##..#...#.
.####...###.#...###..
.....................
.....................
.....................
.....................
`, "\n"+art(c, 21, 16))

	c.text(1, strings.Repeat("W", 40)) // beyond the edge
	require.NotZero(t, c.pix[2*width+width-2], "half of the 19th character")
	c.text(2, "below")
}

// page is the messages that write one page.
func page(addr uint16, number byte, row []byte) []i2ctest.IO {
	return []i2ctest.IO{
		{Addr: addr, W: []byte{0, 0x21, 0, 127, 0x22, number, number}},
		{Addr: addr, W: append([]byte{0x40}, row...)},
	}
}

func TestSSD1306(t *testing.T) {
	for height, own := range map[int]struct{ mux, com byte }{64: {63, 0x12}, 32: {31, 0x02}} {
		blank := make([]byte, width*height/8)
		changed := bytes.Clone(blank)
		changed[width+5] = 0x81

		ops := []i2ctest.IO{{Addr: 0x3d, W: []byte{
			0, 0xae, 0xd5, 0x80, 0xa8, own.mux, 0xd3, 0, 0x40, 0x8d, 0x14, 0x20, 0, 0xa1, 0xc8,
			0xda, own.com, 0x81, 0x8f, 0xd9, 0xf1, 0xdb, 0x40, 0xa4, 0xa6, 0x2e,
		}}}
		for p := range height / 8 {
			ops = append(ops, page(0x3d, byte(p), blank[:width])...)
		}
		ops = append(ops, i2ctest.IO{Addr: 0x3d, W: []byte{0, 0xaf}}) // on once its memory is written
		ops = append(ops, page(0x3d, 1, changed[width:2*width])...)
		ops = append(ops, i2ctest.IO{Addr: 0x3d, W: []byte{0, 0xae}})

		bus := &i2ctest.Playback{Ops: ops, DontPanic: true}
		d := newSSD1306(bus, 0x3d, height)
		require.NoError(t, d.off(), "nothing to switch off")
		require.NoError(t, d.show(blank))
		require.NoError(t, d.show(blank))
		require.NoError(t, d.show(changed))
		require.NoError(t, d.off())
		require.NoError(t, bus.Close())
	}
}

// rest waits until a display has shown what it was told last.
func rest() {
	time.Sleep(displayRest)
	synctest.Wait()
}

// shows is what a screen shows that shows these rows.
func shows(height int, rows ...string) []byte {
	c := newCanvas(height)
	for i, text := range rows {
		c.text(i, text)
	}
	return c.pix
}

func TestDisplay(t *testing.T) {
	for _, height := range []int{64, 32} {
		synctest.Test(t, func(t *testing.T) {
			s := &screen{addr: 0x3c}
			d, err := newDisplay(s, displaySpec{height: height, addr: 0x3c}, orSilent(nil))
			require.NoError(t, err)
			require.Equal(t, shows(height, "camera:", "starting"), s.pix())

			last := height/rowHeight - 1
			with := func(label, numbers string) []byte {
				rows := make([]string, last+1)
				rows[0], rows[last] = label, numbers
				return shows(height, rows...)
			}
			r := result(map[int]float64{1: 0.87})
			r.Time = time.Now()
			d.Result(r, nil)
			rest()
			require.Equal(t, with("Persian cat", " 87%"), s.pix())

			for range 10 {
				r.Time = r.Time.Add(100 * time.Millisecond)
				d.Result(r, nil)
			}
			d.Event(stream.Event{}, nil)
			d.Status(capture.Status{State: capture.Streaming})
			rest()
			require.Equal(t, with("Persian cat", " 87%      10.0 fps"), s.pix())

			written := s.messages()
			r.Top[0].Probability, r.Time = 0.86, r.Time.Add(100*time.Millisecond)
			d.Result(r, nil)
			rest()
			require.Equal(t, with("Persian cat", " 86%      10.0 fps"), s.pix())
			require.LessOrEqual(t, s.messages()-written, rowHeight/8, "what has not changed is not written")

			d.Status(capture.Status{State: capture.Missing})
			rest()
			require.Equal(t, shows(height, "camera:", "missing"), s.pix())
			require.NoError(t, d.Close())
			require.Nil(t, s.pix(), "dark")
			require.True(t, s.closed)
			d.Result(r, nil) // a late call neither blocks nor panics
			d.Result(r, nil)
		})
	}
}

// An update takes time on a slow bus: the newest result is shown next, and the
// stream has not waited.
func TestDisplayShowsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &screen{addr: 0x3c}
		d, err := newDisplay(s, displaySpec{height: 32, addr: 0x3c}, orSilent(nil))
		require.NoError(t, err)
		start := time.Now()
		for i := range 100 {
			d.Result(result(map[int]float64{0: float64(i) / 100}), nil)
			synctest.Wait()
		}
		require.Equal(t, start, time.Now())
		require.Equal(t, shows(32, "tabby", "  0%"), s.pix())
		rest()
		require.Equal(t, shows(32, "tabby", " 99%"), s.pix())
		require.NoError(t, d.Close())
	})
}

func TestDisplayUnplugged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged syncbuffer.Buffer
		s := &screen{addr: 0x3c}
		_, err := newDisplay(s, displaySpec{height: 64, addr: 0x3d}, orSilent(nil))
		require.ErrorContains(t, err, "no answer")

		d, err := newDisplay(s, displaySpec{height: 64, addr: 0x3c}, slog.New(slog.NewTextHandler(&logged, nil)))
		require.NoError(t, err)
		s.unplug(true)
		for range 5 {
			d.Result(result(map[int]float64{0: 0.5}), nil)
			rest()
		}
		require.Equal(t, 1, strings.Count(logged.String(), "no answer"), "told once: %s", &logged)
		s.unplug(false)
		d.Result(result(map[int]float64{0: 0.5}), nil)
		rest()
		require.Equal(t, shows(64, "tabby", "", "", " 50%"), s.pix(), "started anew")
		require.Contains(t, logged.String(), "answers again")

		s.unplug(true)
		d.Result(result(map[int]float64{0: 0.6}), nil)
		rest()
		require.NoError(t, d.Close(), "what does not answer is not switched off")
	})
}
