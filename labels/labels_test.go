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
