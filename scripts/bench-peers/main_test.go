package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fake takes a time for each frame that it only claims.
type fake struct {
	frame  time.Duration
	logits []float32
	err    error
	closed *int
}

func (f fake) run(_ []uint8, frames int) ([]float32, []time.Duration, error) {
	times := make([]time.Duration, frames)
	for i := range times {
		times[i] = f.frame
	}
	return f.logits, times, f.err
}

func (f fake) version() string { return "1.2" }

func (f fake) Close() error {
	*f.closed++
	return nil
}

func contestOf(engines ...fake) (c contest, closed *int) {
	c, closed = contest{Network: "n", Precision: "int8", Kernel: "k"}, new(int)
	for _, e := range engines {
		e.closed = closed
		c.entrants = append(c.entrants, entrant{label{Engine: "e"}, func(int) (engine, error) { return e, nil }})
	}
	return c, closed
}

func TestContest(t *testing.T) {
	c, closed := contestOf(fake{frame: time.Millisecond, logits: []float32{1, 3}}, fake{frame: 2 * time.Millisecond, logits: []float32{3, 1}})
	require.NoError(t, c.race(t.Context(), options{rounds: 2, turn: time.Millisecond}, 1, nil))
	require.NoError(t, c.judge(t.Context(), [][]uint8{nil}, [][]float32{{1, 3}}))
	require.Equal(t, 4, *closed)
	want := label{"e", "1.2"}
	require.Equal(t, []speed{{want, 1, 1, 1, 1, 1, 1}, {want, 1, 2, 2, 0.5, 0.5, 0.5}}, c.Speed)
	require.Equal(t, []int{1, 0}, []int{c.Logits[0].Agree, c.Logits[1].Agree})
	require.EqualValues(t, noiseless, c.Logits[0].Worst)
	require.InDelta(t, 0.97, c.Logits[1].Worst, 0.01) // 10 to 8
	var out bytes.Buffer
	c.print(&out)
	require.Contains(t, out.String(), "n int8, kernel k\n")
	require.Contains(t, out.String(), "e (1.2)")
	text, err := json.Marshal(c)
	require.NoError(t, err)
	require.Contains(t, string(text), `{"engine":"e","version":"1.2","threads":1,`)
}

func TestEnginesThatFailEndTheContest(t *testing.T) {
	died := errors.New("died")
	c, closed := contestOf(fake{frame: 1}, fake{frame: 1, err: died})
	require.ErrorIs(t, c.race(t.Context(), options{rounds: 1}, 1, nil), died)
	require.Equal(t, 2, *closed)

	c, _ = contestOf(fake{logits: []float32{1}})
	require.ErrorContains(t, c.judge(t.Context(), [][]uint8{nil}, [][]float32{{1, 3}}), "1 logits, the float network has 2")

	c, closed = contestOf(fake{})
	c.entrants = append(c.entrants, entrant{label{Engine: "gone"}, func(int) (engine, error) { return nil, died }})
	require.ErrorIs(t, c.judge(t.Context(), nil, nil), died)
	require.Equal(t, 1, *closed)
}
