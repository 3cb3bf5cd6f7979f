package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"edgeclassify/calibrate"
	"edgeclassify/int8"
	"edgeclassify/internal/images"
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
	files, err := images.List(path)
	if err != nil {
		return imageSet{}, err
	}
	set := imageSet{spec, files}
	if limit > 0 && limit < len(files) {
		drawn := order(len(files), seed)[:limit]
		slices.Sort(drawn)
		set.files = make([]string, limit)
		for i, k := range drawn {
			set.files[i] = files[k]
		}
	}
	return set, nil
}

// order is the order in which seed draws from n pictures: a smaller draw is the
// beginning of a larger one.
func order(n int, seed uint64) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	rand.New(rand.NewPCG(seed, 0)).Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

// calibrated finds the pictures of a folder that a model was calibrated on: the
// first ones drawn that can be read, since calibration leaves out the others.
// Their pixels must be the ones that the model names.
func calibrated(ctx context.Context, threads int, path string, spec preprocess.Spec, p int8.Provenance) (files map[string]bool, err error) {
	all, err := draw(path, spec, 0, 0)
	if err != nil {
		return nil, err
	}
	hashes, rest, found := make(calibrate.ImageHashes, all.Len()), order(all.Len(), p.Seed), 0
	for len(rest) > 0 && found < p.Images {
		next := rest[:min(len(rest), p.Images-found)]
		rest = rest[len(next):]
		err := calibrate.EachImage(ctx, threads, len(next), nil, func(_, i int) error {
			if rgb, err := all.Load(next[i]); err == nil {
				hashes.Add(next[i], rgb)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		found, _ = hashes.Sum()
	}
	if n, hash := hashes.Sum(); n != p.Images || hash != p.ImagesHash {
		return nil, fmt.Errorf("the model was not calibrated on %d pictures drawn from %s with seed %d", p.Images, path, p.Seed)
	}
	files = map[string]bool{}
	for i, h := range hashes {
		if h != nil {
			files[all.files[i]] = true
		}
	}
	return files, nil
}
