package main

import (
	"fmt"
	"os"
	"path/filepath"

	"edgeclassify/classify"
	"edgeclassify/q8"
	"edgeclassify/samples"
)

// checkTaught looks at a folder of -teach: at what is in it, and whether the head in use
// is whole and fits the model, if one is given.
func checkTaught(dir string, e engine) check {
	const name = "teaching"
	if _, err := os.Stat(filepath.Join(dir, "samples")); err != nil { // opening would make it
		return warning(name, err.Error(), "-teach makes the folder when it is first used")
	}
	store, err := samples.Open(dir, samples.Options{})
	if err != nil {
		return warning(name, err.Error(), "a service that runs has the folder to itself: stop it to have the folder looked at")
	}
	defer store.Close()
	photographs := 0
	for _, l := range store.Labels() {
		photographs += l.Count
	}
	found := fmt.Sprintf("%s: %s, %s", dir, count(len(store.Labels()), "label"), count(photographs, "photograph"))
	path, ok := store.InUse()
	if !ok {
		return fine(name, found+"; the model's own labels are in use")
	}
	base := ""
	if e.model != "" {
		file, err := q8.Open(e.model)
		if err != nil {
			return failure(name, found+"; "+err.Error(), "see the model's check")
		}
		base = file.SHA256
		file.Close()
	}
	e.model = path
	head, err := e.open(classify.Options{})
	if err == nil {
		defer head.Close()
		err = selfTest(head)
	}
	switch {
	case err != nil:
		return failure(name, found+"; "+err.Error(), "the model's own labels are in use instead: train again on the page")
	case base != "" && head.File().Provenance.Base != base:
		return warning(name, found+"; "+path+" was taught on another model: this one's own labels are in use", "train again on the page, or put that model back")
	}
	return fine(name, found+"; "+path+" is in use")
}
