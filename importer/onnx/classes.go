package onnx

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"edgeclassify/labels"
	"edgeclassify/models"
)

// classes are those of the metadata, or the usual ones.
func (imp *importing) classes(imported *models.Imported, n int, metadata map[string]string) []labels.Class {
	for _, key := range []string{"names", "labels", "classes", "class_names"} {
		text, ok := metadata[key]
		if !ok {
			continue
		}
		names := classNames(text)
		if len(names) != n {
			imp.notes = append(imp.notes, fmt.Sprintf("Metadata %q names %d classes, the network has %d: left out.", key, len(names), n))
			continue
		}
		imported.ClassesFrom = "metadata " + key
		classes := make([]labels.Class, n)
		for i, name := range names {
			classes[i] = labels.Class{ID: strconv.Itoa(i), Name: name}
		}
		return classes
	}
	return labels.Default(n)
}

// classNames reads a list in JSON, one name a line or between commas, or a dictionary
// as Python writes it: {0: 'cat', 1: "cat's"}.
func classNames(text string) []string {
	text = strings.TrimSpace(text)
	var names []string
	if json.Unmarshal([]byte(text), &names) == nil {
		return names
	}
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		return pythonNames(text)
	}
	separator := "\n"
	if !strings.Contains(text, separator) {
		separator = ","
	}
	for name := range strings.SplitSeq(text, separator) {
		names = append(names, strings.TrimSpace(name))
	}
	return names
}

// pythonNames are the quoted values of a list or a dictionary numbered from 0 on; nil
// if it is neither.
func pythonNames(text string) (names []string) {
	for text = text[1:]; ; {
		text = strings.TrimLeft(text, " ,\n\t")
		if text == "}" || text == "]" {
			return names
		}
		if key, rest, ok := strings.Cut(text, ":"); ok && strings.Trim(key, `'" `) == strconv.Itoa(len(names)) {
			text = strings.TrimLeft(rest, " ")
		}
		if text == "" || text[0] != '\'' && text[0] != '"' {
			return nil
		}
		name, end := strings.Builder{}, 1
		for end < len(text) && text[end] != text[0] {
			if text[end] == '\\' && end+1 < len(text) {
				end++
			}
			name.WriteByte(text[end])
			end++
		}
		if end == len(text) {
			return nil
		}
		names, text = append(names, name.String()), text[end+1:]
	}
}
