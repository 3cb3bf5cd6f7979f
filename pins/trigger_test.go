package pins

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"edgeclassify/internal/syncbuffer"

	"github.com/stretchr/testify/require"
	"periph.io/x/conn/v3/gpio"
)

func TestParseTrigger(t *testing.T) {
	for spec, want := range map[string]struct {
		name string
		edge gpio.Edge
		pull gpio.Pull
	}{
		"17":                   {"17", gpio.FallingEdge, gpio.PullUp},
		"GPIO17:falling":       {"GPIO17", gpio.FallingEdge, gpio.PullUp},
		"GPIO17:rising":        {"GPIO17", gpio.RisingEdge, gpio.PullDown},
		"gpiochip0:3":          {"gpiochip0:3", gpio.FallingEdge, gpio.PullUp},
		"gpiochip0:3:rising":   {"gpiochip0:3", gpio.RisingEdge, gpio.PullDown},
		"gpiochip0:3:sideways": {"gpiochip0:3:sideways", gpio.FallingEdge, gpio.PullUp}, // no pin's name
	} {
		name, pull, edge := parseTrigger(spec)
		require.Equal(t, want.name, name)
		require.Equal(t, want.edge, edge, spec)
		require.Equal(t, want.pull, pull, spec)
	}
	_, err := NewTrigger("gpiochip0:3:sideways", nil)
	require.ErrorContains(t, err, `trigger "gpiochip0:3:sideways": gpio: "gpiochip0:3:sideways" is no pin`)
}

func TestTrigger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged syncbuffer.Buffer
		p := newFakePin()
		trigger, err := newTrigger(p, gpio.PullUp, gpio.FallingEdge, slog.New(slog.NewTextHandler(&logged, nil)))
		require.NoError(t, err)
		require.Equal(t, gpio.PullUp, p.pull)
		require.Equal(t, gpio.FallingEdge, p.edge)

		time.Sleep(time.Hour)
		require.Empty(t, trigger.C())
		pressed := time.Now()
		for range 3 {
			p.EdgesChan <- gpio.Low
			synctest.Wait()
			time.Sleep(time.Second)
		}
		require.Equal(t, pressed, <-trigger.C())
		require.Empty(t, trigger.C(), "presses that nobody had time for are dropped")

		p.EdgesChan <- gpio.Low
		require.NotZero(t, <-trigger.C())
		require.NoError(t, trigger.Close())
		require.Empty(t, logged.String())
	})
}

func TestTriggerFailures(t *testing.T) {
	broken := errors.New("broken")
	p := newFakePin()
	p.failWith(broken)
	_, err := newTrigger(p, gpio.PullUp, gpio.FallingEdge, orSilent(nil))
	require.ErrorIs(t, err, broken)

	var logged syncbuffer.Buffer
	p = newFakePin()
	trigger, err := newTrigger(p, gpio.PullUp, gpio.FallingEdge, slog.New(slog.NewTextHandler(&logged, nil)))
	require.NoError(t, err)
	close(p.closed) // unplugged
	<-trigger.done
	require.Contains(t, logged.String(), "pin=GPIO17")
	require.Empty(t, trigger.C())
}
