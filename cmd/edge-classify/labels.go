package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"edgeclassify/internal/cli"
	"edgeclassify/labels"
	"edgeclassify/q8"
)

const labelsUsage = `Usage: edge-classify labels -model FILE.q8 [-json]

Lists the labels of a model: number, id and name, as -watch and -led take them.
'quantize label' gives a model others.

With -json a list of objects is printed: index, id and name.`

// labelItem is a class with its number.
type labelItem struct {
	Index int `json:"index"`
	labels.Class
}

func runLabels(args []string, s cli.Streams) error {
	f := cli.Flags("edge-classify labels", labelsUsage, s)
	model := f.String("model", "", "the quantized network, a .q8 `FILE`")
	asJSON := f.Bool("json", false, "print a JSON list")
	rest, err := cli.Parse(f, args)
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return cli.Usagef("labels takes no arguments, found %q", rest[0])
	case *model == "":
		return cli.Usagef("no model given: -model FILE.q8")
	}
	file, err := q8.Open(*model)
	if err != nil {
		return err
	}
	defer file.Close()
	if *asJSON {
		items := make([]labelItem, len(file.Classes))
		for i, c := range file.Classes {
			items[i] = labelItem{i, c}
		}
		return json.NewEncoder(s.Out).Encode(items)
	}
	t := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	for i, c := range file.Classes {
		fmt.Fprintf(t, "%d\t%s\t%s\n", i, c.ID, c.Name)
	}
	return t.Flush()
}
