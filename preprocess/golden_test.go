package preprocess

import (
	"bytes"
	"image"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/testneed"
)

const testdata = "../testdata"

// differences counts absolute differences between two pictures, in levels.
type differences [256]int

func compare(t *testing.T, want, got []uint8) *differences {
	t.Helper()
	require.Len(t, got, len(want))
	var d differences
	for i, w := range want {
		d[max(w, got[i])-min(w, got[i])]++
	}
	return &d
}

func (d *differences) add(o *differences) {
	for i, n := range o {
		d[i] += n
	}
}

func (d *differences) mean() float64 {
	sum, n := 0, 0
	for level, count := range d {
		sum, n = sum+level*count, n+count
	}
	return float64(sum) / float64(n)
}

// quantile returns the smallest level that the fraction q does not exceed.
func (d *differences) quantile(q float64) int {
	n := 0
	for _, count := range d {
		n += count
	}
	below := 0
	for level, count := range d {
		if below += count; float64(below) >= q*float64(n) {
			return level
		}
	}
	return len(d) - 1
}

func pictures(t testing.TB) []string {
	var paths []string
	for _, pattern := range []string{"photos/*", "oddities/*"} {
		found, err := filepath.Glob(filepath.Join(testdata, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, found)
		paths = append(paths, found...)
	}
	return paths
}

func TestGolden(t *testing.T) {
	for _, path := range pictures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			got, err := Torchvision().File(path)
			require.NoError(t, err)
			d := compare(t, readGolden(t, path), got)
			t.Logf("mean %.3f, p99 %d, max %d levels", d.mean(), d.quantile(.99), d.quantile(1))
			if filepath.Ext(path) != ".jpg" && !strings.HasSuffix(path, "lossy.webp") {
				require.LessOrEqual(t, d.quantile(1), 1, "only the rounding of weights may differ")
				return
			}
			require.LessOrEqual(t, d.mean(), 0.8)
			require.LessOrEqual(t, d.quantile(.99), 4)
		})
	}
}

func readGolden(t *testing.T, path string) []uint8 {
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)) + ".png"
	f, err := os.Open(filepath.Join(testdata, "golden", name))
	require.NoError(t, err, "run testdata/make_golden.py")
	defer f.Close()
	img, err := png.Decode(f)
	require.NoError(t, err)
	size := img.Bounds().Dx()
	require.Equal(t, image.Rect(0, 0, size, size), img.Bounds())
	rgb := make([]uint8, 0, 3*size*size)
	for y := range size {
		for x := range size {
			r, g, b, _ := img.At(x, y).RGBA()
			rgb = append(rgb, uint8(r>>8), uint8(g>>8), uint8(b>>8))
		}
	}
	return rgb
}

// TestPillow compares with Pillow itself on the ImageNet sample, what is not usual
// on a part of it.
func TestPillow(t *testing.T) {
	testneed.Long(t, "compares all photographs with Pillow")
	paths := samplePhotographs(t)
	few := append(paths[:min(len(paths), 60):60], pictures(t)...)
	bicubic, nearest, grey, squash := Timm(), Torchvision(), Timm(), Timm()
	nearest.Filter = Nearest
	grey.Order = Grey
	squash.Resize = Whole(Square(256))
	for name, c := range map[string]struct {
		spec      Spec
		arguments []string
		paths     []string
		p99       int
	}{
		"bilinear": {Torchvision(), nil, paths, 3},
		"bicubic":  {bicubic, []string{"--filter=bicubic"}, few, 4},
		"squash":   {squash, []string{"--filter=bicubic", "--squash"}, few, 4},
		"grey":     {grey, []string{"--filter=bicubic", "--mode=L"}, few, 2},
		"nearest":  {nearest, []string{"--filter=nearest"}, few, 6},
	} {
		t.Run(name, func(t *testing.T) { comparePillow(t, c.spec, c.arguments, c.paths, c.p99) })
	}
}

func comparePillow(t *testing.T, s Spec, arguments, paths []string, p99 int) {
	pillow := runPillow(t, paths, arguments...)
	r, err := NewResizer(s)
	require.NoError(t, err)
	want, got := make([]uint8, s.Input().Elements()), make([]uint8, s.Input().Elements())
	var all differences
	var sum, worst float64
	for _, path := range paths {
		_, err := io.ReadFull(pillow, want)
		require.NoError(t, err, path)
		p, err := DecodeFile(path)
		require.NoError(t, err)
		require.NoError(t, r.Resize(got, p), path)
		d := compare(t, want, got)
		require.LessOrEqual(t, d.mean(), 1.0, path)
		if filepath.Ext(path) == ".png" && s.Filter != Nearest {
			require.LessOrEqual(t, d.quantile(1), 1, path)
		}
		all.add(d)
		sum += d.mean()
		worst = max(worst, d.mean())
	}
	t.Logf("%d photographs: mean %.3f, worst photograph %.3f, p99 %d, p99.9 %d, max %d levels", len(paths),
		sum/float64(len(paths)), worst, all.quantile(.99), all.quantile(.999), all.quantile(1))
	require.LessOrEqual(t, all.quantile(.99), p99)
}

func samplePhotographs(t testing.TB) []string {
	paths, err := filepath.Glob(filepath.Join(testneed.Sample(t, "images"), "*"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	return paths
}

// runPillow returns what Pillow makes of the pictures, one after the other.
func runPillow(t *testing.T, paths []string, arguments ...string) io.Reader {
	python := testneed.Python(t, "pip install pillow", "PIL")
	cmd := exec.Command(python, append([]string{filepath.Join(testdata, "make_golden.py"), "--raw"}, arguments...)...)
	cmd.Stdin = strings.NewReader(strings.Join(paths, "\n"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stdout.Close() // ends Pillow if the test ended early
		err := cmd.Wait()
		if !t.Failed() {
			require.NoError(t, err, stderr.String())
		}
	})
	return stdout
}
