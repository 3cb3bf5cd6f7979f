package evaluate

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"edgeclassify/labels"
)

// The first pictures of the ILSVRC 2012 validation set in the numbering of the
// development kit, and their classes in the order of WordNet ids, as Caffe's
// val.txt has them.
var (
	kitNumbers = []int{490, 361, 171, 822, 297, 482, 13, 704, 599, 164}
	kitClasses = []int{65, 970, 230, 809, 516, 57, 334, 415, 674, 332}
)

// kitFile is a ground truth that begins with those numbers and has them all.
func kitFile() string {
	var b strings.Builder
	for _, number := range kitNumbers {
		fmt.Fprintln(&b, number)
	}
	for number := range 1000 {
		fmt.Fprintln(&b, number+1)
	}
	return b.String()
}

func TestDevelopmentKitHasAllClasses(t *testing.T) {
	kit := strings.Fields(developmentKit)
	require.Equal(t, []string{"n02119789", "n02100735", "n02110185"}, kit[:3], "kit fox, English setter, Siberian husky")
	require.Equal(t, "n03255030", kit[999], "dumbbell")
	slices.Sort(kit)
	for i, class := range labels.ImageNet() {
		require.Equal(t, class.ID, kit[i])
	}
	require.Len(t, kit, 1000)
}

func TestReadTruth(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want map[string]int // by the picture's path
	}{
		"Caffe": {
			"ILSVRC2012_val_00000001.JPEG 65\nILSVRC2012_val_00000002.JPEG 970\n",
			map[string]int{"val/ILSVRC2012_val_00000001.JPEG": 65, "ILSVRC2012_val_00000002.JPEG": 970},
		},
		"Caffe with folders": {
			"val/ILSVRC2012_val_00000001.JPEG 65\n",
			map[string]int{"elsewhere/ILSVRC2012_val_00000001.JPEG": 65, "../val/ILSVRC2012_val_00000001.JPEG": 65},
		},
		"Kaggle": {
			"ImageId,PredictionString\r\nILSVRC2012_val_00048981,n03995372 85 1 499 272 \r\n" +
				"ILSVRC2012_val_00037956,n03481172 131 0 499 254 n03481172 0 1 2 3\r\n",
			map[string]int{"a/ILSVRC2012_val_00048981.JPEG": 740, "ILSVRC2012_val_00037956.JPEG": 587},
		},
		"ids, labels, numbers, spaces": {
			"\ufeff# set A\r\n\r\na.jpg n01443537\r\nmy cat.jpg\t 281\n  b/c.PNG,Great White Shark\nd toilet tissue\ne.jpg.png 0",
			map[string]int{"a.jpg": 1, "x/my cat.jpg": 281, "b/c.PNG": 2, "d.jpeg": 999, "e.jpg.png": 0},
		},
		"one name in several folders": {
			"a/x.jpg 1\n./b/x.jpg 2\n",
			map[string]int{"/data/a/x.jpg": 1, "b/x.jpg": 2},
		},
		"development kit": {
			kitFile(),
			map[string]int{
				"ILSVRC2012_val_00000001.JPEG": kitClasses[0], "ILSVRC2012_val_00000002.JPEG": kitClasses[1],
				"ILSVRC2012_val_00000003_n02105855.JPEG": kitClasses[2], "val/ILSVRC2012_val_00000010.png": kitClasses[9],
			},
		},
		"numbers from 0": {
			"65\n0\n999\n",
			map[string]int{"ILSVRC2012_val_00000001.JPEG": 65, "ILSVRC2012_val_00000003.JPEG": 999},
		},
		"ids alone": {
			"n01751748\nn09193705\n",
			map[string]int{"ILSVRC2012_val_00000001.JPEG": 65, "ILSVRC2012_val_00000002.JPEG": 970},
		},
	} {
		truth, err := readTruth(strings.NewReader(c.text), labels.ImageNet())
		require.NoError(t, err, name)
		for picture, want := range c.want {
			class, err := truth.find(picture)
			require.NoError(t, err, name)
			require.Equal(t, want, class, "%s: %s", name, picture)
		}
	}
}

