package pins

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"edgeclassify/internal/syncbuffer"

	"github.com/stretchr/testify/require"
	"periph.io/x/conn/v3/gpio"

	"edgeclassify/capture"
	"edgeclassify/classify"
	"edgeclassify/stream"
)

func TestParseRule(t *testing.T) {
	for spec, want := range map[string]rule{
		"17=tabby":                    {"17", "tabby", []int{0}, 0.5},
		"GPIO17=Tabby:0.6":            {"GPIO17", "Tabby", []int{0}, 0.6},
		"gpiochip0:5=n02123394:1":     {"gpiochip0:5", "n02123394", []int{1}, 1},
		"gpiochip0:5=persian cat:.25": {"gpiochip0:5", "persian cat", []int{1}, 0.25},
		"17=crane":                    {"17", "crane", []int{2, 3}, 0.5},
		"17=n03126707":                {"17", "n03126707", []int{3}, 0.5},
	} {
		got, err := parseRule(spec, classes())
		require.NoError(t, err, spec)
		require.Equal(t, want, got, spec)
	}
	for spec, want := range map[string]string{
		"":               "want PIN=LABEL[:MIN]",
		"17":             "want PIN=LABEL[:MIN]",
		"=tabby":         "want PIN=LABEL[:MIN]",
		"17=":            "want PIN=LABEL[:MIN]",
		"17=tabby:":      `least probability "": want a number above 0`,
		"17=tabby:much":  `least probability "much"`,
		"17=tabby:0":     `least probability "0"`,
		"17=tabby:1.1":   `least probability "1.1"`,
		"17=tabby:NaN":   `least probability "NaN"`,
		"17=taby":        `no class "taby": did you mean tabby?`,
		"17=spaceship:1": `no class "spaceship"`,
		"x=tabby":        `"x" is no pin`,
	} {
		_, err := NewLED(spec, classes(), 0, nil)
		require.ErrorContains(t, err, want, spec)
		require.ErrorContains(t, err, `LED "`+spec+`"`)
	}
}

// result is one with these probabilities of classes, by their numbers.
func result(probs map[int]float64) *stream.Result {
	r := &stream.Result{Probabilities: make([]float64, len(classes()))}
	for class, p := range probs {
		r.Top = append(r.Top, classify.Prediction{Class: class, Label: classes()[class].Name, Probability: p})
		r.Probabilities[class] = p
	}
	return r
}

func startLED(t *testing.T, spec string, hold time.Duration) (*LED, *fakePin) {
	r, err := parseRule(spec, classes())
	require.NoError(t, err)
	p := newFakePin()
	l, err := newLED(r, p, hold, orSilent(nil))
	require.NoError(t, err)
	return l, p
}

func TestLED(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p := startLED(t, "17=tabby:0.6", 300*time.Millisecond)
		require.Equal(t, []gpio.Level{gpio.Low}, p.outs, "off to begin with")
		for i, step := range []struct {
			prob float64
			want gpio.Level
		}{
			{0.9, gpio.Low}, {0.9, gpio.Low}, {0.1, gpio.Low}, // two in a row are not enough
			{0.6, gpio.Low}, {0.6, gpio.Low}, {0.6, gpio.High},
			{0.5, gpio.High}, {0.5, gpio.High}, {0.5, gpio.High}, // held, as stream.Seen has it
			{0.1, gpio.High}, {0.1, gpio.High}, {0.7, gpio.High},
			{0.1, gpio.High}, {0.1, gpio.High}, {0.1, gpio.Low},
		} {
			time.Sleep(101 * time.Millisecond)
			l.Result(result(map[int]float64{0: step.prob, 1: 1 - step.prob}), nil)
			synctest.Wait()
			require.Equal(t, step.want, p.Read(), "step %d", i)
		}
		require.Len(t, p.outs, 3, "the pin is written when it changes")
		require.NoError(t, l.Close())
	})
}

