package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"edgeclassify/calibrate"
	"edgeclassify/int8"
	"edgeclassify/runtime"
)

// chooseInt16 puts as many int16 outputs in the table as -max-drop takes. What they
// give goes to standard output.
func (b *build) chooseInt16(ctx context.Context) error {
	bars := newBars(b.streams.Err)
	choice, err := calibrate.ChooseInt16(ctx, b.Float, b.Table, b.Sample(), calibrate.Int16Options{
		Threads: b.threads, MaxDrop: b.maxDrop / 100, Progress: bars.move,
	})
	bars.end()
	if err != nil {
		return err
	}
	b.Table, b.Sensitivities, b.Logits = choice.Table, choice.Sensitivities, choice.Logits
	if err := printInt16(b.streams.Out, choice); err != nil {
		return err
	}
	first, last := choice.Rounds[0], choice.Rounds[len(choice.Rounds)-1]
	if last.Drop <= b.maxDrop/100 {
		return nil
	}
	err = fmt.Errorf("-max-drop %g is out of reach: the first class is still expected to change on %.2f %% of pictures with %d int16 outputs, on %.2f %% without any; "+
		"the rest of the noise comes from 8-bit weights: try -method best, more pictures or a higher -max-drop",
		b.maxDrop, 100*last.Drop, len(choice.Layers), 100*first.Drop)
	if !b.force {
		return err
	}
	fmt.Fprintf(b.streams.Err, "quantize: %v\n", err)
	return nil
}

// printInt16 shows what each int16 output was expected to give and costs, and
// what all did.
func printInt16(out io.Writer, c *calibrate.Int16Choice) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(c.Layers) > 0 {
		fmt.Fprintln(t, "int16 output\tgain so far dB\texpected drop so far\tbytes\tA76 us\t")
	}
	microseconds := 0.0
	for _, l := range c.Layers {
		fmt.Fprintf(t, "%s\t%.2f\t%.2f %%\t%d\t%+.0f\t\n", l.Layer, l.Gain, 100*l.Drop, l.Bytes, l.Microseconds)
		microseconds += l.Microseconds
	}
	if err := t.Flush(); err != nil {
		return err
	}
	first, last := c.Rounds[0], c.Rounds[len(c.Rounds)-1]
	before, err := arenaBytes(first.Network)
	if err != nil {
		return err
	}
	after, err := arenaBytes(last.Network)
	fmt.Fprintf(out, "int16 outputs: %d; measured on %d pictures, first class expected to differ in %.2f %% instead of %.2f %%\n", len(c.Layers), len(c.Logits), 100*last.Drop, 100*first.Drop)
	fmt.Fprintf(out, "arena %d bytes instead of %d; one Cortex-A76 at 2.4 GHz predicted to take %.0f us more for a frame\n", after, before, microseconds)
	return err
}

func arenaBytes(n *int8.Network) (int, error) {
	plan, err := runtime.Compile(n, runtime.Options{Threads: 1})
	if err != nil {
		return 0, err
	}
	return plan.ArenaBytes(), nil
}
