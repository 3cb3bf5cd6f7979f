package gpio

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"periph.io/x/conn/v3/gpio"
)

// pi has a Raspberry Pi 5's chips: the header's is not the first.
func pi() (fakeSystem, *fakeChip) {
	header := &fakeChip{label: "pinctrl-rp1"}
	return fakeSystem{
		"/dev/gpiochip0": {label: "gpio-brcmstb@107d508500"},
		"/dev/gpiochip4": header,
	}, header
}

func TestOpen(t *testing.T) {
	for name, want := range map[string]string{
		"GPIO17":       "GPIO17",
		"gpio17":       "GPIO17",
		"17":           "GPIO17",
		"0":            "GPIO0",
		"gpiochip0:53": "gpiochip0:53",
	} {
		sys, header := pi()
		p, err := open(name, sys)
		require.NoError(t, err, name)
		require.Equal(t, want, p.Name())
		require.Equal(t, want, p.String())
		if want != name || name == "GPIO17" {
			require.Equal(t, 1, header.opened, name)
		}
		require.Empty(t, header.requests, "a pin is not touched before In or Out")
		require.NoError(t, p.Close())
		for path, c := range sys {
			require.Zero(t, c.opened, "%s: %s stays open", name, path)
		}
	}
}

func TestOpenFindsTheHeaderByLabel(t *testing.T) {
	for _, label := range []string{"pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1"} {
		header := &fakeChip{label: label}
		sys := fakeSystem{"/dev/gpiochip0": {label: "raspberrypi-exp-gpio"}, "/dev/gpiochip1": header, "/dev/gpiochip2": {label: "other"}}
		p, err := open("GPIO27", sys)
		require.NoError(t, err, label)
		require.NoError(t, p.Out(gpio.High))
		require.Equal(t, 27, header.last.number, label)
		require.Equal(t, 27, p.Number())
	}
}

func TestOpenErrors(t *testing.T) {
	locked, _ := pi()
	locked["/dev/gpiochip4"].locked = true
	other := fakeSystem{"/dev/gpiochip0": {label: "9030000.pl061"}}
	for _, c := range []struct {
		name string
		sys  fakeSystem
		want string
	}{
		{"pin17", other, `"pin17" is no pin: want a number as on the pinout, such as GPIO17 or 17, or gpiochipN:LINE`},
		{"", other, "is no pin"},
		{"-1", other, "is no pin"},
		{"gpiochip:3", other, "is no pin"},
		{"../etc:3", other, "is no pin"},
		{"99999999999999999999", other, "is no pin"},
		{"GPIO28", other, "GPIO0 to GPIO27"},
		{"17", other, "no Raspberry Pi's GPIO among gpiochip0 (9030000.pl061): write gpiochipN:LINE"},
		{"17", fakeSystem{}, "this system has no GPIO chip"},
		{"17", locked, "/dev/gpiochip4: permission denied: join the group gpio"},
		{"gpiochip4:1", locked, "join the group gpio"},
		{"gpiochip7:1", other, "/dev/gpiochip7: file does not exist"},
		{"gpiochip0:54", other, `"gpiochip0:54": the chip has lines 0 to 53`},
	} {
		_, err := open(c.name, c.sys)
		require.ErrorContains(t, err, c.want, c.name)
		for path, chip := range c.sys {
			require.Zero(t, chip.opened, "%s: %s stays open", c.name, path)
		}
	}
}

func header(t *testing.T) (*Pin, *fakeChip) {
	sys, chip := pi()
	p, err := open("GPIO17", sys)
	require.NoError(t, err)
	return p, chip
}

func TestOutput(t *testing.T) {
	p, chip := header(t)
	require.Empty(t, p.Function())
	require.Equal(t, gpio.Low, p.Read(), "before In and Out")

	require.NoError(t, p.Out(gpio.High))
	require.Equal(t, "OUT", p.Function())
	require.Equal(t, gpio.High, p.Read())
	require.NoError(t, p.Out(gpio.Low))
	require.Equal(t, gpio.Low, p.Read())
	require.NoError(t, p.Halt())
	require.NoError(t, p.Out(gpio.High))

	require.Equal(t, []config{{output: true, level: gpio.High}}, chip.requests, "reading and Halt leave an output as it is")
	require.Equal(t, []gpio.Level{gpio.Low, gpio.High}, chip.last.sets)
	require.False(t, p.WaitForEdge(-1), "an output has no edges")
	require.Error(t, p.PWM(gpio.DutyHalf, 0))
	require.NoError(t, p.Close())
	require.True(t, chip.last.isClosed())
	require.Equal(t, gpio.Low, p.Read())
}