// Another model has the label elsewhere, or not at all.
func TestLEDOfAnotherModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p := startLED(t, "17=tabby", 0)
		l.Result(result(map[int]float64{0: 1}), nil)
		synctest.Wait()
		require.Equal(t, gpio.High, p.Read())
		backwards := classes()
		slices.Reverse(backwards)
		require.NoError(t, l.Fits(backwards))
		l.Model(stream.Model{Classes: backwards})
		synctest.Wait()
		require.Equal(t, gpio.Low, p.Read(), "what was seen is the other model's")
		l.Result(result(map[int]float64{0: 1}), nil)
		synctest.Wait()
		require.Equal(t, gpio.Low, p.Read())
		l.Result(result(map[int]float64{len(backwards) - 1: 1}), nil)
		synctest.Wait()
		require.Equal(t, gpio.High, p.Read())

		require.ErrorContains(t, l.Fits(backwards[:1]), `LED 17=tabby: no class "tabby"`)
		l.Model(stream.Model{Classes: backwards[:1]})
		l.Result(result(map[int]float64{len(backwards) - 1: 1}), nil)
		synctest.Wait()
		require.Equal(t, gpio.Low, p.Read())
		require.NoError(t, l.Close())
	})
}

func TestLEDOfASharedName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p := startLED(t, "17=crane:0.6", 0)
		l.Result(result(map[int]float64{2: 0.35, 3: 0.3}), nil)
		synctest.Wait()
		require.Equal(t, gpio.High, p.Read())
		l.Result(result(nil), nil)
		synctest.Wait()
		require.Equal(t, gpio.Low, p.Read(), "what is not among the results is not seen")
		require.NoError(t, l.Close())
	})
}

func TestLEDGoesOff(t *testing.T) {
	seen := result(map[int]float64{0: 1})
	for _, state := range []string{capture.Starting, capture.Stalled, capture.Missing, capture.Failed} {
		synctest.Test(t, func(t *testing.T) {
			l, p := startLED(t, "17=tabby", 2*time.Second)
			time.Sleep(2 * time.Second)
			l.Result(seen, nil)
			l.Status(capture.Status{State: capture.Streaming})
			l.Event(stream.Event{Label: "tabby", Kind: stream.End}, nil)
			synctest.Wait()
			require.Equal(t, gpio.High, p.Read())
			l.Status(capture.Status{State: state})
			synctest.Wait()
			require.Equal(t, gpio.Low, p.Read(), state)

			l.Result(seen, nil)
			time.Sleep(2 * time.Second)
			l.Status(capture.Status{State: state})
			l.Result(seen, nil)
			synctest.Wait()
			require.Equal(t, gpio.Low, p.Read(), "%s: results from before do not count", state)
			require.NoError(t, l.Close())
		})
	}
}

func TestLEDClose(t *testing.T) {
	l, p := startLED(t, "17=tabby", 0)
	l.Result(result(map[int]float64{0: 1}), nil)
	require.NoError(t, l.Close())
	require.Equal(t, gpio.Low, p.Read())
	<-p.closed
	l.Status(capture.Status{State: capture.Missing}) // a late call neither blocks nor panics
	l.Result(result(map[int]float64{0: 1}), nil)
	l.Result(result(nil), nil)
	require.Equal(t, gpio.Low, p.Read())
}

func TestLEDFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		var logged syncbuffer.Buffer
		p := newFakePin()
		l, err := newLED(rule{classes: []int{0}, min: 0.5}, p, 0, slog.New(slog.NewTextHandler(&logged, nil)))
		require.NoError(t, err)
		p.failWith(broken)
		for i := range 10 {
			l.Result(result(map[int]float64{0: float64(i % 2)}), nil)
			synctest.Wait()
		}
		require.Equal(t, 1, bytes.Count([]byte(logged.String()), []byte("broken")), "told once: %s", &logged)
		require.ErrorIs(t, l.Close(), broken)

		_, err = newLED(rule{}, p, 0, orSilent(nil))
		require.ErrorIs(t, err, broken)
	})
}

func TestSinksAllocateNothing(t *testing.T) {
	l, _ := startLED(t, "17=tabby", 0)
	defer l.Close()
	d, err := newDisplay(&screen{addr: 0x3c}, displaySpec{height: 64, addr: 0x3c}, orSilent(nil))
	require.NoError(t, err)
	d.worker.stop() // it allocates, beside the stream
	r := result(map[int]float64{1: 1})
	require.Zero(t, testing.AllocsPerRun(100, func() {
		r.Time = r.Time.Add(time.Second)
		l.Result(r, nil)
		d.Result(r, nil)
	}))
}
