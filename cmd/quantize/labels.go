package main

import (
	"fmt"
	"path/filepath"

	"edgeclassify/labels"
	"edgeclassify/models"
)

// chosenLabels are the classes of a network, and how they were found.
type chosenLabels struct {
	classes []labels.Class
	from    string
	warning string // what the user should know of them, or nothing
}

// chooseLabels takes the labels that flag -labels names, or else those that the
// network's file says; without any, a class is called by its number.
func chooseLabels(flag string, m *models.Imported, a labels.Activation) (chosenLabels, error) {
	g := m.Logits()
	logits := g.Shape(g.Output()).Elements()
	if flag != "" {
		classes, err := readLabels(flag, a, logits)
		return chosenLabels{classes: classes, from: flag}, err
	}
	want := a.Classes(logits)
	if m.ClassesFrom != "" && len(m.Classes) == want {
		return chosenLabels{classes: m.Classes, from: m.ClassesFrom}, nil
	}
	c := chosenLabels{classes: labels.Default(want)}
	if m.ClassesFrom != "" {
		c.warning = fmt.Sprintf("%s has %d labels, the network %s: they are not taken. ", m.ClassesFrom, len(m.Classes), outputs(logits))
	}
	if c.from = fmt.Sprintf("ImageNet's, as there are %d", want); labels.Numbered(c.classes) {
		c.from = "none"
		c.warning += fmt.Sprintf("No labels: classes are called %q to %q. Give -labels FILE, or run 'quantize label' on the model.",
			c.classes[0].Name, c.classes[want-1].Name)
	}
	return c, nil
}

// readLabels reads the labels of a network with so many logits.
func readLabels(path string, a labels.Activation, logits int) ([]labels.Class, error) {
	classes, err := labels.Read(path)
	if err != nil {
		return nil, err
	}
	want := a.Classes(logits)
	if len(classes) == want {
		return classes, nil
	}
	hint := ""
	switch {
	case want > logits:
		hint = ", which tells two classes apart: give two labels, that of a high output second"
	case want == len(classes)+1:
		hint = "; is a class for the background missing, as TensorFlow's ImageNet networks have it in front?"
	}
	return nil, fmt.Errorf("%s has %d labels, the network %s%s", filepath.Base(path), len(classes), outputs(logits), hint)
}

func outputs(n int) string {
	if n == 1 {
		return "1 output"
	}
	return fmt.Sprintf("%d outputs", n)
}
