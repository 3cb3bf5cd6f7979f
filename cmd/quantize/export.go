package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"edgeclassify/internal/atomicfile"
	"edgeclassify/internal/cli"
	"edgeclassify/models"
	"edgeclassify/onnx"
	"edgeclassify/q8"
)

const exportUsage = `Usage: quantize export -onnx FILE.onnx MODEL.q8 [flags]
       quantize export -onnx FILE.onnx -float MODEL

Writes a network as an ONNX model, for other runtimes and tools. MODEL.q8
becomes a QDQ model: weights, scales and zero points are those of the file,
with ONNX Runtime in mind. Its input is one RGB picture in NCHW order as uint8
(int8, pixels minus 128, as s8s8), its output are the logits. How pictures become
input, classes and the activation behind the logits are in its metadata.

-format is the types of activations and weights. u8u8 is right on every CPU. On x86
CPUs without VNNI, ONNX Runtime adds products with int8 weights in 16 bits, which
saturate: as u8s8, the fastest with VNNI, ResNet50's logits have 4 instead of 29 dB
there; as s8s8, which some tools want, EfficientNet-Lite0's have 15 instead of 27.

With -float it is the float network, batch norm folded, that is written: a
fetched network's name or a path as for 'quantize build'. Its input is the
normalized picture as the network was trained on, float32 in NCHW order.

Examples:
  quantize export -onnx resnet50.onnx resnet50.q8
  quantize export -onnx resnet50-float.onnx -float resnet50-keras`

func exportCommand(_ context.Context, args []string, s cli.Streams) error {
	var o onnx.Options
	f := cli.Flags("quantize export", exportUsage, s)
	file := f.String("onnx", "", "write the ONNX model to `FILE.onnx`")
	float := f.String("float", "", "write the float network `MODEL`")
	format := f.String("format", string(onnx.U8U8), "activations and weights as `u8u8, s8s8 or u8s8`")
	f.BoolVar(&o.Exact, "exact", false, "round once behind a residual sum, as edge-classify does; ONNX Runtime then computes these convolutions in floating point")
	rest, err := cli.Parse(f, args)
	switch {
	case err != nil:
		return err
	case !slices.Contains(onnx.Formats(), onnx.Format(*format)):
		return cli.Usagef("-format %s: want one of %s", *format, onnx.Formats())
	case *file == "":
		return cli.Usagef("no output given: -onnx FILE.onnx")
	case *float != "" && len(rest) > 0:
		return cli.Usagef("-float and a model file exclude each other")
	case *float != "":
		return exportFloat(*file, *float)
	case len(rest) != 1:
		return cli.Usagef("want one model file, not %d", len(rest))
	}
	if err := checkOutputs([]place{{"the model", rest[0]}}, place{"-onnx", *file}); err != nil {
		return err
	}
	o.Format = onnx.Format(*format)
	model, err := q8.Open(rest[0])
	if err != nil {
		return err
	}
	defer model.Close()
	return atomicfile.Write(*file, 0o644, func(w io.Writer) error {
		if err := onnx.WriteQuantized(w, model.Model, o); err != nil {
			return fmt.Errorf("%s: %w", rest[0], err)
		}
		return nil
	})
}

func exportFloat(file, model string) error {
	if err := checkOutputs([]place{{"-float", model}}, place{"-onnx", file}); err != nil {
		return err
	}
	g, err := load(model, models.ImportOptions{})
	if err != nil {
		return err
	}
	folded, err := g.Fold()
	if err != nil {
		return err
	}
	return atomicfile.Write(file, 0o644, func(w io.Writer) error {
		return onnx.WriteFloat(w, folded)
	})
}
