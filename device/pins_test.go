package device

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"edgeclassify/device/internal/guest"
	"edgeclassify/device/internal/machine"
)

// Lines of the GPIO chip (a PL061): a free one, and the power button's.
const (
	ledLine    = 5
	buttonLine = 3
)

// TestLED watches a pin while the camera changes its colour.
func TestLED(t *testing.T) {
	d := vivid(t, machine.Virt("cortex-a76"))
	p := d.watch("usb:"+vividDevice, "-led", fmt.Sprintf("gpiochip0:%d=green", ledLine))
	p.count(5, callTime)
	require.Equal(t, "lo", d.line(ledLine))
	d.set(testPattern, patterns()["green"])
	p.becomes("hi")
	d.set(testPattern, patterns()["blue"])
	p.becomes("lo")
	d.set(testPattern, patterns()["green"])
	p.becomes("hi")
	code, _ := p.stop()
	require.Zero(t, code)
	require.Empty(t, d.line(ledLine), "the program has ended")
	require.Equal(t, "0", d.left(ledLine), "the LED is on though the program has ended")
}

// becomes waits for the LED to have a level.
func (p *program) becomes(level string) {
	p.Helper()
	p.eventually(resumeTime, "the LED is "+level, func() bool { return p.line(ledLine) == level })
}

// line is the level of a line of the GPIO chip that a program holds, as the
// kernel tells: lo or hi, or nothing if no one holds it.
func (d *device) line(number int) string {
	d.Helper()
	text := d.read("/sys/kernel/debug/gpio")
	held := regexp.MustCompile(fmt.Sprintf(`gpio-%d .*\) out (hi|lo)`, firstLine(d, text)+number)).FindStringSubmatch(text)
	if held == nil {
		return ""
	}
	return held[1]
}

// left is the level at which a program has left a line of the GPIO chip, 0 or 1.
func (d *device) left(number int) string {
	d.Helper()
	global := firstLine(d, d.read("/sys/kernel/debug/gpio")) + number
	d.at("Write", guest.File{Path: "/sys/class/gpio/export", Contents: fmt.Sprint(global)}) // as it is
	return strings.TrimSpace(d.read(fmt.Sprintf("/sys/class/gpio/gpio%d/value", global)))
}

// firstLine is the number that the kernel gives the chip's first line.
func firstLine(t require.TestingT, text string) int {
	match := regexp.MustCompile(`GPIOs (\d+)-`).FindStringSubmatch(text)
	require.NotNil(t, match, text)
	n, err := strconv.Atoi(match[1])
	require.NoError(t, err)
	return n
}

// TestTrigger presses a button: each time one picture is classified.
func TestTrigger(t *testing.T) {
	d := vivid(t, machine.Virt("cortex-a76"))
	p := d.watch("usb:"+vividDevice, "-trigger", fmt.Sprintf("gpiochip0:%d:rising", buttonLine))
	p.logs("camera is streaming")
	for _, colour := range []string{"red", "green", "blue"} {
		d.set(testPattern, patterns()[colour])
		time.Sleep(time.Second)
		require.Empty(t, p.results(0), "no one has pressed the button")
		pressed := d.at("Now", guest.None{})
		require.NoError(t, d.machine.PressPower())
		r := p.from(pressed, callTime)
		require.Equal(t, colour, r.label())
		require.Less(t, r.printed.Sub(pressed), resumeTime)
	}
}

// logs waits for a line on standard error.
func (p *program) logs(text string) {
	p.Helper()
	p.eventually(callTime, "logged: "+text, func() bool { return strings.Contains(p.newErrors(), text) })
}

// TestDisplay reads the text off a display on a real I2C bus.
func TestDisplay(t *testing.T) {
	files := colourModel(t)
	const width, height = 64, 48
	for name, c := range colours() {
		files["/frames/"+name] = write(t, yuy2(plain(c, width, height)))
	}
	d := boot(t, setup{board: machine.Virt("cortex-a76"), files: files,
		modules: append(webcamModules(), "i2c-tiny-usb", "i2c-dev")})
	d.at("PlugBus", guest.None{})
	d.at("Plug", guest.Webcam{Format: "YUY2", Width: width, Height: height, FPS: 10, Frame: "/frames/gray"})
	p := d.watch("usb", "-display", "ssd1306@i2c-0:0x3c")
	whole := regexp.MustCompile(`^\w+\n\n\n *\d+%( +[\d.]+ fps)?$`)
	for name := range colours() {
		d.at("Show", "/frames/"+name)
		var shows string
		p.eventually(resumeTime, "the display shows "+name, func() bool {
			if now := d.display().text(); now != shows {
				d.Logf("the display shows %q", now)
				shows = now
			}
			return whole.MatchString(shows) && strings.HasPrefix(shows, name)
		})
	}
	require.True(t, d.display().on)
	code, _ := p.stop()
	require.Zero(t, code)
	require.False(t, d.display().on)
}

