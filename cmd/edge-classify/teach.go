package main

import (
	"context"
	"flag"
	"fmt"

	"edgeclassify/classify"
	"edgeclassify/internal/cli"
	"edgeclassify/samples"
	"edgeclassify/trainer"
)

// teachOptions are of teaching on the live page.
type teachOptions struct {
	dir     string
	trainer *trainer.Trainer
}

func (*teachOptions) title() string { return "Teaching" }

func (o *teachOptions) flags(f *flag.FlagSet) {
	f.StringVar(&o.dir, "teach", "", "teach labels of your own on the live page; `DIR` keeps pictures and what was trained on them, which then runs instead of the model's own labels")
}

func (*teachOptions) check() error { return nil }

// begin has what was taught run, before anybody asks which labels there are.
func (o *teachOptions) begin(all *options, models *reloader) error {
	if o.dir == "" {
		return nil
	}
	if _, ok := models.model.File().Features(); !ok {
		return fmt.Errorf("-teach: %s cannot be taught: it has no global average before its last layer", all.model)
	}
	store, err := samples.Open(o.dir, samples.Options{Log: models.log})
	if err != nil {
		return fmt.Errorf("-teach: %w", err)
	}
	o.trainer = trainer.Open(trainer.Options{
		Store: store, Model: all.model, Models: models, ROI: all.roi, Limits: all.limits(), Tool: "edge-classify " + cli.Version(), Log: models.log,
	})
	return nil
}

func (o *teachOptions) open(_ context.Context, _ *options, _ *classify.Model, out *outputs) error {
	if o.trainer != nil {
		out.add(o.trainer)
	}
	return nil
}
