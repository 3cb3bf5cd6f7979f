package photos_test

import (
	"archive/zip"
	"bytes"
	"context"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/runtime"
	"edgeclassify/samples"
	"edgeclassify/teach"
	"edgeclassify/teach/photos"
	"edgeclassify/tensor"
)

// picture is a PNG file of one colour.
func picture(t testing.TB, r, g, b uint8) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 20, 16))
	for i := range 20 * 16 {
		img.Set(i%20, i/20, color.RGBA{r, g, b, 255})
	}
	var file bytes.Buffer
	require.NoError(t, png.Encode(&file, img))
	return file.Bytes()
}

// toys are files by their paths: two classes and none, of all that may be found.
func toys(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"red/1.png": picture(t, 250, 10, 10), "red/2": picture(t, 200, 20, 30), "red/3.PNG": picture(t, 250, 40, 10),
		"red/again.png": picture(t, 250, 10, 10), "red/half.png": picture(t, 9, 9, 9)[:60], "red/.hidden.png": nil,
		"green/1.png": picture(t, 10, 250, 10), "green/2.png": picture(t, 20, 200, 30),
		"_none/1.png": picture(t, 100, 100, 100), "readme.txt": []byte("toys"), "__MACOSX/red/1.png": nil,
	}
}

// folder writes files, zipped unless the zip is "".
func folder(t testing.TB, files map[string][]byte, within string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, within, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, content, 0o600))
	}
	return dir
}

// zipped packs a folder.
func zipped(t testing.TB, dir string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	require.NoError(t, z.AddFS(os.DirFS(dir)))
	require.NoError(t, z.Close())
	file := filepath.Join(t.TempDir(), "toys.zip")
	require.NoError(t, os.WriteFile(file, b.Bytes(), 0o600))
	return file
}

// look reads a folder with the network of colours.
func look(t testing.TB, path string, m *q8.Model, o photos.Options) (*photos.Examples, error) {
	t.Helper()
	f, err := photos.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	return f.Examples(t.Context(), m, o)
}

func TestExamplesAreTheFeaturesOfPhotographs(t *testing.T) {
	dir := folder(t, toys(t), "")
	e, err := look(t, dir, nettest.Colours(), photos.Options{Threads: 1})
	require.NoError(t, err)
	require.Equal(t, []string{"green", "red", teach.None}, e.Labels)
	var names []string
	groups := map[int]bool{}
	for i, s := range e.Samples {
		names = append(names, s.Name)
		require.Equal(t, []int{[]int{0, 0, 1, 1, 1, 2}[i]}, s.Classes)
		groups[s.Group] = true
	}
	require.Len(t, groups, len(e.Samples))
	require.Equal(t, []string{"green/1.png", "green/2.png", "red/1.png", "red/2", "red/3.PNG", "_none/1.png"}, names)
	require.Equal(t, 6, e.Images)
	require.Equal(t, []string{
		"left out: 1 files that are in no class's folder, such as readme.txt",
		"left out: red/again.png: the same picture as red/1.png",
	}, []string{e.Warnings[0], e.Warnings[1]})
	require.Len(t, e.Warnings, 3)
	require.Contains(t, e.Warnings[2], "left out: red/half.png: preprocess: picture is truncated")

	plan, err := runtime.Compile(nettest.Colours().Network, runtime.Options{Threads: 1})
	require.NoError(t, err)
	s := plan.NewSession()
	defer s.Close()
	for _, sample := range e.Samples {
		rgb, err := nettest.Colours().Preprocess.File(filepath.Join(dir, sample.Name))
		require.NoError(t, err)
		_, err = s.Run(rgb)
		require.NoError(t, err)
		require.Equal(t, s.Features(), sample.Features, sample.Name)
	}
	_, err = s.Run(teach.SelfTestImage(nettest.Colours().Network))
	require.NoError(t, err)
	require.Equal(t, s.Features(), e.SelfTest)
}