// display is what the messages so far have made of an SSD1306.
func (d *device) display() *ssd1306 {
	d.Helper()
	var messages [][]byte
	d.call("Written", guest.None{}, &messages)
	s := &ssd1306{}
	for _, m := range messages {
		require.NotEmpty(d, m)
		switch m[0] {
		case 0x00:
			s.commands(d, m[1:])
		case 0x40:
			s.data(m[1:])
		default:
			require.Failf(d, "unknown control byte", "% x", m)
		}
	}
	return s
}

// ssd1306 is the state of a display of 128x64 pixels (Solomon Systech, SSD1306
// rev 1.1, chapter 9).
type ssd1306 struct {
	on                      bool
	memory                  [8][128]byte // pages of 8 rows, the topmost in bit 0
	firstColumn, lastColumn int
	firstPage, lastPage     int
	column, page            int
}

func (s *ssd1306) commands(t require.TestingT, b []byte) {
	arguments := map[byte]int{0x20: 1, 0x81: 1, 0x8d: 1, 0xa8: 1, 0xd3: 1, 0xd5: 1, 0xd9: 1, 0xda: 1, 0xdb: 1, 0x21: 2, 0x22: 2}
	for len(b) > 0 {
		n := 1 + arguments[b[0]]
		require.GreaterOrEqual(t, len(b), n, "a command is cut short: % x", b)
		switch b[0] {
		case 0x20:
			require.Zero(t, b[1], "want horizontal addressing")
		case 0x21:
			s.firstColumn, s.lastColumn = int(b[1]), int(b[2])
			s.column = s.firstColumn
		case 0x22:
			s.firstPage, s.lastPage = int(b[1]), int(b[2])
			s.page = s.firstPage
		case 0xae, 0xaf:
			s.on = b[0] == 0xaf
		}
		b = b[n:]
	}
}

func (s *ssd1306) data(b []byte) {
	for _, v := range b {
		s.memory[s.page][s.column] = v
		if s.column++; s.column > s.lastColumn {
			s.column = s.firstColumn
			if s.page++; s.page > s.lastPage {
				s.page = s.firstPage
			}
		}
	}
}

func (s *ssd1306) lit(x, y int) bool { return s.memory[y/8][x]>>(y%8)&1 != 0 }

// text is what the display shows in the font 7x13, in rows of 16 pixels.
func (s *ssd1306) text() string {
	const columns, rows, rowHeight = 18, 4, 16
	var lines []string
	for row := range rows {
		var line strings.Builder
		for column := range columns {
			line.WriteRune(s.character(column*basicfont.Face7x13.Advance, row*rowHeight+1))
		}
		lines = append(lines, strings.TrimRight(line.String(), " "))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// character is the printable one of which every pixel is as shown with the
// upper left corner there, or a question mark.
func (s *ssd1306) character(left, top int) rune {
	for c := ' '; c <= '~'; c++ {
		if s.shows(c, left, top) {
			return c
		}
	}
	return '?'
}

func (s *ssd1306) shows(c rune, left, top int) bool {
	face := basicfont.Face7x13
	area, mask, at, _, _ := face.Glyph(fixed.P(0, face.Ascent), c)
	for y := range face.Height {
		for x := range area.Dx() {
			_, _, _, alpha := mask.At(at.X+x, at.Y+y).RGBA()
			if s.lit(left+x, top+y) != (alpha != 0) {
				return false
			}
		}
	}
	return true
}

// TestZero2W runs on the device tree of a Raspberry Pi Zero 2 W, whose GPIO is
// the real one.
func TestZero2W(t *testing.T) {
	d := boot(t, setup{board: machine.Zero2W(), files: colourModel(t)})
	out, code := d.start("kernels").output(callTime)
	require.Zero(t, code)
	require.Contains(t, out, "4 x Cortex-A53")
	require.Contains(t, out, "* neon_a53\n")
	out, code = d.start("doctor", "-model", modelPath).output(callTime)
	t.Logf("doctor:\n%s", out)
	require.Zero(t, code)
	require.Contains(t, out, "Raspberry Pi Zero 2 W")
	p := d.watch("test", "-led", "GPIO17=gray:0.01")
	p.count(3, callTime)
	require.Contains(t, d.read("/sys/kernel/debug/gpio"), "edge-classify")
	p.at("Signal", guest.Signal{Process: p.number, Number: int(syscall.SIGKILL)})
	p.output(callTime)
	d.watch("test", "-led", "GPIO17=gray").count(3, callTime) // killed at any moment, the next start works
}
