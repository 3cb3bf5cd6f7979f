package labels

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// lists are the keys under which files of others hold their classes.
var lists = []string{
	"id2label", "label_names", "labels", "class_names", "classes",
	"class_to_idx", "class_indices", "idx_to_class", "label2id",
}

// parseJSON reads a list, a map or an object that holds one.
func parseJSON(data []byte) ([]Class, error) {
	if !utf8.Valid(data) { // encoding/json would put in replacement characters
		return nil, errors.New("not UTF-8")
	}
	if !json.Valid(data) {
		return nil, fmt.Errorf("it begins like JSON and is none: %w; a Python dictionary becomes JSON by json.dump", json.Unmarshal(data, new(any)))
	}
	if data[0] == '[' {
		return parseList(data, nil)
	}
	members, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	for _, key := range lists {
		value := members.value(key)
		if len(value) == 0 || value[0] != '[' && value[0] != '{' { // or a class of that name
			continue
		}
		descriptions, err := parseDescriptions(members.value("label_descriptions"))
		if err != nil {
			return nil, fmt.Errorf("label_descriptions: %w", err)
		}
		classes, err := parseClasses(value, descriptions)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return classes, nil
	}
	return members.classes(nil)
}

func parseClasses(data []byte, descriptions map[string]string) ([]Class, error) {
	if data[0] == '[' {
		return parseList(data, descriptions)
	}
	members, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	return members.classes(descriptions)
}

// parseDescriptions reads timm's: texts by names.
func parseDescriptions(data []byte) (descriptions map[string]string, err error) {
	if len(data) > 0 {
		err = json.Unmarshal(data, &descriptions)
	}
	return descriptions, err
}

func parseList(data []byte, descriptions map[string]string) ([]Class, error) {
	var values []json.RawMessage
	if err := json.Unmarshal(data, &values); err != nil {
		return nil, err
	}
	switch {
	case len(values) == 0:
		return nil, errors.New("the list is empty")
	case len(values) > maxClasses:
		return nil, tooMany(len(values))
	}
	list := make([]entry, len(values))
	for i, v := range values {
		where := fmt.Sprintf("element %d", i)
		var err error
		if list[i], err = parseEntry(v, descriptions); err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		list[i].where = where
	}
	return order(list)
}

// parseEntry reads a name, an [id, name] or an object with name and perhaps id
// and index.
func parseEntry(value []byte, descriptions map[string]string) (entry, error) {
	e := entry{index: none}
	switch value[0] {
	case '"':
		if err := json.Unmarshal(value, &e.name); err != nil {
			return e, err
		}
		if text := descriptions[e.name]; text != "" {
			e.id, e.name = e.name, text
		}
		return e, nil
	case '[':
		var pair []string
		if err := json.Unmarshal(value, &pair); err != nil || len(pair) != 2 {
			return e, errors.New("want an id and a name in a list")
		}
		e.id, e.name = pair[0], pair[1]
		return e, nil
	case '{':
		var o struct {
			Index *int
			ID    any
			Name  string
		}
		if err := json.Unmarshal(value, &o); err != nil {
			return e, err
		}
		e.name = o.Name
		switch id := o.ID.(type) {
		case nil:
		case string:
			e.id = id
		case float64:
			e.id = strconv.FormatFloat(id, 'g', -1, 64)
		default:
			return e, errors.New("id is neither a text nor a number")
		}
		if o.Index != nil {
			e.index = *o.Index
		}
		return e, nil
	}
	return e, fmt.Errorf("want a name, found %.20s", value)
}

// object is a JSON object's members in the order of the file.
type object []member

type member struct {
	key   string
	value json.RawMessage
}

func (o object) value(key string) json.RawMessage {
	for _, m := range o {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

// parseObject refuses repeated keys, of which encoding/json takes the last.
func parseObject(data []byte) (o object, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil { // {
		return nil, err
	}
	seen := make(map[string]bool)
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		m := member{key: key.(string)}
		if err := d.Decode(&m.value); err != nil {
			return nil, err
		}
		if len(o) == maxClasses {
			return nil, tooMany(len(o) + 1)
		}
		if seen[m.key] {
			return nil, fmt.Errorf("key %q is there twice", m.key)
		}
		seen[m.key] = true
		o = append(o, m)
	}
	return o, nil
}

// classes reads places to names, or names to places.
func (o object) classes(descriptions map[string]string) ([]Class, error) {
	if len(o) == 0 {
		return nil, errors.New("the object is empty")
	}
	list := make([]entry, len(o))
	for i, m := range o {
		e, err := m.entry(descriptions)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", m.key, err)
		}
		e.where = fmt.Sprintf("key %q", m.key)
		list[i] = e
	}
	return order(list)
}

func (m member) entry(descriptions map[string]string) (e entry, err error) {
	if index, err := strconv.Atoi(string(m.value)); err == nil {
		return entry{index: index, name: m.key}, nil
	}
	index, err := strconv.Atoi(m.key)
	if err != nil {
		return e, errors.New("no labels: want a list of names, or an object of names by number or of numbers by name")
	}
	e, err = parseEntry(m.value, descriptions)
	e.index = index
	return e, err
}
