package gpio

import (
	"errors"
	"os"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// debounced is a line that tells of an edge once its level has been steady for
// a period, for drivers that refuse to do so. The line below tells of both
// edges.
type debounced struct {
	line
	period time.Duration
	edge   gpio.Edge
	level  gpio.Level // the last steady one
}

func debounce(l line, c config) (line, error) {
	level, err := l.value()
	if err != nil {
		l.Close()
		return nil, err
	}
	return &debounced{line: l, period: c.debounce, edge: c.edge, level: level}, nil
}

func (d *debounced) wait(deadline time.Time) error {
	for {
		if err := d.line.wait(deadline); err != nil {
			return err
		}
		if err := d.settle(deadline); err != nil {
			return err
		}
		level, err := d.value()
		if err != nil {
			return err
		}
		if level == d.level {
			continue // it was a spike
		}
		d.level = level
		if d.edge == gpio.BothEdges || (d.edge == gpio.RisingEdge) == (level == gpio.High) {
			return nil
		}
	}
}

// settle waits until there has been no edge for a period.
func (d *debounced) settle(deadline time.Time) error {
	for {
		err := d.line.wait(time.Now().Add(d.period))
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		case !deadline.IsZero() && time.Now().After(deadline):
			return os.ErrDeadlineExceeded
		}
	}
}
