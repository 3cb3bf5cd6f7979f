package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"edgeclassify/internal/cli"
	"edgeclassify/labels"
	"edgeclassify/models"
)

// labelFlags say what a network tells apart, and how its logits become
// probabilities. What is not given is as the network's file or those beside it say.
type labelFlags struct {
	labels, activation string
}

func (l *labelFlags) register(f *flag.FlagSet) {
	f.StringVar(&l.labels, "labels", "", "call the classes as the file or the folder of class folders `PATH` does: see 'quantize label -h'")
	f.StringVar(&l.activation, "activation", "", "probabilities are by `NAME` of the logits: softmax, or sigmoid, where none or several classes may be in a picture or one output tells two apart")
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

// apply finds the labels of a network that was imported from path.
func (l *labelFlags) apply(imported *models.Imported, path string) (n labelling, err error) {
	g := imported.Logits()
	logits := g.Shape(g.Output()).Elements()
	if n.activation = imported.Activation; multiLabel(path) {
		n.activation = labels.Sigmoid
	}
	if l.activation != "" {
		n.activation = labels.Activation(l.activation)
	}
	want := n.activation.Classes(logits)
	switch {
	case want < 2:
		return n, fmt.Errorf("%s has one output: as a %s it tells nothing apart, as a sigmoid two classes: -activation sigmoid", path, n.activation)
	case l.labels != "":
		n.from = l.labels
		n.classes, err = readLabels(l.labels, n.activation, logits)
		return n, err
	case imported.ClassesFrom != "" && len(imported.Classes) == want:
		n.classes, n.from = imported.Classes, imported.ClassesFrom
		return n, nil
	case imported.ClassesFrom != "":
		n.note = notTaken(imported.ClassesFrom, imported.Classes, logits)
	}
	n.beside(path, logits)
	if n.classes == nil {
		n.classes = labels.Default(want)
	}
	return n, nil
}

// labelFiles are the names under which trainers write labels beside a model.
var labelFiles = []string{"config.json", "metadata.json", "class_indices.json", "labels.json", "labels.txt", "classes.txt"}

// beside looks for labels in the folder of a model's file.
func (n *labelling) beside(path string, logits int) {
	for _, name := range labelFiles {
		classes, err := labels.Read(filepath.Join(folderOf(path), name))
		switch {
		case err != nil: // what has no labels is none of ours
		case len(classes) == n.activation.Classes(logits):
			n.classes, n.from = classes, name
			return
		default:
			n.note = notTaken(name, classes, logits)
		}
	}
}

func folderOf(path string) string {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return path
	}
	return filepath.Dir(path)
}

// multiLabel says whether the config.json of Hugging Face's transformers beside a
// model tells that classes are independent.
func multiLabel(path string) bool {
	var config struct {
		Problem string `json:"problem_type"`
	}
	text, err := os.ReadFile(filepath.Join(folderOf(path), "config.json"))
	return err == nil && json.Unmarshal(text, &config) == nil && config.Problem == "multi_label_classification"
}

func notTaken(from string, classes []labels.Class, logits int) string {
	return fmt.Sprintf("%s has %d labels, the network %s: they are not taken", from, len(classes), outputs(logits))
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
