package evaluate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/internal/images"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
)

// ImageSet is a list of image files, preprocessed on demand: dataset.Images.
type ImageSet struct {
	Spec  preprocess.Spec
	Files []string
	// LeftOut tells in a line what else is in the folder that they were drawn from;
	// empty for nothing.
	LeftOut string
}

// Len is the number of files.
func (s ImageSet) Len() int { return len(s.Files) }

// Load reads and preprocesses file i: pixels of the shape Spec.Input.
func (s ImageSet) Load(i int) ([]uint8, error) { return s.Spec.File(s.Files[i]) }

// Draw takes the images of a folder, or limit of them at random: the same ones
// for the same folder, limit and seed.
func Draw(path string, spec preprocess.Spec, limit int, seed uint64) (ImageSet, error) {
	found, err := images.Find(path)
	if err != nil {
		return ImageSet{}, err
	}
	all := ImageSet{spec, found.Files, found.LeftOut()}
	if limit <= 0 || limit >= all.Len() {
		return all, nil
	}
	drawn := order(all.Len(), seed)[:limit]
	slices.Sort(drawn)
	return all.pick(drawn), nil
}

// order is the order in which seed draws from n images: a smaller draw is the
// beginning of a larger one.
func order(n int, seed uint64) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	rand.New(rand.NewPCG(seed, 0)).Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

func (s ImageSet) pick(indices []int) ImageSet {
	files := make([]string, len(indices))
	for i, k := range indices {
		files[i] = s.Files[k]
	}
	s.Files = files
	return s
}

// evenly draws at most n of the files.
func (s ImageSet) evenly(n int) ImageSet { return s.pick(dataset.Evenly(s.Len(), n)) }

// without leaves files out.
func (s ImageSet) without(files []string) ImageSet {
	out := map[string]bool{}
	for _, file := range files {
		out[file] = true
	}
	s.Files = slices.DeleteFunc(slices.Clone(s.Files), func(file string) bool { return out[file] })
	return s
}

// read are those of the files that have a hash.
func (s ImageSet) read(hashes dataset.Hashes) ImageSet {
	var files []string
	for i, h := range hashes {
		if h != nil {
			files = append(files, s.Files[i])
		}
	}
	s.Files = files
	return s
}

// Holdout leaves out the images that a model was calibrated on, which were drawn
// from the folder that path is, or a part of it. It is an error if none are left.
func Holdout(ctx context.Context, threads int, set ImageSet, path string, p q8.Provenance) (ImageSet, error) {
	seen, err := calibrated(ctx, threads, path, set.Spec, p)
	if err != nil {
		return set, err
	}
	if set = set.without(seen.Files); set.Len() == 0 {
		return set, fmt.Errorf("no pictures are left: the model was calibrated on all of %s", path)
	}
	return set, nil
}

// calibrated finds the images of a folder that a model was calibrated on: the
// first ones drawn that can be read, since calibration leaves out the others.
// Their pixels must be the ones that the model names.
func calibrated(ctx context.Context, threads int, path string, spec preprocess.Spec, p q8.Provenance) (ImageSet, error) {
	all, err := Draw(path, spec, 0, 0)
	if err != nil {
		return all, err
	}
	hashes, rest, found := make(dataset.Hashes, all.Len()), order(all.Len(), p.Seed), 0
	for len(rest) > 0 && found < p.Images {
		next := rest[:min(len(rest), p.Images-found)]
		rest = rest[len(next):]
		err := dataset.Each(ctx, threads, len(next), nil, func(_, i int) error {
			if rgb, err := all.Load(next[i]); err == nil {
				hashes.Add(next[i], rgb)
			}
			return nil
		})
		if err != nil {
			return all, err
		}
		found, _ = hashes.Sum()
	}
	if n, hash := hashes.Sum(); n != p.Images || hash != p.ImagesHash {
		return all, fmt.Errorf("the model was not calibrated on %d pictures drawn from %s with seed %d", p.Images, path, p.Seed)
	}
	return all.read(hashes), nil
}