func TestDevelopmentKitAgreesWithCaffe(t *testing.T) {
	truth, err := readTruth(strings.NewReader(kitFile()), labels.ImageNet())
	require.NoError(t, err)
	require.Equal(t, kitClasses, truth.byNumber[:len(kitClasses)])
}

func TestReadTruthErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "the file has no classes",
		"# nothing\n\n":                      "the file has no classes",
		"a.jpg 0\na.jpg":                     `line 2: "a.jpg": want a picture's name and a class on all lines`,
		"17\na.jpg 0":                        `line 2: "a.jpg 0": want a picture's name and a class on all lines`,
		"a.jpg":                              `line 1: no class "a.jpg"`,
		"#\n\na.jpg 1000":                    `line 3: "a.jpg": class 1000: want 0 to 999`,
		"a.jpg -1":                           `class -1: want 0 to 999`,
		"a.jpg n00000000":                    `line 1: "a.jpg": no class "n00000000"`,
		"a.jpg tabbi":                        `did you mean tabby?`,
		"a.jpg crane":                        `line 1: "a.jpg": classes [134 517] are all named "crane"`,
		"a.jpg 1\nb.jpg 2\n./a.jpg 1":        `line 3: "./a.jpg": it appears twice`,
		"image,label\na.jpg,1":               `line 1: "image": no class "label"`,
		"a 1\n" + strings.Repeat("x", 1<<17): "line 2: bufio.Scanner: token too long",
		"490\n361\n":                         "numbers alone, from 361 to 490, may count classes from 0",
		"5\n2000\n":                          "numbers alone, from 5 to 2000",
		"0\n1\n1000\n":                       "line 3: class 1000: want 0 to 999",
		"-1\n":                               "line 1: class -1",
		"n01440764\nn00000000":               `line 2: no class "n00000000"`,
	} {
		_, err := readTruth(strings.NewReader(text), labels.ImageNet())
		require.ErrorContains(t, err, want, text[:min(len(text), 40)])
	}
	_, err := readTruth(strings.NewReader(kitFile()), labels.ImageNet()[:500])
	require.ErrorContains(t, err, `line 2: no class "n09193705"`)
	_, err = readTruth(iotest.ErrReader(iotest.ErrTimeout), nil)
	require.ErrorIs(t, err, iotest.ErrTimeout)
}

func TestTruthWithoutThePicture(t *testing.T) {
	for _, c := range []struct{ text, picture, want string }{
		{"a.jpg 0", "x/b.jpg", "no line for b.jpg"},
		{"a/x.jpg 0\nb/x.jpg 1", "c/x.jpg", "several lines for x.jpg: its path c/x.jpg ends like none of them"},
		{"0\n1", "a.jpg", "which a.jpg is not"},
		{"0\n1", "ILSVRC2012_val_00000003.JPEG", "no line for ILSVRC2012_val_00000003.JPEG: the file has 2"},
		{"0\n1", "ILSVRC2012_val_00000000.JPEG", "no line for"},
	} {
		truth, err := readTruth(strings.NewReader(c.text), labels.ImageNet())
		require.NoError(t, err)
		_, err = truth.find(c.picture)
		require.ErrorContains(t, err, c.want)
	}
}

