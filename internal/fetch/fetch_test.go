package fetch

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNames(t *testing.T) {
	models := Names()
	require.Len(t, models, 2)
	for _, m := range models {
		require.NotEmpty(t, m.Description, m.Name)
		require.NotEmpty(t, m.License, m.Name)
		require.NotEmpty(t, m.Origin, m.Name)
		_, err := Path(m.Name, t.TempDir())
		require.ErrorIs(t, err, os.ErrNotExist)
		require.ErrorContains(t, err, "fetch it first")
	}
}

func TestUnknownName(t *testing.T) {
	_, err := Fetch(t.Context(), "alexnet", Options{Dir: t.TempDir()})
	require.ErrorContains(t, err, `unknown network "alexnet", known are resnet50-keras, resnet50-torchvision`)
	_, err = Path("alexnet", "")
	require.ErrorContains(t, err, "alexnet")
}

func TestCacheDir(t *testing.T) {
	t.Setenv("EDGE_CLASSIFY_CACHE", "/somewhere")
	dir, err := CacheDir()
	require.NoError(t, err)
	require.Equal(t, "/somewhere", dir)

	dir = t.TempDir()
	t.Setenv("EDGE_CLASSIFY_CACHE", dir)
	want := filepath.Join(dir, "resnet50-0676ba61.pth")
	require.NoError(t, os.WriteFile(want, nil, 0o644))
	path, err := Path("resnet50-torchvision", "")
	require.NoError(t, err)
	require.Equal(t, want, path)

	t.Setenv("EDGE_CLASSIFY_CACHE", "")
	dir, err = CacheDir()
	require.NoError(t, err)
	require.Equal(t, "edge-classify", filepath.Base(dir))
}

func TestPinnedFiles(t *testing.T) {
	sums := kerasPackage().sums
	require.Len(t, sums, 27, "25 shards, model.json and LICENSE")
	require.Equal(t, "11e0ca5744e311734bb5117e707beee6030fe9712b4bbb4352b5b3796f7c7a21", sums["package/ResNet50/model.json"])
	for name, sum := range sums {
		require.Len(t, sum, 64, name)
	}
}

// entries are the names in a folder.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	require.NoError(t, err)
	names := []string{}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}
