package models

import "embed"

//go:embed ranges/*.json
var ranges embed.FS

// RangeTables returns the activation range tables that come with the program,
// as JSON by file name. How they were made is told in ranges/README.md.
func RangeTables() (map[string][]byte, error) {
	entries, err := ranges.ReadDir("ranges")
	if err != nil {
		return nil, err
	}
	tables := map[string][]byte{}
	for _, e := range entries {
		if tables[e.Name()], err = ranges.ReadFile("ranges/" + e.Name()); err != nil {
			return nil, err
		}
	}
	return tables, nil
}
