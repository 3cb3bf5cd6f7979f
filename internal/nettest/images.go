package nettest

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"edgeclassify/labels"
)

// ImageClasses is the number of classes of Images: the first of ImageNet.
const ImageClasses = 12

// Images writes n images of side x side random pixels, each around a random
// colour, into a folder of their own. Their names tell their classes, one after
// the other. It returns the files in lexical order.
func Images(t testing.TB, n, side int) (files []string) {
	t.Helper()
	dir, rng := t.TempDir(), rand.New(rand.NewPCG(2, 0))
	for i := range n {
		img := image.NewRGBA(image.Rect(0, 0, side, side))
		base := [3]int{rng.IntN(192), rng.IntN(192), rng.IntN(192)}
		for y := range side {
			for x := range side {
				sample := func(c int) uint8 { return uint8(base[c] + rng.IntN(64)) }
				img.SetRGBA(x, y, color.RGBA{sample(0), sample(1), sample(2), 255})
			}
		}
		files = append(files, filepath.Join(dir, fmt.Sprintf("%s_%d.png", labels.ImageNet()[i%ImageClasses].ID, i)))
		file, err := os.Create(files[i])
		if err == nil {
			err = png.Encode(file, img)
		}
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	slices.Sort(files)
	return files
}
