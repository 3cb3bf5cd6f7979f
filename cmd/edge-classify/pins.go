package main

import (
	"context"
	"flag"
	"strings"

	"edgeclassify/classify"
	"edgeclassify/pins"
)

// pinOptions are of what is wired to the board.
type pinOptions struct {
	trigger, display string
	leds             repeated
}

func (*pinOptions) title() string { return "Pins" }

func (o *pinOptions) flags(f *flag.FlagSet) {
	f.StringVar(&o.trigger, "trigger", "", "classify only when `PIN[:rising]` has an edge: falling, as of a button to ground, or rising")
	f.Var(&o.leds, "led", "switch a pin on while a label is seen: `PIN=LABEL[:P]`; P is 0.5 by default; may be repeated")
	f.StringVar(&o.display, "display", "", "show the label on a `DISPLAY`, ssd1306[-128x32][@i2c-1:0x3c]")
}

func (*pinOptions) check() error { return nil }

func (o *pinOptions) open(_ context.Context, all *options, m *classify.Model, out *outputs) error {
	if o.trigger != "" {
		t, err := pins.NewTrigger(o.trigger, out.log)
		if err != nil {
			return err
		}
		out.trigger = t.C()
		out.closers = append(out.closers, t.Close)
	}
	_, hold := all.steady()
	for _, rule := range o.leds {
		led, err := pins.NewLED(rule, m.Classes(), hold, out.log)
		if err != nil {
			return err
		}
		out.add(led)
	}
	if o.display != "" {
		display, err := pins.NewDisplay(o.display, out.log)
		if err != nil {
			return err
		}
		out.add(display)
	}
	return nil
}

// repeated is a flag that may be given several times.
type repeated []string

func (r *repeated) String() string { return strings.Join(*r, " ") }

func (r *repeated) Set(text string) error {
	*r = append(*r, text)
	return nil
}
