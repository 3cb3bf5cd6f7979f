package main

import (
	"context"
	"fmt"
	"strings"

	"edgeclassify/internal/cli"
	"edgeclassify/internal/fetch"
)

const fetchUsage = `Usage: quantize fetch NAME

Gets the weights of a known network, verifies them and keeps them in a cache
folder (set EDGE_CLASSIFY_CACHE to choose it), where the other commands find
them by NAME. An interrupted fetch goes on where it stopped when run again.

Networks:
`

func fetchCommand(ctx context.Context, args []string, s cli.Streams) error {
	var usage strings.Builder
	usage.WriteString(fetchUsage)
	for _, m := range fetch.Names() {
		fmt.Fprintf(&usage, "  %s\n      %s\n      from %s, licence: %s\n", m.Name, m.Description, m.Origin, m.License)
	}
	f := cli.Flags("quantize fetch", strings.TrimRight(usage.String(), "\n"), s)
	url := f.String("url", "", "download from `URL` instead, a mirror; the contents are verified all the same")
	rest, err := cli.Parse(f, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return cli.Usagef("want the name of one network, not %d", len(rest))
	}
	move, end := cli.Progress(s.Err, "fetching "+rest[0], true)
	path, err := fetch.Fetch(ctx, rest[0], fetch.Options{URL: *url, Progress: move})
	end()
	if err != nil {
		return err
	}
	fmt.Fprintln(s.Out, path)
	return nil
}