func TestTrueClasses(t *testing.T) {
	dir := t.TempDir()
	table := filepath.Join(dir, "truth.txt")
	require.NoError(t, os.WriteFile(table, []byte("a.jpg 5\nb.jpg tench\n"), 0o600))
	a, b, id := filepath.Join(dir, "a.jpg"), filepath.Join(dir, "b.jpg"), filepath.Join(dir, "n01443537_a.jpg")

	truth, err := TrueClasses(table, dir, []string{b, a}, labels.ImageNet())
	require.NoError(t, err)
	require.Equal(t, []int{0, 5}, truth)
	truth, err = TrueClasses("", dir, []string{b, id}, labels.ImageNet())
	require.NoError(t, err)
	require.Equal(t, []int{-1, 1}, truth)

	_, err = TrueClasses(table, dir, []string{a, id}, labels.ImageNet())
	require.ErrorContains(t, err, table+": no line for n01443537_a.jpg")
	require.NoError(t, os.WriteFile(table, []byte("a.jpg 5\nb.jpg 1000\n"), 0o600))
	_, err = TrueClasses(table, dir, []string{a}, labels.ImageNet())
	require.ErrorContains(t, err, table+": line 2: ")
	_, err = TrueClasses(filepath.Join(dir, "none"), dir, []string{a}, labels.ImageNet())
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestNumberedFolders(t *testing.T) {
	for _, c := range []struct {
		folders []string
		picture string
		want    int
	}{
		{[]string{"0", "1", "12"}, "12/a.jpg", 12},
		{[]string{"0", "1", ".git"}, "1/a.jpg", 1},
		{[]string{"000", "001", "012"}, "012/a.jpg", 12},
		{[]string{"0", "1"}, "1/n01440764_a.jpg", 0}, // the name outranks the folder
		{[]string{"0", "1"}, "1/more/a.jpg", -1},
		{[]string{"0", "1"}, "a.jpg", -1},
		{[]string{"1", "2", "3"}, "2/a.jpg", -1},    // may count from 1
		{[]string{"0", "1000"}, "0/a.jpg", -1},      // beyond the classes
		{[]string{"0", "1", "cats"}, "1/a.jpg", -1}, // no class has that number
		{[]string{"0", "1", "01"}, "1/a.jpg", -1},
		{[]string{"0", "-1"}, "0/a.jpg", -1},
		{nil, "a.jpg", -1},
	} {
		dir := t.TempDir()
		for _, folder := range c.folders {
			require.NoError(t, os.Mkdir(filepath.Join(dir, folder), 0o700))
		}
		truth, err := TrueClasses("", dir, []string{filepath.Join(dir, c.picture)}, labels.ImageNet())
		require.NoError(t, err)
		require.Equal(t, []int{c.want}, truth, c)
	}
}

func TestFoldersNamedByLabels(t *testing.T) {
	classes := []labels.Class{{ID: "0", Name: "10"}, {ID: "1", Name: "Tabby cat"}, {ID: "2", Name: "crane"}, {ID: "3", Name: "crane"}}
	dir := filepath.Join(t.TempDir(), "tabby cat")
	files := []string{"10/a.jpg", "0/a.jpg", "more/TABBY_CAT/deep/a.jpg", "crane/a.jpg", "misc/a.jpg", "misc/b.jpg", "a.jpg"}
	for i, file := range files {
		files[i] = filepath.Join(dir, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(files[i]), 0o700))
	}
	truth, err := TrueClasses("", dir, files, classes)
	require.NoError(t, err)
	require.Equal(t, []int{0, 1, 1, -1, 1, 1, 1}, truth, "the folder itself has a label's name")
	require.Equal(t, []string{"crane"}, Unnamed(dir, files, truth))

	classes[1].Name = "Persian cat"
	truth, err = TrueClasses("", dir, files, classes)
	require.NoError(t, err)
	require.Equal(t, []int{0, -1, -1, -1, -1, -1, -1}, truth)
	require.Equal(t, []string{"0", "crane", "misc", "more/TABBY_CAT/deep"}, Unnamed(dir, files, truth))
}

func FuzzReadTruth(f *testing.F) {
	for _, text := range []string{
		"a.jpg 0\nb.jpg n01443537\n", "ImageId,PredictionString\nx,n01440764 1 2 3 4\n", "0\n1\n2", "1\n1000\n",
		"n01440764", "a/x.jpg 0\nb/x.jpg,1", "a.jpg\ttiger shark", "", "\ufeff#", "..\\x.jpg 1", "/ 1",
	} {
		f.Add(text, "a/x.jpg")
	}
	classes := labels.ImageNet()
	f.Fuzz(func(t *testing.T, text, picture string) {
		truth, err := readTruth(strings.NewReader(text), classes)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.NotEqual(t, len(truth.byPath) > 0, len(truth.byNumber) > 0, "names or none")
		for path, class := range truth.byPath {
			require.True(t, 0 <= class && class < len(classes), "%q: %d", path, class)
			found, err := truth.find(path)
			require.NoError(t, err)
			require.Equal(t, class, found)
		}
		for _, class := range truth.byNumber {
			require.True(t, 0 <= class && class < len(classes), class)
		}
		if class, err := truth.find(picture); err == nil {
			require.True(t, 0 <= class && class < len(classes), class)
		}
	})
}
