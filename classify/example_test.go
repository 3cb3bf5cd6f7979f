package classify_test

import (
	"fmt"
	"image"
	"image/color"
	"log"
	"os"
	"path/filepath"

	"edgeclassify/classify"
	"edgeclassify/internal/nettest"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
)

// writeColours writes a small model that tells an image's colour, where the
// quantize command would write one that tells what it shows.
func writeColours() (path string, remove func()) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	path = filepath.Join(dir, "colours.q8")
	if err := q8.Write(path, nettest.Colours()); err != nil {
		log.Fatal(err)
	}
	return path, func() { os.RemoveAll(dir) }
}

func Example() {
	path, remove := writeColours()
	defer remove()

	m, err := classify.Open(path, classify.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	top, err := m.ClassifyFile("../testdata/photos/rocket.jpg")
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range top {
		fmt.Printf("%.2f %s\n", p.Probability, p.Label)
	}
	// Output:
	// 0.87 blue
	// 0.09 green
	// 0.04 red
}

// Pictures in a program's memory are not copied, and results go where the
// caller wants them: nothing is allocated.
func ExampleModel_Run() {
	path, remove := writeColours()
	defer remove()
	m, err := classify.Open(path, classify.Options{Threads: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	frame := image.NewRGBA(image.Rect(0, 0, 320, 240))
	top := make([]classify.Prediction, 1)
	var picture preprocess.Image
	for _, c := range []color.RGBA{{200, 20, 30, 255}, {20, 30, 200, 255}} {
		for y := range 240 {
			for x := range 320 {
				frame.SetRGBA(x, y, c)
			}
		}
		if err := picture.Set(frame); err != nil {
			log.Fatal(err)
		}
		if err := m.Run(&picture); err != nil {
			log.Fatal(err)
		}
		fmt.Println(m.Top(top)[0].Label)
	}
	// Output:
	// red
	// blue
}

// Each goroutine has a clone; all share the weights.
func ExampleModel_Clone() {
	path, remove := writeColours()
	defer remove()
	m, err := classify.Open(path, classify.Options{Threads: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	photos := []string{"../testdata/photos/espresso.jpg", "../testdata/photos/rocket.jpg"}
	found := make(chan string)
	for _, photo := range photos {
		clone, err := m.Clone()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer clone.Close()
			top, err := clone.ClassifyFile(photo)
			if err != nil {
				log.Fatal(err)
			}
			found <- filepath.Base(photo) + ": " + top[0].Label
		}()
	}
	for range photos {
		fmt.Println(<-found)
	}
	// Unordered output:
	// espresso.jpg: red
	// rocket.jpg: blue
}
