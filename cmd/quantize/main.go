// Command quantize turns trained float networks into int8 ones that
// edge-classify runs. Run it with -h for its subcommands.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"edgeclassify/internal/cli"
)

const usage = `Usage: quantize COMMAND [flags] [arguments]

Turns trained float networks into int8 model files for edge-classify.

Commands:
  fetch    get the weights of a known network
  build    quantize a network into a .q8 file
  teach    teach a .q8 file classes of your own, from a few photographs of each
  label    give the classes of a .q8 file other labels
  eval     measure a .q8 file on pictures, beside its float network
  inspect  show what a .q8 file holds
  export   write a network as an ONNX model
  deploy   put a .q8 file and edge-classify on a board, as a service

Run 'quantize COMMAND -h' for a command's flags.

Example, from nothing to a model file:
  quantize fetch resnet50-keras
  quantize build -model resnet50-keras -out resnet50.q8

Exit codes: 0 success; 1 something could not be done, standard error says
what; 2 wrong usage; 3 the quantized model is not fit for use.`

func main() { os.Exit(cli.Main("quantize", run)) }

func run(ctx context.Context, args []string, s cli.Streams) error {
	commands := map[string]func(context.Context, []string, cli.Streams) error{
		"fetch": fetchCommand, "build": buildCommand, "teach": teachCommand, "label": labelCommand, "eval": evalCommand, "inspect": inspectCommand,
		"export": exportCommand, "deploy": deployCommand,
	}
	if len(args) == 0 {
		return cli.Usagef("no command given")
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		fmt.Fprintln(s.Out, usage)
		return flag.ErrHelp
	case "-version", "--version", "version":
		fmt.Fprintln(s.Out, "quantize", cli.Version())
		return nil
	}
	command, ok := commands[args[0]]
	if !ok {
		return cli.Usagef("unknown command %q", args[0])
	}
	return command(ctx, args[1:], s)
}
