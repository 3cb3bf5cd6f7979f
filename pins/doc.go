// Package pins connects a stream with the world by pins: a button that asks for
// a picture, lights and relays that a label switches, and a display.
//
// LED and Display are sinks of a stream. Pins and displays may be slow, and so
// each is served by a goroutine of its own, which gets the newest value there
// is: a stream never waits for them.
package pins

import (
	"io"
	"log/slog"

	"periph.io/x/conn/v3/gpio"
)

// pin is a pin that can be let go of.
type pin interface {
	gpio.PinIO
	io.Closer
}

func orSilent(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
