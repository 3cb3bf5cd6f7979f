package samples

import (
	"fmt"
	"regexp"
	"strings"

	"edgeclassify/internal/printable"
	"edgeclassify/labels"
)

// maxLabel is in bytes: percent-encoded it is still a name that file systems take.
const maxLabel = 80

// checkLabel tells why a text can be no label, to which any other text is welcome.
func checkLabel(label string) error {
	switch {
	case label == "":
		return fmt.Errorf("samples: an empty label: want some text")
	case len(label) > maxLabel:
		return fmt.Errorf("samples: a label of %d bytes: want at most %d", len(label), maxLabel)
	case strings.TrimSpace(label) != label:
		return fmt.Errorf("samples: label %q: want no spaces around it", label)
	case printable.Text(label) != label:
		return fmt.Errorf("samples: label %q: want text that can be shown, in one line", label)
	}
	if err := labels.Check([]labels.Class{{Name: label}}); err != nil { // it will be a model's
		return fmt.Errorf("samples: %w", err)
	}
	return nil
}

// reserved are names that some systems take for something else than a folder of
// photographs, whatever their case.
var reserved = regexp.MustCompile(`(?i)^(?:\.|(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)|(?:thumbs\.db|desktop\.ini|__macosx)$)`)

// folder is the name of a label's folder on any file system: what would be read as
// something else is percent-encoded, the rest is as it is.
func folder(label string) string {
	var b strings.Builder
	special := reserved.MatchString(label)
	for i := range len(label) {
		c := label[i]
		last := i == len(label)-1 && c == '.' // which Windows takes away
		if i == 0 && special || last || strings.IndexByte(`%/\:*?"<>|`, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

var encoded = regexp.MustCompile(`%[0-9A-F]{2}`)

// labelOf is the label of which name is the folder; ok is false where there is none.
func labelOf(name string) (label string, ok bool) {
	label = encoded.ReplaceAllStringFunc(name, func(hex string) string {
		var c byte
		_, _ = fmt.Sscanf(hex, "%%%02X", &c)
		return string([]byte{c})
	})
	return label, checkLabel(label) == nil && folder(label) == name
}
