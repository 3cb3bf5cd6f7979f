package labels

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// text writes classes as "id=name" with spaces between.
func text(classes []Class) string {
	var words []string
	for _, c := range classes {
		words = append(words, c.ID+"="+c.Name)
	}
	return strings.Join(words, " ")
}

func TestParse(t *testing.T) {
	for file, want := range map[string]string{
		"cat\ndog":                          "0=cat 1=dog",
		"\ufeffcat\r\ndog\r\n\r\n \n":       "0=cat 1=dog",
		"0 cat\n1 dog\n":                    "0=cat 1=dog",
		"0: cat\n1: dog":                    "0=cat 1=dog",
		"1,dog\n0,cat":                      "0=cat 1=dog",
		"1 cat\n2 dog":                      "0=cat 1=dog",
		"1 euro\n2 euro\n5 euro":            "0=1 euro 1=2 euro 2=5 euro",
		"1 euro\n2 euro":                    "0=1 euro 1=2 euro",
		"7 up\n2 cats":                      "0=7 up 1=2 cats",
		"0\n1\n2":                           "0=0 1=1 2=2",
		"n01440764 tench, Tinca tinca":      "n01440764=tench, Tinca tinca",
		"n01440764\nn01491361":              "n01440764=tench n01491361=tiger shark",
		"0 n01440764 tench\n1 n00000000":    "n01440764=tench n00000000=n00000000",
		"n01491361_tiger_shark":             "n01491361=tiger shark",
		"b\u00e4r\ttwo\u00a0 three\n\u65e5": "0=b\u00e4r two three 1=\u65e5",
		"\U0001f468\u200d\U0001f33e\ncow":   "0=\U0001f468\u200d\U0001f33e 1=cow",

		`["cat", "dog"]`: "0=cat 1=dog",
		` [{"id": "c", "name": "cat"}, {"name": "dog"}]`:                                   "c=cat 1=dog",
		`[{"id": 1, "name": "cat"}, {"id": 2, "name": "d"}]`:                               "1=cat 2=d",
		`[{"index": 1, "id": "d", "name": "dog"}, {"index": 0, "id": "c", "name": "cat"}]`: "c=cat d=dog",
		`{"0": "cat", "1": "dog", "2": "emu"}`:                                             "0=cat 1=dog 2=emu",
		`{"1": ["n01491361", "tiger_shark"], "0": ["n01440764", "tench"]}`:                 "n01440764=tench n01491361=tiger shark",
		`{"dog": 1, "cat": 0}`:             "0=cat 1=dog",
		`{"1": 1, "0": 0}`:                 "0=0 1=1",
		`{"labels": 1, "classes": 0}`:      "0=classes 1=labels",
		`{"n01440764": 0, "n01491361": 1}`: "n01440764=tench n01491361=tiger shark",
		`{"model_type": "resnet", "id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}}`:                                      "0=a 1=b",
		`{"architecture": "resnet50", "num_classes": 2, "label_names": ["n1", "n2"], "label_descriptions": {"n1": "one", "n2": "two"}}`: "n1=one n2=two",
		`{"label_names": ["cat", "dog"]}`:                                              "0=cat 1=dog",
		`{"tfjsVersion": "1.3.1", "labels": ["Class 1", "Class 2"], "imageSize": 224}`: "0=Class 1 1=Class 2",
		`{"epoch": 3, "class_to_idx": {"b": 1, "a": 0}}`:                               "0=a 1=b",
	} {
		classes, err := Parse([]byte(file))
		require.NoError(t, err, file)
		require.Equal(t, want, text(classes), file)
	}
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	for file, want := range map[string]string{
		"":                                       "empty",
		" \n":                                    "empty",
		"\xff\xfec\x00":                          "UTF-16",
		"cat\n\ndog":                             "line 2 is empty",
		"\ncat":                                  "line 1 is empty",
		"cat\nd\x1b[31mog":                       "line 2: \"d\\x1b[31mog\" has the control character U+001B",
		"cat\n\u202etac":                         "U+202E",
		"cat\nb\xe4r":                            "line 2: not UTF-8",
		"0 cat\n2 dog":                           "line 2: class 2 of 2",
		"0 cat\n0 dog":                           "line 1 and line 2 are both class 0",
		"n01440764 a\nn01440764 b":               "line 1 and line 2 have the same id",
		strings.Repeat("x", 257):                 "257 characters",
		strings.Repeat("x\n", 1<<18+1):           "262145 labels are too many",
		"[" + strings.Repeat("0,", 1<<18) + "0]": "262145 labels are too many",
		strings.Repeat("\"", 4<<20+1):            "4194305 bytes are too many",
		`[]`:                                     "empty",
		`{}`:                                     "empty",
		`["cat"`:                                 "none: unexpected end",
		`{0: 'cat'}`:                             "json.dump",
		`["cat", 3]`:                             "element 1: want a name, found 3",
		`["cat", "\u0007"]`:                      "U+0007",
		`["cat", ""]`:                            "element 1: the name is empty",
		`["cat", {"title": "dog"}]`:              "element 1: the name is empty",
		`[["a", "b", "c"]]`:                      "want an id and a name",
		"[\"b\xe4r\"]":                           "not UTF-8",
		`{"0": "cat", "2": "dog"}`:               `key "2": class 2 of 2`,
		`{"0": "cat", "0": "dog"}`:               `key "0" is there twice`,
		`{"0": "cat", "00": "dog"}`:              `both class 0`,
		`{"0": "cat", "-1": "dog"}`:              `class -1`,
		`{"cat": 1, "dog": 1}`:                   `key "cat" and key "dog" are both class 1`,
		`{"cat": 0, "dog": 99999999}`:            `class 99999999 of 2`,
		`{"cat": 0, "dog": 1.5}`:                 `key "dog"`,
		`{"architecture": "resnet50", "num_classes": 1000}`: "no labels",
		`{"id2label": {"0": "a", "5": "b"}}`:                `id2label: key "5"`,
		`{"labels": ["a", "b"], "labels": ["c"]}`:           "twice",
		`[{"index": 0, "name": "a"}, {"name": "b"}]`:        "some classes have a number",
	} {
		_, err := Parse([]byte(file))
		require.ErrorContains(t, err, want, file[:min(len(file), 100)])
		require.ErrorContains(t, err, "labels: ")
	}
}

