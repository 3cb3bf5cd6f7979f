package main

import (
	"context"
	"fmt"

	"edgeclassify/internal/cli"
	"edgeclassify/q8"
)

const labelUsage = `Usage: quantize label MODEL.q8 -labels PATH [-out FILE.q8]

Gives the classes of a model file other labels. All else stays as it is, byte for
byte.

PATH is one of:
  a text file with a label on each line, in the order of the network's outputs;
      or with numbers or WordNet ids in front ("0 cat", "n01440764 tench")
  a JSON list of labels; or a map of numbers to labels, or of labels to numbers
      (id2label, class_to_idx, class_indices)
  config.json of timm or Hugging Face, metadata.json of Teachable Machine
  a folder with a folder for each class, in the order of torchvision and Keras

A network with one output and a sigmoid has two labels: the second is that of a
high output.

Example:
  quantize label flowers.q8 -labels train/`

func labelCommand(_ context.Context, args []string, s cli.Streams) error {
	f := cli.Flags("quantize label", labelUsage, s)
	path := f.String("labels", "", "take the labels from the file or folder `PATH`")
	out := f.String("out", "", "write to `FILE.q8` instead of the model file itself")
	rest, err := cli.Parse(f, args)
	switch {
	case err != nil:
		return err
	case len(rest) != 1:
		return cli.Usagef("want one model file, not %d", len(rest))
	case *path == "":
		return cli.Usagef("no labels given: -labels PATH")
	}
	if err := checkOutputs([]place{{"-labels", *path}}, place{"-out", *out}); err != nil {
		return err
	}
	if *out == "" {
		*out = rest[0]
	}
	file, err := q8.Open(rest[0])
	if err != nil {
		return err
	}
	defer file.Close()
	classes, err := readLabels(*path, file.Activation, file.Classifier().Out)
	if err != nil {
		return err
	}
	m, err := q8.New(file.Network, file.Preprocess, classes, file.Activation, file.Provenance, file.SelfTest)
	if err != nil {
		return err
	}
	if err := q8.Write(*out, m); err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "%s: %d labels, %s to %s\n", *out, len(classes), classes[0].Name, classes[len(classes)-1].Name)
	return nil
}
