package labels

import (
	"strings"
	"testing"
	"testing/iotest"

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

func TestReadTruth(t *testing.T) {
	truth, err := ReadTruth(strings.NewReader("\ufeff# set A\r\n\na.jpg n01443537\r\nmy cat.jpg\t 281\n  b/c.jpg 0"), ImageNet())
	require.NoError(t, err)
	require.Equal(t, map[string]int{"a.jpg": 1, "my cat.jpg": 281, "b/c.jpg": 0}, truth)
}

func TestReadTruthErrors(t *testing.T) {
	for text, want := range map[string]string{
		"a.jpg 0\na.jpg":                     `line 2: "a.jpg": want a file name`,
		"#\n\na.jpg 1000":                    `line 3: "a.jpg": "1000" is neither a class id nor a number from 0 to 999`,
		"a.jpg -1":                           `"-1" is neither`,
		"a.jpg n00000000":                    `line 1: "a.jpg": "n00000000" is neither`,
		"a.jpg 1\nb.jpg 2\na.jpg 1":          `line 3: "a.jpg" appears twice`,
		"a 1\n" + strings.Repeat("x", 1<<17): "line 2: bufio.Scanner: token too long",
	} {
		_, err := ReadTruth(strings.NewReader(text), ImageNet())
		require.ErrorContains(t, err, want)
	}
	_, err := ReadTruth(iotest.ErrReader(iotest.ErrTimeout), nil)
	require.ErrorIs(t, err, iotest.ErrTimeout)
}
