package labels

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestImageNet(t *testing.T) {
	classes := ImageNet()
	require.Len(t, classes, 1000)
	require.Equal(t, Class{"n01440764", "tench"}, classes[0])
	require.Equal(t, Class{"n01491361", "tiger shark"}, classes[3])
	require.Equal(t, Class{"n02123045", "tabby"}, classes[281])
	require.Equal(t, Class{"n15075141", "toilet tissue"}, classes[999])
	for i, c := range classes {
		require.Regexp(t, `^n\d{8}$`, c.ID)
		require.NotEmpty(t, c.Name, c.ID)
		require.NotContains(t, c.Name, "_")
		if i > 0 {
			require.Less(t, classes[i-1].ID, c.ID, "classes stand in the order of their ids")
		}
	}
}

func TestDefault(t *testing.T) {
	require.Equal(t, ImageNet(), Default(1000))
	require.Equal(t, ImageNet(), Default(1001)[1:])
	require.Equal(t, []Class{{"0", "class 0"}, {"1", "class 1"}}, Default(2))
	require.True(t, Numbered(Default(2)))
	require.True(t, Numbered([]Class{{"0", "LABEL_0"}}))
	require.False(t, Numbered(Default(1000)))
	require.False(t, Numbered([]Class{{"0", "class 0"}, {"1", "cat"}}))
}

func TestFolders(t *testing.T) {
	find := Folders([]Class{{"0", "Persian cat"}, {"1", "crane"}, {"2", "crane"}, {"m/7", "tench, Tinca tinca"}, {"4", "0"}, {"5", ""}})
	for path, want := range map[string]int{
		"Persian cat/1.jpg":        0,
		"set/persian_cat/1.jpg":    0,
		"PERSIAN-CAT/more/1.jpg":   0,
		"crane/1.jpg":              -1, // two of them
		"Persian cat/crane/1.jpg":  -1,
		"crane/persian cat/1.jpg":  0,
		"tench/1.jpg":              3,
		"Tench, tinca tinca/1.jpg": 3,
		"0/1.jpg":                  4, // a name, not a number
		"1/1.jpg":                  -1,
		"tench.jpg":                -1,
		"":                         -1,
	} {
		class, ok := find(path)
		require.Equal(t, want >= 0, ok, path)
		require.Equal(t, max(want, 0), class, path)
	}
}

func TestFromPath(t *testing.T) {
	classes := ImageNet()
	for path, want := range map[string]int{
		"n01440764_tench.JPEG":                           0,
		"n01440764.jpg":                                  0,
		"a/b/n01443537_goldfish.JPEG":                    1,
		"val/n01440764/ILSVRC2012_val_00000293.JPEG":     0,
		"n01440764-tench/xyz.jpg":                        0,
		"ILSVRC2012_val_00000293_n01440764.JPEG":         0,
		"n01443537/n01440764_10026.JPEG":                 0, // the file outranks its folder
		"n01443537/ILSVRC2012_val_00000293_n01440764.js": 0,
		"cat.jpg":                     -1,
		"n01440764":                   0,
		"n01440764/a/b.jpg":           -1, // not the picture's own folder
		"n014407640_tench.JPEG":       -1, // nine digits
		"n01440764tench.JPEG":         -1,
		"n00000000_unknown.JPEG":      -1,
		"":                            -1,
		"/":                           -1,
		"picture_xn01440764.JPEG":     -1,
		"picture n01440764 later.jpg": -1,
	} {
		class, ok := FromPath(path, classes)
		require.Equal(t, want >= 0, ok, path)
		require.Equal(t, max(want, 0), class, path)
	}
}
