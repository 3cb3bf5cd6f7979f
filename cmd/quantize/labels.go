package main

import (
	"flag"
	"fmt"
	"path/filepath"

	"edgeclassify/internal/cli"
	"edgeclassify/labels"
	"edgeclassify/models"
)

// labelFlags say what a network tells apart, and how its logits become
// probabilities. What is not given is as the importer found it.
type labelFlags struct {
	labels, activation string
}

func (l *labelFlags) register(f *flag.FlagSet) {
	f.StringVar(&l.labels, "labels", "", "what the classes are called: a text or JSON file, or a folder with a folder for each class: `PATH`, see 'quantize label -h'")
	f.StringVar(&l.activation, "activation", "", "`softmax` (one class of all) or sigmoid (each class for itself, or one output for two) behind the network's outputs, where it does not say so itself")
}

func (l *labelFlags) check() error {
	switch labels.Activation(l.activation) {
	case "", labels.Softmax, labels.Sigmoid:
		return nil
	}
	return cli.Usagef("-activation %q: want %s or %s", l.activation, labels.Softmax, labels.Sigmoid)
}

// labelling is what is known of a network's classes.
type labelling struct {
	classes    []labels.Class
	activation labels.Activation
	from       string // empty where nothing names the classes
	note       string // about labels that were not taken
}

// apply finds the labels of a network.
func (l *labelFlags) apply(imported *models.Imported) (n labelling, err error) {
	if err := l.check(); err != nil {
		return n, err
	}
	g := imported.Logits()
	logits := g.Shape(g.Output()).Elements()
	if n.activation = imported.Activation; l.activation != "" {
		n.activation = labels.Activation(l.activation)
	}
	want := n.activation.Classes(logits)
	switch {
	case want < 2:
		return n, fmt.Errorf("%s has one output: as a %s it tells nothing apart, as a sigmoid two classes: -activation sigmoid", imported.Name, n.activation)
	case l.labels != "":
		n.from = l.labels
		n.classes, err = readLabels(l.labels, n.activation, logits)
		return n, err
	case imported.ClassesFrom != "" && len(imported.Classes) == want:
		n.classes, n.from = imported.Classes, imported.ClassesFrom
		return n, nil
	case imported.ClassesFrom != "":
		n.note = fmt.Sprintf("%s has %d labels, the network %s: they are not taken", imported.ClassesFrom, len(imported.Classes), outputs(logits))
	}
	n.classes = labels.Default(want)
	return n, nil
}

// describe tells in a line or more what the classes are called, where that came
// from and, where nothing says it, what to do about that.
func (n *labelling) describe() string {
	from, advice, last := n.from, "", len(n.classes)-1
	switch {
	case from != "":
		from = "from " + from
	case labels.Numbered(n.classes):
		from, advice = "nothing names them", "\nwithout names -watch and results say numbers: give -labels PATH, or run 'quantize label' on the model later"
	default:
		from = "those of ImageNet, as there are so many"
	}
	text := fmt.Sprintf("labels: %d, %s to %s, by %s (%s)%s", len(n.classes), n.classes[0].Name, n.classes[last].Name, n.activation, from, advice)
	if n.note != "" {
		text += "\n" + n.note
	}
	return text
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
	case want == 1001 && len(classes) == 1000:
		hint = ": TensorFlow's ImageNet networks have a class for the background in front, give it a label, too"
	}
	return nil, fmt.Errorf("%s has %d labels, the network %s%s", filepath.Base(path), len(classes), outputs(logits), hint)
}

func outputs(n int) string {
	if n == 1 {
		return "1 output"
	}
	return fmt.Sprintf("%d outputs", n)
}
