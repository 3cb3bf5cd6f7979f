package evaluate

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
)

// mixedFolder has five photographs and five files that only look like some.
func mixedFolder(t *testing.T) string {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../testdata/photos")))
	for _, letter := range "abfsz" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, string(letter)+".jpg"), []byte("not a picture"), 0o600))
	}
	return dir
}

// provenance is that of a model calibrated on the set's readable pictures.
func provenance(set ImageSet, seed uint64) q8.Provenance {
	hashes := make(dataset.Hashes, set.Len())
	for i := range set.Files {
		if rgb, err := set.Load(i); err == nil {
			hashes.Add(i, rgb)
		}
	}
	p := q8.Provenance{Seed: seed}
	p.Images, p.ImagesHash = hashes.Sum()
	return p
}

func TestHoldoutLeavesNoCalibrationPicture(t *testing.T) {
	dir, spec := mixedFolder(t), preprocess.Torchvision()
	all, err := Draw(dir, spec, 0, 0)
	require.NoError(t, err)
	require.Len(t, all.Files, 10)
	for _, limit := range []int{1, 5, 8, 10} {
		for seed := range uint64(4) {
			drawn, err := Draw(dir, spec, limit, seed)
			require.NoError(t, err)
			require.Len(t, drawn.Files, limit)
			p := provenance(drawn, seed)
			if p.Images == 0 {
				continue // which no model is calibrated on
			}
			rest, err := Holdout(t.Context(), 3, ImageSet{Spec: spec, Files: slices.Clone(all.Files)}, dir, p)
			require.NoError(t, err)
			for i, file := range all.Files {
				if _, err := all.Load(i); err == nil {
					require.NotEqual(t, slices.Contains(drawn.Files, file), slices.Contains(rest.Files, file), file)
				}
			}
		}
	}
}

func TestHoldoutRefusesOtherPictures(t *testing.T) {
	dir, spec := mixedFolder(t), preprocess.Torchvision()
	drawn, err := Draw(dir, spec, 5, 1)
	require.NoError(t, err)
	right := provenance(drawn, 1)
	for name, edit := range map[string]func(p *q8.Provenance){
		"other seed":    func(p *q8.Provenance) { p.Seed = 2 },
		"fewer":         func(p *q8.Provenance) { p.Images-- },
		"more":          func(p *q8.Provenance) { p.Images = 1000 },
		"negative":      func(p *q8.Provenance) { p.Images = -1 },
		"other pixels":  func(p *q8.Provenance) { p.ImagesHash = "" },
		"no provenance": func(p *q8.Provenance) { *p = q8.Provenance{} },
	} {
		p := right
		edit(&p)
		_, err := Holdout(t.Context(), 3, drawn, dir, p)
		require.ErrorContains(t, err, "the model was not calibrated on", name)
	}
}
