package main

import (
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/cli"
	"edgeclassify/internal/nettest"
	"edgeclassify/labels"
	"edgeclassify/stream"
)

func TestLabels(t *testing.T) {
	model := write(t, "lights.q8", nettest.Lights())
	code, out, errs := classifyHere(t, nil, "labels", "-model", model)
	require.Zero(t, code, errs)
	require.Equal(t, "0  0  red light\n1  1  green light\n2  2  blue light\n", out)

	code, out, errs = classifyHere(t, nil, "labels", "-json", "-model", write(t, "colours.q8", nettest.Colours()))
	require.Zero(t, code, errs)
	require.Equal(t, `[{"index":0,"id":"n00000001","name":"red"},{"index":1,"id":"n00000002","name":"green"},{"index":2,"id":"n00000003","name":"blue"}]`+"\n", out)
	classes, err := labels.Parse([]byte(out))
	require.NoError(t, err)
	require.Equal(t, nettest.Colours().Classes, classes, "they can be given to another model")

	for _, args := range [][]string{{"labels"}, {"labels", "-model", model, "x"}} {
		code, _, _ := classifyHere(t, nil, args...)
		require.Equal(t, cli.ExitUsage, code)
	}
	code, _, errs = classifyHere(t, nil, "labels", "-model", "none.q8")
	require.Equal(t, cli.ExitFailure, code)
	require.Contains(t, errs, "none.q8")
}

// picture is a file of one colour.
func picture(t *testing.T, dir string, c color.Color) string {
	img := image.NewRGBA(image.Rect(0, 0, 32, 32))
	for i := range 32 * 32 {
		img.Set(i%32, i/32, c)
	}
	path := filepath.Join(dir, "picture.jpg")
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, jpeg.Encode(f, img, nil))
	require.NoError(t, f.Close())
	return path
}

func TestSigmoids(t *testing.T) {
	violet, night := t.TempDir(), t.TempDir()
	file := picture(t, violet, color.RGBA{R: 250, G: 10, B: 200, A: 255})
	picture(t, night, color.RGBA{A: 255})
	lights, day := write(t, "lights.q8", nettest.Lights()), write(t, "day.q8", nettest.Day())

	code, out, errs := classifyHere(t, nil, "-model", lights, file)
	require.Zero(t, code, errs)
	require.Regexp(t, `1 +100.0 %  red light +0\n +2 +99.9 %  blue light +2\n +3 +0.0 %  green light +1\n`, out)
	code, out, errs = classifyHere(t, nil, "-model", day, file)
	require.Zero(t, code, errs)
	require.Regexp(t, `1 +100.0 %  night +0\n +2 +0.0 %  day +1\n`, out)

	c := watch(t, "-model", lights, "-camera", "file:"+violet, "-fps", "50", "-json", "-watch", "red light,blue light,green light")
	r := c.result()
	require.True(t, r.Independent)
	require.InDelta(t, 1, r.Top[1].Probability, 0.01)
	seen := map[string]string{}
	for range 2 {
		e := c.event()
		seen[e.Label] = e.Kind
	}
	require.Equal(t, map[string]string{"red light": stream.Start, "blue light": stream.Start}, seen)

	c = watch(t, "-model", lights, "-camera", "file:"+violet, "-fps", "50")
	require.Contains(t, c.line(), "red light, blue light  red light 100 %  blue light 100 %  green light 0 %")
	c = watch(t, "-model", lights, "-camera", "file:"+night, "-fps", "50")
	require.Contains(t, c.line(), "  (none)  ")
	c = watch(t, "-model", day, "-camera", "file:"+night, "-fps", "50")
	require.Contains(t, c.line(), "  night 100 %  day 0 %")
	c = watch(t, "-model", day, "-camera", "file:"+night, "-fps", "50", "-watch", "night", "-json")
	require.Equal(t, "night", c.event().Label)
}

func TestLabelsOfTheDoctor(t *testing.T) {
	_, _, checks := diagnose(t, "-model", write(t, "lights.q8", nettest.Lights()))
	require.Equal(t, fine("labels", "3, red light to blue light, by sigmoid: none or several in a picture"), checks["labels"])
	_, _, checks = diagnose(t, "-model", write(t, "day.q8", nettest.Day()))
	require.Equal(t, fine("labels", "2, night to day, by sigmoid: one of them in a picture"), checks["labels"])

	nameless := nettest.Colours()
	nameless.Classes = labels.Default(3)
	_, _, checks = diagnose(t, "-model", write(t, "colours.q8", nameless))
	require.Equal(t, statusWarn, checks["labels"].Status)
	require.Contains(t, checks["labels"].Advice, "quantize label")
}

func TestUnknownLabelsNameNearOnes(t *testing.T) {
	model := write(t, "lights.q8", nettest.Lights())
	for _, flag := range []string{"-watch=red ligth", "-led=17=red ligth"} {
		code, _, errs := classifyHere(t, nil, "-model", model, "-camera", "test", flag)
		require.Equal(t, cli.ExitUsage, code, errs)
		require.Contains(t, errs, "red light")
	}
}
