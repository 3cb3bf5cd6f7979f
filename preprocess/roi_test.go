package preprocess

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseOrientation(t *testing.T) {
	p := synthesize(kinds[0], 40, 30, texture(1))
	for rotate, turn := range map[int]func(x, y, w, h int) (int, int){ // from what is shown, w x h, to what was before
		0:   func(x, y, _, _ int) (int, int) { return x, y },
		90:  func(x, y, w, _ int) (int, int) { return y, w - 1 - x },
		180: func(x, y, w, h int) (int, int) { return w - 1 - x, h - 1 - y },
		270: func(x, y, _, h int) (int, int) { return h - 1 - y, x },
	} {
		for _, flip := range []string{"", "h", "v"} {
			o, err := ParseOrientation(rotate, flip)
			require.NoError(t, err)
			shown := *p
			o.Turn(&shown)
			for y := range shown.Height {
				for x := range shown.Width {
					fx, fy := x, y
					switch flip {
					case "h":
						fx = shown.Width - 1 - x
					case "v":
						fy = shown.Height - 1 - y
					}
					sx, sy := turn(fx, fy, shown.Width, shown.Height)
					require.Equal(t, at(p, 0, sx, sy), at(&shown, 0, x, y), "%d %s", rotate, flip)
				}
			}
		}
	}
	_, err := ParseOrientation(45, "")
	require.ErrorContains(t, err, "want 0, 90, 180 or 270")
	_, err = ParseOrientation(0, "x")
	require.ErrorContains(t, err, "want h")
}

// Turning twice is turning by what both come to.
func TestOrientationsFollowEachOther(t *testing.T) {
	for _, k := range kinds {
		for a := range Orientation(9) {
			for b := range Orientation(9) {
				twice, once := synthesize(k, 37, 21, texture(1)), synthesize(k, 37, 21, texture(1))
				a.Turn(twice)
				b.Turn(twice)
				a.Then(b).Turn(once)
				require.Equal(t, twice, once, "%s: %d, then %d", k.name, a, b)
			}
		}
	}
}

// cropped copies a region, whose corner lies between samples of chroma, to a picture.
func cropped(p *Image, k kind, x0, y0, width, height int) *Image {
	return synthesize(k, width, height, func(plane, x, y int) uint8 {
		fx, fy := 1, 1
		if plane > 0 && k.model.hasChroma() {
			fx, fy = k.fx, k.fy
		}
		return at(p, plane, x0/fx+x, y0/fy+y)
	})
}

func TestROIIsWhatACroppedPictureShows(t *testing.T) {
	for _, k := range kinds {
		p := synthesize(k, 160, 120, texture(1))
		roi := ROI{X: 24, Y: 16, W: 100, H: 80}
		want := cropped(p, k, 24, 16, 100, 80)
		require.NoError(t, roi.Crop(p))
		require.Equal(t, want.Geometry, p.Geometry, k.name)
		require.Equal(t, resize(t, small(), want), resize(t, small(), p), k.name)
	}
}

// Wherever a region begins, its pixels and their chroma are those of the picture.
func TestROIKeepsPixels(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	sample := func(p *Image, plane, x, y int) uint8 {
		if plane > 0 && p.Model.hasChroma() {
			x, y = p.Chroma[0].at(x), p.Chroma[1].at(y)
		}
		return at(p, plane, x, y)
	}
	for _, k := range kinds {
		for range 200 {
			p := synthesize(k, 41+rng.IntN(4), 37+rng.IntN(4), texture(rng.Uint64()))
			Orientation(rng.IntN(9)).Turn(p)
			w, h := MinSide+rng.IntN(p.Width-MinSide+1), MinSide+rng.IntN(p.Height-MinSide+1)
			x0, y0 := rng.IntN(p.Width-w+1), rng.IntN(p.Height-h+1)
			region := *p
			require.NoError(t, ROI{X: float64(x0), Y: float64(y0), W: float64(w), H: float64(h)}.Crop(&region))
			require.Equal(t, [2]int{w, h}, [2]int{region.Width, region.Height})
			require.NoError(t, region.validate())
			require.NoError(t, region.check())
			for range 50 {
				plane, x, y := rng.IntN(k.model.planes()), rng.IntN(w), rng.IntN(h)
				require.Equal(t, sample(p, plane, x0+x, y0+y), sample(&region, plane, x, y), k.name)
			}
		}
	}
}

func TestROIOfPictures(t *testing.T) {
	for text, want := range map[string][4]int{ // x, y, width, height of 640x480
		"0,0,640,480":             {0, 0, 640, 480},
		"100,50,320,240":          {100, 50, 320, 240},
		"10%,10%,50%,50%":         {64, 48, 320, 240},
		"0%, 0%, 33.3%, 66.6%":    {0, 0, 213, 320},
		"33.3%,66.6%,66.7%,33.4%": {213, 320, 427, 160},
	} {
		roi, err := ParseROI(text)
		require.NoError(t, err, text)
		r, err := roi.Pixels(640, 480)
		require.NoError(t, err, text)
		require.Equal(t, want, [4]int{r.Min.X, r.Min.Y, r.Dx(), r.Dy()}, text)
		again, err := ParseROI(roi.String())
		require.NoError(t, err)
		require.Equal(t, roi, again)
	}
	require.Empty(t, ROI{}.String())
	for _, roi := range []ROI{
		{X: 600, W: 100, H: 100}, {Y: 400, W: 100, H: 100}, {W: 15, H: 100}, {W: 100, H: 15}, {W: 1, H: 1, Percent: true},
	} {
		p := synthesize(kinds[4], 640, 480, texture(1))
		before := *p
		err := roi.Crop(p)
		require.ErrorIs(t, err, ErrROI)
		require.ErrorContains(t, err, "of 640x480 pixels")
		require.Equal(t, before, *p)
	}
}

func FuzzParseROI(f *testing.F) {
	for _, text := range []string{
		"", "1,2,3", "1,2,3,4,5", "a,0,16,16", "0,0,0,16", "-1,0,16,16", "0,0,10%,10%", "0%,0%,101%,50%", "NaN%,0%,1%,1%",
		"0,0,1e300,16", "0.5,0,16,16", "Inf,0,16,16", "10%,10%,50%,50%", "0,0,16,16",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		roi, err := ParseROI(text)
		if err != nil {
			require.Equal(t, ROI{}, roi)
			require.ErrorContains(t, err, "want X")
			return
		}
		again, err := ParseROI(roi.String())
		require.NoError(t, err)
		require.Equal(t, roi, again)
		if r, err := roi.Pixels(640, 480); err == nil {
			require.True(t, min(r.Min.X, r.Min.Y) >= 0 && r.Max.X <= 640 && r.Max.Y <= 480 && min(r.Dx(), r.Dy()) >= MinSide)
		}
	})
}
