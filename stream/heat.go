package stream

import (
	"context"
	"sync/atomic"
	"time"

	"edgeclassify/internal/board"
)

// heat is the board's state as last read. Reading takes a dozen files, and so
// is done beside the loop.
type heat struct{ state atomic.Pointer[board.State] }

// watch reads the state every few seconds until ctx ends.
func (h *heat) watch(ctx context.Context, read func() board.State) {
	tick := time.NewTicker(boardPoll)
	defer tick.Stop()
	for {
		state := read()
		h.state.Store(&state)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// read is the temperature in degrees Celsius and the reasons for throttling;
// zero values where they are not known.
func (h *heat) read() (celsius float64, throttled []string) {
	state := h.state.Load()
	if state == nil {
		return 0, nil
	}
	if state.Celsius != nil {
		celsius = *state.Celsius
	}
	if state.Throttle != nil {
		throttled = state.Throttle.Now
	}
	return celsius, throttled
}