// Threads, zips and a folder around those of the classes change nothing.
func TestExamplesAreTheSameHoweverTheyAreRead(t *testing.T) {
	want, err := look(t, folder(t, toys(t), ""), nettest.Colours(), photos.Options{Threads: 1})
	require.NoError(t, err)
	files := toys(t)
	delete(files, "readme.txt") // it would be beside the folder around
	for _, path := range []string{folder(t, toys(t), ""), zipped(t, folder(t, toys(t), "")), folder(t, files, "my/toys"), zipped(t, folder(t, files, "toys"))} {
		got, err := look(t, path, nettest.Colours(), photos.Options{Threads: 3})
		require.NoError(t, err)
		require.Equal(t, want.Hash, got.Hash)
		require.Equal(t, want.Labels, got.Labels)
		for i, s := range got.Samples {
			require.Equal(t, want.Samples[i].Features, s.Features)
		}
	}
	files = toys(t)
	files["green/1.png"] = picture(t, 10, 251, 10)
	other, err := look(t, folder(t, files, ""), nettest.Colours(), photos.Options{Threads: 1})
	require.NoError(t, err)
	require.NotEqual(t, want.Hash, other.Hash)
}

// What a board has collected comes with its labels, and bursts stay together.
func TestWhatABoardExports(t *testing.T) {
	store, err := samples.Open(t.TempDir(), samples.Options{})
	require.NoError(t, err)
	defer store.Close()
	for l, label := range []string{"on/off", "50% red"} {
		require.NoError(t, store.AddLabel(label))
		for i := range 4 {
			img, err := png.Decode(bytes.NewReader(picture(t, uint8(60*i), uint8(200*l), 9)))
			require.NoError(t, err)
			var file bytes.Buffer
			require.NoError(t, jpeg.Encode(&file, img, nil))
			_, err = store.Add(label, file.Bytes(), &samples.Features{Base: strings.Repeat("0", 64), Group: int64(1000 + 10*l + i/3), Values: []int16{1}})
			require.NoError(t, err)
		}
	}
	var export bytes.Buffer
	require.NoError(t, store.Export(&export))
	file := filepath.Join(t.TempDir(), "export.zip")
	require.NoError(t, os.WriteFile(file, export.Bytes(), 0o600))
	e, err := look(t, file, nettest.Colours(), photos.Options{Threads: 2})
	require.NoError(t, err)
	require.Equal(t, []string{"50% red", "on/off"}, e.Labels)
	var groups []int
	for _, s := range e.Samples {
		groups = append(groups, s.Group)
	}
	require.Equal(t, []int{0, 0, 0, 3, 4, 4, 4, 7}, groups)
	require.Empty(t, e.Warnings)
}

func TestOneLinkMayStandForAFolder(t *testing.T) {
	dir := folder(t, toys(t), "")
	links := t.TempDir()
	for _, name := range []string{"red", "green"} {
		require.NoError(t, os.Symlink(filepath.Join(dir, name), filepath.Join(links, name)))
	}
	require.NoError(t, os.Symlink("nowhere", filepath.Join(links, "broken")))
	e, err := look(t, links, nettest.Colours(), photos.Options{Threads: 1})
	require.NoError(t, err)
	require.Len(t, e.Samples, 5)
}

func TestTheSamePictureInTwoClasses(t *testing.T) {
	files := toys(t)
	files["green/red.png"] = files["red/1.png"]
	dir := folder(t, files, "")
	_, err := look(t, dir, nettest.Colours(), photos.Options{Threads: 2})
	require.ErrorContains(t, err, "green/red.png and red/1.png are the same picture in two classes")
	e, err := look(t, dir, nettest.Colours(), photos.Options{Threads: 2, Multi: true})
	require.NoError(t, err)
	require.Equal(t, []string{"green", "red"}, e.Labels)
	i := slices.IndexFunc(e.Samples, func(s teach.Sample) bool { return s.Name == "green/red.png" })
	require.Equal(t, []int{0, 1}, e.Samples[i].Classes)
	require.Empty(t, e.Samples[len(e.Samples)-1].Classes, "none is no class of its own")

	files["_none/2.png"] = files["red/1.png"]
	_, err = look(t, folder(t, files, ""), nettest.Colours(), photos.Options{Threads: 2, Multi: true})
	require.ErrorContains(t, err, "green/red.png and _none/2.png are the same picture, of a class and of none")

	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		files["green/"+name], files["red/"+name] = picture(t, name[0], 0, 0), picture(t, name[0], 0, 0)
	}
	_, err = look(t, folder(t, files, ""), nettest.Colours(), photos.Options{Threads: 2})
	require.ErrorContains(t, err, "and 5 more pictures are in two classes")
}