func TestInput(t *testing.T) {
	p, chip := header(t)
	p.Debounce(time.Millisecond)
	require.NoError(t, p.In(gpio.PullUp, gpio.NoEdge))
	require.NoError(t, p.In(gpio.PullUp, gpio.FallingEdge))
	require.Equal(t, []config{
		{pull: gpio.PullUp},
		{pull: gpio.PullUp, edge: gpio.FallingEdge, debounce: time.Millisecond},
	}, chip.requests)
	require.Equal(t, gpio.PullUp, p.Pull())
	require.Equal(t, gpio.PullNoChange, p.DefaultPull())
	require.Equal(t, "IN", p.Function())

	chip.last.edge(gpio.Low)
	require.True(t, p.WaitForEdge(-1), "an edge before the call")
	require.False(t, p.WaitForEdge(0))
	chip.last.edge(gpio.Low)
	require.NoError(t, p.In(gpio.PullUp, gpio.FallingEdge))
	require.False(t, p.WaitForEdge(0), "In forgets edges")
}

// WaitForEdge(-1) waits as long as it takes, and what ends the pin's use as an
// input ends it.
func TestWaitForEdge(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(p *Pin, l *fakeLine) error
		want bool
	}{
		"edge":  {func(_ *Pin, l *fakeLine) error { l.edge(gpio.High); return nil }, true},
		"In":    {func(p *Pin, _ *fakeLine) error { return p.In(gpio.PullUp, gpio.RisingEdge) }, false},
		"Out":   {func(p *Pin, _ *fakeLine) error { return p.Out(gpio.Low) }, false},
		"Halt":  {func(p *Pin, _ *fakeLine) error { return p.Halt() }, false},
		"Close": {func(p *Pin, _ *fakeLine) error { return p.Close() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, chip := header(t)
				require.NoError(t, p.In(gpio.Float, gpio.RisingEdge))
				start, got := time.Now(), make(chan bool)
				go func() { got <- p.WaitForEdge(-1) }()
				time.Sleep(time.Hour)
				require.NoError(t, c.end(p, chip.last))
				require.Equal(t, c.want, <-got)
				require.Equal(t, time.Hour, time.Since(start))
			})
		})
	}
}

func TestWaitForEdgeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := header(t)
		require.False(t, p.WaitForEdge(-1), "not an input")
		require.NoError(t, p.In(gpio.Float, gpio.NoEdge))
		require.False(t, p.WaitForEdge(-1), "an input without edges")
		require.NoError(t, p.In(gpio.Float, gpio.BothEdges))
		start := time.Now()
		require.False(t, p.WaitForEdge(3*time.Second))
		require.Equal(t, 3*time.Second, time.Since(start))
	})
}

// A driver that refuses a period of debouncing still gives edges.
func TestDebounceWithoutTheKernel(t *testing.T) {
	const period = 10 * time.Millisecond
	for edge, want := range map[gpio.Edge]int{gpio.RisingEdge: 1, gpio.FallingEdge: 1, gpio.BothEdges: 2} {
		synctest.Test(t, func(t *testing.T) {
			p, chip := header(t)
			chip.refuse = func(c config) error {
				if c.debounce > 0 {
					return syscall.EINVAL
				}
				return nil
			}
			p.Debounce(period)
			require.NoError(t, p.In(gpio.PullDown, edge))
			require.Equal(t, config{pull: gpio.PullDown, edge: gpio.BothEdges}, chip.requests[1])
			require.Equal(t, gpio.PullDown, p.Pull())

			go func() {
				for range 3 { // pressed, with bouncing
					chip.last.edge(gpio.High)
					time.Sleep(period / 4)
					chip.last.edge(gpio.Low)
					time.Sleep(period / 4)
				}
				chip.last.edge(gpio.High)
				time.Sleep(10 * period)
				chip.last.edge(gpio.Low) // a spike of the other level
				chip.last.edge(gpio.High)
				time.Sleep(10 * period)
				chip.last.edge(gpio.Low) // let go
			}()
			edges := 0
			for p.WaitForEdge(time.Second) {
				edges++
			}
			require.Equal(t, want, edges, edge)
		})
	}
}

func TestDebounceOfNoise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, chip := header(t)
		chip.refuse = func(c config) error {
			if c.debounce > 0 {
				return errors.ErrUnsupported
			}
			return nil
		}
		p.Debounce(10 * time.Millisecond)
		require.NoError(t, p.In(gpio.Float, gpio.BothEdges))
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 100 {
				chip.last.edge(i%2 == 0)
				time.Sleep(time.Millisecond)
			}
		}()
		start := time.Now()
		require.False(t, p.WaitForEdge(50*time.Millisecond), "noise that never settles is no edge")
		require.InDelta(t, 0.05, time.Since(start).Seconds(), 0.011)
		<-done
	})
}

func TestRequestErrors(t *testing.T) {
	p, chip := header(t)
	chip.consumer = "spi0 CS0"
	p.Debounce(time.Millisecond)
	err := p.In(gpio.PullUp, gpio.RisingEdge)
	require.ErrorIs(t, err, syscall.EBUSY)
	require.ErrorContains(t, err, `GPIO17 is in use by "spi0 CS0"`)
	require.Len(t, chip.requests, 1, "a busy line is not asked for twice")

	chip.consumer = ""
	chip.refuse = func(config) error { return syscall.EINVAL }
	require.ErrorContains(t, p.Out(gpio.Low), "Linux 5.10 or later is needed")
	require.Equal(t, gpio.Low, p.Read())
}