// What "edge-classify labels -json" prints is read again.
func TestParseReadsItsOwnForm(t *testing.T) {
	file, err := json.Marshal(ImageNet())
	require.NoError(t, err)
	classes, err := Parse(file)
	require.NoError(t, err)
	require.Equal(t, ImageNet(), classes)
}

func TestImageNetsNamesGetTheirIDs(t *testing.T) {
	places := make(map[string]string)
	for i, c := range ImageNet() {
		places[fmt.Sprint(i)] = c.Name + ", synonym"
	}
	places["3"] = "big fish"
	file, err := json.Marshal(map[string]any{"id2label": places})
	require.NoError(t, err)
	classes, err := Parse(file)
	require.NoError(t, err)
	require.Equal(t, Class{"n01491361", "big fish"}, classes[3])

	classes, err = Parse([]byte(strings.Repeat("cat\n", 1000)))
	require.NoError(t, err)
	require.Equal(t, Class{"281", "cat"}, classes[281])
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "labels.txt")
	_, err := Read(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "labels: "+path)
	require.NoError(t, os.WriteFile(path, []byte("cat\ndog\n"), 0o600))
	classes, err := Read(path)
	require.NoError(t, err)
	require.Equal(t, "0=cat 1=dog", text(classes))

	require.NoError(t, os.WriteFile(path, []byte("cat\n\ndog\n"), 0o600))
	_, err = Read(path)
	require.EqualError(t, err, "labels: "+path+": line 2 is empty")
	require.NoError(t, os.Truncate(path, maxFile+1))
	_, err = Read(path)
	require.ErrorContains(t, err, "too many")
	_, err = Read(os.DevNull)
	require.ErrorContains(t, err, "neither a file nor a folder")
}

// As torchvision.datasets.ImageFolder(root).classes has them, but for hidden and
// empty folders.
func TestReadFolder(t *testing.T) {
	root := t.TempDir()
	make := func(paths ...string) {
		for _, path := range paths {
			path = filepath.Join(root, path)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
			require.NoError(t, os.WriteFile(path, []byte("a picture"), 0o600))
		}
	}
	read := func(path string) string {
		classes, err := Read(filepath.Join(root, path))
		require.NoError(t, err)
		return text(classes)
	}
	_, err := Read(root)
	require.ErrorContains(t, err, "no folders")

	make("b/1.jpg", "B/1.jpg", "10/1.jpg", "9/1.jpg", "\u00e4/1.jpg", "z/deep/1.jpg", ".hidden/1.jpg", "file.jpg", "train/1.jpg")
	require.NoError(t, os.Mkdir(filepath.Join(root, "empty"), 0o700))
	require.NoError(t, os.Symlink(filepath.Join(root, "b"), filepath.Join(root, "c")))
	require.NoError(t, os.Symlink(root, filepath.Join(root, "loop")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(root, "dangling")))
	require.Equal(t, "0=10 1=9 2=B 3=b 4=c 5=loop 6=train 7=z 8=\u00e4", read("."))

	make("set/val/n01440764/1.jpg", "set/train/n01440764/1.jpg", "set/train/n01491361/1.jpg", "set/readme/x")
	require.Equal(t, "n01440764=tench n01491361=tiger shark", read("set"))
	require.Equal(t, "n01440764=tench", read("set/val"))
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"cat\ndog", "0: cat\n1: dog", "n01440764 tench", `["a", {"id": 1, "name": "b"}, ["c", "d"]]`, `{"0": "a"}`,
		`{"a": 0}`, `{"label_names": ["a"], "label_descriptions": {"a": "b"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		classes, err := Parse(data)
		if err != nil {
			return
		}
		require.NoError(t, Check(classes))
		require.LessOrEqual(t, len(classes), len(data))
		again, err := json.Marshal(classes)
		require.NoError(t, err)
		same, err := Parse(again)
		require.NoError(t, err)
		require.Equal(t, classes, same)
	})
}
