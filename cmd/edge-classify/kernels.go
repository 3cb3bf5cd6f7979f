package main

import (
	"encoding/json"
	"fmt"
	"os"

	"edgeclassify/internal/board"
	"edgeclassify/internal/cli"
	"edgeclassify/runtime"
)

const kernelsUsage = `Usage: edge-classify kernels [-json]

Lists the kernels that this CPU can run, the fastest first. An asterisk marks
the one in use without -kernel NAME.`

// kernelList is what the subcommand kernels prints.
type kernelList struct {
	CPU     string       `json:"cpu"`
	Threads int          `json:"default_threads"`
	Kernels []kernelItem `json:"kernels"`
}

type kernelItem struct {
	Name   string `json:"name"`
	Picked bool   `json:"picked"`
}

func runKernels(args []string, s cli.Streams) error {
	f := cli.Flags("edge-classify kernels", kernelsUsage, s)
	asJSON := f.Bool("json", false, "print one JSON object")
	rest, err := cli.Parse(f, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return cli.Usagef("kernels takes no arguments, found %q", rest[0])
	}
	list := kernelList{CPU: board.ReadProcessor(os.DirFS("/")).String(), Threads: runtime.DefaultThreads()}
	for i, k := range runtime.Kernels() {
		list.Kernels = append(list.Kernels, kernelItem{Name: k.Name, Picked: i == 0})
	}
	if *asJSON {
		return json.NewEncoder(s.Out).Encode(list)
	}
	fmt.Fprintf(s.Out, "%s; by default %s\n", list.CPU, count(list.Threads, "thread"))
	for _, k := range list.Kernels {
		mark := ' '
		if k.Picked {
			mark = '*'
		}
		fmt.Fprintf(s.Out, "%c %s\n", mark, k.Name)
	}
	return nil
}
