package deploy

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Setting is a flag of the program for its settings' file.
type Setting struct{ Key, Value string }

// Settings reads flags as a command line has them: -key=value, -key value, or -key
// for true. A value that begins with a hyphen needs the form with =.
func Settings(args []string) (list []Setting, err error) {
	for i := 0; i < len(args); i++ {
		name, ok := strings.CutPrefix(args[i], "-")
		if name = strings.TrimPrefix(name, "-"); !ok || name == "" {
			return nil, fmt.Errorf("deploy: %q is no flag of edge-classify", args[i])
		}
		key, value, given := strings.Cut(name, "=")
		switch {
		case given:
		case i+1 < len(args) && !strings.HasPrefix(args[i+1], "-"):
			i++
			value = args[i]
		default:
			value = "true"
		}
		if strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || key == "" {
			return nil, fmt.Errorf("deploy: %q is no flag of edge-classify", args[i])
		}
		switch key {
		case "model", "config", "version", "h", "help":
			return nil, fmt.Errorf("deploy: -%s has no place in the settings of a service", key)
		}
		// The file has a line for each, and no escapes.
		if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) || strings.TrimSpace(value) != value {
			return nil, fmt.Errorf("deploy: -%s %q: a file of settings cannot hold this value", key, value)
		}
		list = append(list, Setting{key, value})
	}
	return list, nil
}

// value is that of the last setting with the key, "" without one.
func value(list []Setting, key string) (v string) {
	for _, s := range list {
		if s.Key == key {
			v = s.Value
		}
	}
	return v
}

// file is the settings' file of the service.
func file(list []Setting, model string) string {
	var b strings.Builder
	b.WriteString("# Written by 'quantize deploy', which the next time replaces it where flags are given.\n")
	fmt.Fprintf(&b, "model = %s\n", model)
	if value(list, "camera") == "" {
		b.WriteString("camera = auto\n")
	}
	if value(list, "wait") == "" {
		b.WriteString("wait = true\n")
	}
	for _, s := range list {
		fmt.Fprintf(&b, "%s = %s\n", s.Key, s.Value)
	}
	return b.String()
}
