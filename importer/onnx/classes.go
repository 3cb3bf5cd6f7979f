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
		classes, err := parseClasses(text)
		if err == nil && len(classes) != n {
			err = fmt.Errorf("%d classes, the network has %d", len(classes), n)
		}
		if err == nil {
			imported.ClassesFrom = "metadata " + key
			return classes
		}
		imp.notes = append(imp.notes, fmt.Sprintf("The file's metadata %q is left out: %v.", key, err))
	}
	return labels.Default(n)
}

// parseClasses reads what labels.Parse does, names between commas, or a dictionary
// or list as Python writes it: {0: 'cat', 1: "cat's"}.
func parseClasses(text string) ([]labels.Class, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		if names := pythonNames(text); names != nil && !json.Valid([]byte(text)) {
			quoted, err := json.Marshal(names)
			if err != nil {
				return nil, err
			}
			text = string(quoted)
		}
	} else if !strings.Contains(text, "\n") {
		text = strings.ReplaceAll(text, ",", "\n")
	}
	return labels.Parse([]byte(text))
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
