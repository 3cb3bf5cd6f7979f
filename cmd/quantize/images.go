package main

import (
	"math/rand/v2"
	"slices"

	"edgeclassify/internal/pictures"
	"edgeclassify/preprocess"
)

// imageSet is a list of picture files, preprocessed on demand.
type imageSet struct {
	spec  preprocess.Spec
	files []string
}

func (s imageSet) Len() int                    { return len(s.files) }
func (s imageSet) Load(i int) ([]uint8, error) { return s.spec.File(s.files[i]) }

// draw takes the pictures of a folder, or limit of them at random: the same
// ones for the same folder, limit and seed.
func draw(path string, spec preprocess.Spec, limit int, seed uint64) (imageSet, error) {
	files, err := pictures.List(path)
	if err != nil {
		return imageSet{}, err
	}
	if limit > 0 && limit < len(files) {
		random := rand.New(rand.NewPCG(seed, 0))
		random.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
		files = files[:limit]
		slices.Sort(files)
	}
	return imageSet{spec, files}, nil
}

// without removes the files of other.
func (s imageSet) without(other imageSet) imageSet {
	drawn := map[string]bool{}
	for _, f := range other.files {
		drawn[f] = true
	}
	rest := slices.DeleteFunc(slices.Clone(s.files), func(f string) bool { return drawn[f] })
	return imageSet{s.spec, rest}
}