func TestMostFilesMustBePictures(t *testing.T) {
	files := toys(t)
	files["green/3.heic"] = []byte("\x00\x00\x00\x10ftypheic\x00\x00\x00\x00")
	_, err := look(t, folder(t, files, ""), nettest.Colours(), photos.Options{Threads: 1})
	require.NoError(t, err)
	files["green/4.heic"], files["green/5.heic"] = files["green/3.heic"], files["green/3.heic"]
	_, err = look(t, folder(t, files, ""), nettest.Colours(), photos.Options{Threads: 1})
	require.ErrorIs(t, err, preprocess.ErrFormat)
	require.ErrorContains(t, err, `3 of the 5 files of class "green" cannot be read, such as green/3.heic`)
	require.ErrorContains(t, err, "heif-convert")
}

func TestFoldersOfAnotherKind(t *testing.T) {
	p := picture(t, 1, 2, 3)
	for want, files := range map[string]map[string][]byte{
		"it has no folders: want one for each class":        {"1.png": p},
		`red/dark is a folder within the class "red"`:       {"red/1.png": p, "red/dark/1.png": p, "green/1.png": p},
		`if the classes are the folders in test, give that`: {"train/red/1.png": p, "train/green/1.png": p, "test/red/1.png": p},
		`class "green" has no photographs`:                  {"red/1.png": p, "green/.keep": nil},
		"\"a\\nb\": labels":                                 {"a\nb/1.png": p, "c/1.png": p},
	} {
		_, err := photos.Open(folder(t, files, ""))
		require.ErrorContains(t, err, want)
		_, err = photos.Open(zipped(t, folder(t, files, "")))
		require.ErrorContains(t, err, want)
	}
	_, err := photos.Open(filepath.Join(t.TempDir(), "nowhere"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	text := filepath.Join(t.TempDir(), "toys.zip")
	require.NoError(t, os.WriteFile(text, []byte("no zip"), 0o600))
	_, err = photos.Open(text)
	require.ErrorIs(t, err, zip.ErrFormat)
}

func TestNetworksWithoutFeatures(t *testing.T) {
	m := nettest.Colours()
	shape := m.Input.Shape
	flat := &int8.Dense{In: shape.Elements(), Out: 3, Weight: make([]int8.Value, 3*shape.Elements()), Bias: make([]int32, 3), Scale: []float32{1, 1, 1}}
	n, err := int8.NewNetwork("flat", m.Input, []int8.Layer{m.Layers[0], {
		Name: "fc", Inputs: []tensor.ID{1}, Op: flat, Out: int8.Tensor{Shape: tensor.Shape{H: 1, W: 1, C: 3}, Type: int8.Int32},
	}})
	require.NoError(t, err)
	m, err = q8.New(n, m.Preprocess, m.Classes, m.Activation, m.Provenance, nil)
	require.NoError(t, err)
	_, err = look(t, folder(t, toys(t), ""), m, photos.Options{Threads: 1})
	require.ErrorContains(t, err, "network flat cannot be taught: its classifier fc reads all of same, 8x8x3")
}

func TestThumbnail(t *testing.T) {
	f, err := photos.Open(folder(t, toys(t), ""))
	require.NoError(t, err)
	thumbnail, err := f.Thumbnail("red/1.png", nettest.Colours().Preprocess)
	require.NoError(t, err)
	require.Equal(t, "\xff\xd8", string(thumbnail[:2]))
	_, err = f.Thumbnail("red/half.png", nettest.Colours().Preprocess)
	require.ErrorIs(t, err, preprocess.ErrDamaged)
}

func TestExamplesEndWithTheContext(t *testing.T) {
	f, err := photos.Open(folder(t, toys(t), ""))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = f.Examples(ctx, nettest.Colours(), photos.Options{Threads: 1, Progress: func(done, total int) {
		require.Equal(t, len(f.Files), total)
		cancel()
	}})
	require.ErrorIs(t, err, context.Canceled)
}

// FuzzOpen reads zips of any kind: errors are told, and nothing else happens.
func FuzzOpen(f *testing.F) {
	for _, dir := range []string{folder(f, toys(f), ""), folder(f, map[string][]byte{"a/1": nil, "b/2": nil}, "in")} {
		file, err := os.ReadFile(zipped(f, dir))
		require.NoError(f, err)
		f.Add(file)
	}
	path := filepath.Join(f.TempDir(), "fuzz.zip")
	f.Fuzz(func(t *testing.T, file []byte) {
		require.NoError(t, os.WriteFile(path, file, 0o600))
		found, err := photos.Open(path)
		if err != nil {
			return
		}
		for i, file := range found.Files {
			require.Less(t, file.Class, len(found.Labels))
			if i > 0 {
				require.GreaterOrEqual(t, file.Class, found.Files[i-1].Class)
			}
		}
		require.NoError(t, found.Close())
	})
}
