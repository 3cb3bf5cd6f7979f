package samples

import (
	"bufio"
	"bytes"
)

// LabelOf is the label of a folder in what Export wrote. The name of any other folder
// is its label.
func LabelOf(folder string) string {
	if label, ok := labelOf(folder); ok {
		return label
	}
	return folder
}

// GroupOf is the group of a photograph by its file; ok is false where a Store has not
// kept it.
func GroupOf(file []byte) (group int64, ok bool) {
	var f Features
	err := f.read(bufio.NewReader(bytes.NewReader(file)), make([]byte, maxSegment))
	return f.Group, err == nil
}
