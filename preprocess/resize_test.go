package preprocess

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// kind is a model with a chroma subsampling.
type kind struct {
	name   string
	model  Model
	fx, fy int
}

var kinds = []kind{
	{"gray", ModelGray, 1, 1}, {"rgb", ModelRGB, 1, 1},
	{"444", ModelYCbCr, 1, 1}, {"422", ModelYCbCr, 2, 1}, {"420", ModelYCbCr, 2, 2},
	{"440", ModelYCbCr, 1, 2}, {"411", ModelYCbCr, 4, 1}, {"410", ModelYCbCr, 4, 2},
	{"422 limited", ModelYCbCrLimited, 2, 1}, {"420 limited", ModelYCbCrLimited, 2, 2},
}

// synthesize returns a picture whose samples are those of fill(plane, x, y).
// Rows are padded, with bytes that must not show.
func synthesize(k kind, width, height int, fill func(plane, x, y int) uint8) *Image {
	p := &Image{Geometry: Geometry{Width: width, Height: height, Model: k.model,
		Chroma: [2]Subsampling{{Factor: k.fx}, {Factor: k.fy}}}}
	for i := range k.model.planes() {
		w, h := p.extent(i)
		stride := w + 3
		pix := make([]uint8, stride*h)
		for at := range pix {
			x, y := at%stride, at/stride
			pix[at] = 0xa5
			if x < w {
				pix[at] = fill(i, x, y)
			}
		}
		p.Planes[i] = Plane{Pix: pix, Stride: stride, Step: 1}
	}
	return p
}

// texture is smooth with noise on top, and differs between planes.
func texture(seed uint64) func(plane, x, y int) uint8 {
	rng := rand.New(rand.NewPCG(seed, 1))
	return func(plane, x, y int) uint8 {
		v := 128 + 60*math.Sin(float64(x*(plane+1))/17) + 40*math.Cos(float64(y)/(11+float64(plane)))
		return uint8(v) + uint8(rng.IntN(24))
	}
}

func at(p *Image, plane, x, y int) uint8 {
	s := p.Planes[plane]
	return s.Pix[s.Origin+y*s.Stride+x*s.Step]
}

func resize(t testing.TB, s Spec, p *Image) []uint8 {
	t.Helper()
	r, err := NewResizer(s)
	require.NoError(t, err)
	rgb := make([]uint8, s.Input().Elements())
	require.NoError(t, r.Resize(rgb, p))
	return rgb
}

func small() Spec {
	s := Torchvision()
	s.Resize, s.Crop = Resize{Short: 37, Floor: true}, Square(30)
	return s
}

var sizes = [][2]int{{16, 16}, {37, 37}, {37, 53}, {38, 64}, {97, 61}, {100, 75}, {101, 17}, {16, 256}, {333, 251}}

// forAll takes every kind and size, or with -short a fourth of the sizes with
// each kind.
func forAll(t *testing.T, test func(t *testing.T, k kind, width, height int)) {
	for i, k := range kinds {
		for j, size := range sizes {
			if testing.Short() && (i+j)%4 > 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%dx%d", k.name, size[0], size[1]), func(t *testing.T) {
				test(t, k, size[0], size[1])
			})
		}
	}
}

func TestConstantStaysConstant(t *testing.T) {
	forAll(t, func(t *testing.T, k kind, width, height int) {
		values := [3]uint8{255, 128, 128}
		if k.model == ModelYCbCrLimited {
			values[0] = 235
		}
		p := synthesize(k, width, height, func(plane, _, _ int) uint8 { return values[plane] })
		got := resize(t, small(), p)
		want := [3]uint8{255, 128, 128}
		if k.model != ModelRGB {
			want = [3]uint8{255, 255, 255}
		}
		for i, v := range got {
			require.Equal(t, want[i%3], v, "byte %d", i)
		}
	})
}

func TestGrayIsGray(t *testing.T) {
	forAll(t, func(t *testing.T, k kind, width, height int) {
		fill := texture(1)
		p := synthesize(k, width, height, func(plane, x, y int) uint8 {
			if plane > 0 && k.model.hasChroma() {
				return 128
			}
			return fill(0, x, y)
		})
		if k.model == ModelYCbCrLimited {
			p.Model = ModelYCbCr // grey of limited range is stretched
		}
		if k.model == ModelRGB {
			p.Planes[1], p.Planes[2] = p.Planes[0], p.Planes[0]
		}
		got := resize(t, small(), p)
		require.Equal(t, resize(t, small(), &Image{
			Geometry: Geometry{Width: width, Height: height, Model: ModelGray},
			Planes:   [3]Plane{p.Planes[0]},
		}), got)
		for i := 0; i < len(got); i += 3 {
			require.Equal(t, [3]uint8{got[i], got[i], got[i]}, [3]uint8(got[i:]))
		}
	})
}

// TestReference compares with the definition, computed in floating point:
// interpolate chroma to full resolution, turn upright, resize, convert.
func TestReference(t *testing.T) {
	specs := []Spec{small(), small(), small(), small(), small()}
	specs[1].Filter = Bicubic
	specs[2].Filter = Nearest
	specs[3].Order = Grey
	specs[4].Resize, specs[4].Crop, specs[4].Filter, specs[4].Order = Whole(Size{31, 44}), Size{17, 40}, Bicubic, Grey
	forAll(t, func(t *testing.T, k kind, width, height int) {
		for o := Upright; o <= 8; o++ {
			stored := synthesize(k, width, height, texture(uint64(o)))
			full := fullResolution(stored, o)
			o.Turn(stored)
			for _, s := range specs[:1+len(specs[1:])*int(o%2)] {
				compareWithReference(t, s, resize(t, s, stored), full)
			}
		}
	})
}

func compareWithReference(t *testing.T, s Spec, got []uint8, full floatPicture) {
	worst, total := 0.0, 0.0
	for i, want := range reference(s, full) {
		off := math.Abs(want - float64(got[i]))
		worst, total = max(worst, off), total+off
	}
	// Two passes of rounding put luma and chroma off by one at most, or with
	// negative weights 1.25; conversion to blue multiplies by 1.772 and rounds
	// again. Limited range is stretched.
	limit := 1 + 1.772 + 0.51
	if s.Filter == Bicubic {
		limit *= 1.25
	}
	if full.model == ModelYCbCrLimited {
		limit *= 255.0 / 219
	}
	require.LessOrEqual(t, worst, limit, "%+v", s)
	require.LessOrEqual(t, total/float64(len(got)), 1.0, "mean, %+v", s)
}

// floatPicture holds RGB or grey or YCbCr planes of full resolution.
type floatPicture struct {
	width, height int
	model         Model
	planes        [3][]float64
}

func fullResolution(p *Image, o Orientation) floatPicture {
	f := floatPicture{p.Width, p.Height, p.Model, [3][]float64{}}
	if o.Transposed() {
		f.width, f.height = p.Height, p.Width
	}
	for i := range p.Model.planes() {
		w, h := p.extent(i)
		fx, fy := 1.0, 1.0
		if i > 0 && p.Model.hasChroma() {
			fx, fy = float64(p.Chroma[0].Factor), float64(p.Chroma[1].Factor)
		}
		for y := range f.height {
			for x := range f.width {
				sx, sy := storedPosition(o, p.Width, p.Height, x, y)
				x0, rx := interpolate(sx, fx)
				y0, ry := interpolate(sy, fy)
				sample := func(x, y int) float64 {
					return float64(at(p, i, min(max(x, 0), w-1), min(max(y, 0), h-1)))
				}
				top := float64((1-rx)*sample(x0, y0)) + float64(rx*sample(x0+1, y0))
				bottom := float64((1-rx)*sample(x0, y0+1)) + float64(rx*sample(x0+1, y0+1))
				f.planes[i] = append(f.planes[i], float64((1-ry)*top)+float64(ry*bottom))
			}
		}
	}
	return f
}

// storedPosition returns where a picture of width x height and orientation o
// stores the pixel that is seen at (x, y).
func storedPosition(o Orientation, width, height, x, y int) (int, int) {
	right, bottom := width-1, height-1
	return [...]int{x, right - x, right - x, x, y, y, right - y, right - y}[o-1],
		[...]int{y, y, bottom - y, bottom - y, x, bottom - x, bottom - x, x}[o-1]
}

func interpolate(pixel int, factor float64) (first int, right float64) {
	position := (float64(pixel)+0.5)/factor - 0.5
	return int(math.Floor(position)), position - math.Floor(position)
}

func reference(s Spec, f floatPicture) []float64 {
	w, h := s.Resize.Whole.W, s.Resize.Whole.H
	if short := float64(min(f.width, f.height)); s.Resize.Short != 0 {
		w = int(float64(s.Resize.Short*f.width) / short)
		h = int(float64(s.Resize.Short*f.height) / short)
	}
	left := int(math.RoundToEven(float64(w-s.Crop.W) / 2))
	top := int(math.RoundToEven(float64(h-s.Crop.H) / 2))
	if s.Order == Grey && f.model == ModelRGB {
		grey := make([]float64, len(f.planes[0]))
		for i := range grey {
			grey[i] = float64(0.299*f.planes[0][i]) + float64(0.587*f.planes[1][i]) + float64(0.114*f.planes[2][i])
		}
		f.model, f.planes[0] = ModelGray, grey
	}
	var crops [3][]float64
	for i := range f.model.planes() {
		wide := referenceRows(s.Filter, f.planes[i], f.width, w)
		crops[i] = referenceColumns(s.Filter, wide, w, f.height, h)
	}
	if s.Order == Grey {
		var grey []float64
		for y := top; y < top+s.Crop.H; y++ {
			for _, v := range crops[0][y*w+left:][:s.Crop.W] {
				if f.model == ModelYCbCrLimited {
					v = limitedToRGB(v, 128, 128)[0]
				}
				grey = append(grey, v)
			}
		}
		return grey
	}
	var rgb []float64
	for y := top; y < top+s.Crop.H; y++ {
		for x := left; x < left+s.Crop.W; x++ {
			p := crops[0][y*w+x]
			switch f.model {
			case ModelGray:
				rgb = append(rgb, p, p, p)
			case ModelRGB:
				rgb = append(rgb, p, crops[1][y*w+x], crops[2][y*w+x])
			case ModelYCbCr:
				cb, cr := crops[1][y*w+x]-128, crops[2][y*w+x]-128
				for _, v := range []float64{1.402 * cr, -0.344136*cb - 0.714136*cr, 1.772 * cb} {
					rgb = append(rgb, min(max(p+v, 0), 255))
				}
			case ModelYCbCrLimited:
				rgb = append(rgb, limitedToRGB(p, crops[1][y*w+x], crops[2][y*w+x])...)
			}
		}
	}
	return rgb
}

// limitedToRGB is ITU-R BT.601 in its own terms: Y' and the colour differences
// as fractions of their ranges, and luma as the weighted sum of R, G and B.
func limitedToRGB(y, cb, cr float64) []float64 {
	const kr, kg, kb = 0.299, 0.587, 0.114
	luma, pb, pr := (y-16)/219, (cb-128)/224, (cr-128)/224
	r, b := luma+2*(1-kr)*pr, luma+2*(1-kb)*pb
	rgb := []float64{r, (luma - float64(kr*r) - float64(kb*b)) / kg, b}
	for i, v := range rgb {
		rgb[i] = min(max(255*v, 0), 255)
	}
	return rgb
}

func TestLimitedConversion(t *testing.T) {
	worst := 0.0
	for y := range 256 {
		for cb := 0; cb < 256; cb += 3 {
			for cr := 0; cr < 256; cr += 3 {
				pix := []uint8{uint8(y), uint8(cb), uint8(cr)}
				ModelYCbCrLimited.conversion().toRGB(pix)
				for i, want := range limitedToRGB(float64(y), float64(cb), float64(cr)) {
					worst = max(worst, math.Abs(want-float64(pix[i])))
				}
			}
		}
	}
	require.Less(t, worst, 0.505, "off by more than rounding")
}

// TestPackedCameraFormats resizes YUYV and NV12 where they lie.
func TestPackedCameraFormats(t *testing.T) {
	const width, height, stride = 96, 64, 2*96 + 10
	planar422 := synthesize(kind{"", ModelYCbCrLimited, 2, 1}, width, height, texture(4))
	yuyv := make([]uint8, stride*height)
	for i := range width * height {
		x, y := i%width, i/width
		yuyv[y*stride+2*x] = at(planar422, 0, x, y)
		yuyv[y*stride+2*x+1] = at(planar422, 1+x%2, x/2, y)
	}
	got := resize(t, small(), &Image{Geometry: planar422.Geometry, Planes: [3]Plane{
		{Pix: yuyv, Stride: stride, Step: 2}, {Pix: yuyv, Origin: 1, Stride: stride, Step: 4}, {Pix: yuyv, Origin: 3, Stride: stride, Step: 4}}})
	require.Equal(t, resize(t, small(), planar422), got)

	planar420 := synthesize(kind{"", ModelYCbCrLimited, 2, 2}, width, height, texture(4))
	nv12 := make([]uint8, width*height*3/2)
	chroma := nv12[width*height:]
	for i := range width * height {
		nv12[i] = at(planar420, 0, i%width, i/width)
	}
	for i := range width * height / 4 {
		x, y := i%(width/2), i/(width/2)
		chroma[y*width+2*x], chroma[y*width+2*x+1] = at(planar420, 1, x, y), at(planar420, 2, x, y)
	}
	got = resize(t, small(), &Image{Geometry: planar420.Geometry, Planes: [3]Plane{
		{Pix: nv12, Stride: width, Step: 1}, {Pix: chroma, Stride: width, Step: 2}, {Pix: chroma, Origin: 1, Stride: width, Step: 2}}})
	require.Equal(t, resize(t, small(), planar420), got)
}

// referenceRows resizes rows as Pillow documents its filters, and cuts off what
// overshoots.
func referenceRows(filter string, pix []float64, in, out int) []float64 {
	var result []float64
	scale := float64(in) / float64(out)
	for row := range slices.Chunk(pix, in) {
		for i := range out {
			centre := (float64(i) + 0.5) * scale
			if filter == Nearest {
				result = append(result, row[int(centre+1e-9)])
				continue
			}
			weigh, support, unit := tent, max(scale, 1), max(scale, 1)
			if filter == Bicubic {
				weigh, support = keys, 2*unit
			}
			var sum, total float64
			lo, hi := max(int(centre-support)-1, 0), min(int(centre+support)+2, in)
			for x := lo; x < hi; x++ {
				weight := weigh(math.Abs(float64(x)+0.5-centre) / unit)
				sum += float64(weight * row[x])
				total += weight
			}
			result = append(result, min(max(sum/total, 0), 255))
		}
	}
	return result
}

func tent(x float64) float64 { return max(0, 1-x) }

func keys(x float64) float64 {
	const a = -0.5
	switch {
	case x < 1:
		return float64((a+2)*x*x*x) - float64((a+3)*x*x) + 1
	case x < 2:
		return a * (float64(x*x*x) - float64(5*x*x) + float64(8*x) - 4)
	}
	return 0
}

func referenceColumns(filter string, pix []float64, width, in, out int) []float64 {
	return transpose(referenceRows(filter, transpose(pix, width), in, out), out)
}

func transpose(pix []float64, width int) []float64 {
	height := len(pix) / width
	result := make([]float64, len(pix))
	for i, v := range pix {
		result[i%width*height+i/width] = v
	}
	return result
}

// TestOrientationIsExact turns pictures both ways: by address and by moving
// samples. Subsampled sides are multiples of the factor, so that moving
// samples loses nothing.
func TestOrientationIsExact(t *testing.T) {
	for _, k := range kinds {
		for o := Upright; o <= 8; o++ {
			width, height := 61*k.fx, 43*k.fy
			stored := synthesize(k, width, height, texture(7))
			seen := k
			if o.Transposed() {
				width, height, seen.fx, seen.fy = height, width, k.fy, k.fx
			}
			moved := synthesize(seen, width, height, func(plane, x, y int) uint8 {
				w, h := stored.extent(plane)
				sx, sy := storedPosition(o, w, h, x, y)
				return at(stored, plane, sx, sy)
			})
			o.Turn(stored)
			require.Equal(t, moved.Geometry, stored.Geometry)
			require.Equal(t, resize(t, small(), moved), resize(t, small(), stored), "%s, orientation %d", k.name, o)
		}
	}
}

func TestInterleavedPlanes(t *testing.T) {
	const width, height, step = 91, 67, 4
	planar := synthesize(kinds[1], width, height, texture(3))
	packed := &Image{Geometry: planar.Geometry}
	pix := make([]uint8, step*width*height)
	for c := range 3 {
		for i := range width * height {
			pix[step*i+c] = at(planar, c, i%width, i/width)
		}
		packed.Planes[c] = Plane{Pix: pix, Origin: c, Stride: step * width, Step: step}
	}
	require.Equal(t, resize(t, small(), planar), resize(t, small(), packed))
}

// TestResizerIsReusable changes geometry between calls and expects the bits
// of a resizer made for the picture alone.
func TestResizerIsReusable(t *testing.T) {
	r, err := NewResizer(small())
	require.NoError(t, err)
	got := make([]uint8, 3*30*30)
	for range 2 {
		for _, k := range kinds {
			p := synthesize(k, 83, 59, texture(5))
			for range 2 {
				require.NoError(t, r.Resize(got, p))
				require.Equal(t, resize(t, small(), p), got, k.name)
			}
		}
	}
}

func TestResizeDoesNotAllocate(t *testing.T) {
	for i, k := range kinds {
		p := synthesize(k, 123, 77, texture(1))
		Orientation(6).Turn(p)
		s := small()
		s.Filter = []string{Bilinear, Bicubic, Nearest}[i%3]
		s.Order = []string{RGB, Grey}[i%2]
		r, err := NewResizer(s)
		require.NoError(t, err)
		rgb := make([]uint8, s.Input().Elements())
		require.Zero(t, testing.AllocsPerRun(10, func() {
			if err := r.Resize(rgb, p); err != nil {
				t.Fatal(err)
			}
		}), k.name)
	}
}

func TestExtremeSpecs(t *testing.T) {
	for _, crop := range []struct{ resize, crop int }{{1, 1}, {2, 1}, {256, 1}, {257, 256}, {4096, 3}} {
		s := Torchvision()
		s.Resize, s.Crop = Short(crop.resize), Square(crop.crop)
		for _, k := range kinds {
			p := synthesize(k, 31, 16, func(plane, _, _ int) uint8 { return 128 })
			want := uint8(128)
			if k.model == ModelYCbCrLimited {
				want = 130 // (128-16) * 255/219
			}
			got := resize(t, s, p)
			require.Equal(t, slices.Repeat([]uint8{want}, len(got)), got, "%+v %s", crop, k.name)
		}
	}
}

func TestResizeRefuses(t *testing.T) {
	r, err := NewResizer(small())
	require.NoError(t, err)
	rgb := make([]uint8, 3*30*30)
	good := func() *Image { return synthesize(kinds[4], 64, 48, texture(1)) }
	require.NoError(t, r.Resize(rgb, good()))
	require.ErrorContains(t, r.Resize(rgb[1:], good()), "want 2700")

	for name, c := range map[string]struct {
		change func(*Image)
		want   error
	}{
		"short plane":     {func(p *Image) { p.Planes[2].Pix = p.Planes[2].Pix[:100] }, ErrDamaged},
		"origin":          {func(p *Image) { p.Planes[0].Origin = -1 }, ErrDamaged},
		"step":            {func(p *Image) { p.Planes[0].Step = -1 }, ErrDamaged},
		"stride":          {func(p *Image) { p.Planes[0].Stride *= 2 }, ErrDamaged},
		"model":           {func(p *Image) { p.Model = 9 }, ErrFormat},
		"factor":          {func(p *Image) { p.Chroma[0].Factor = 0 }, ErrFormat},
		"lead":            {func(p *Image) { p.Chroma[1].Lead = 2 }, ErrFormat},
		"negative width":  {func(p *Image) { p.Width = -64 }, ErrTooSmall},
		"large":           {func(p *Image) { p.Width, p.Height = 10_001, 10_000 }, ErrTooLarge},
		"larger than int": {func(p *Image) { p.Width, p.Height = math.MaxInt, math.MaxInt }, ErrTooLarge},
		"long":            {func(p *Image) { p.Height = 64*16 + 1 }, ErrTooLong},
	} {
		p := good()
		c.change(p)
		require.ErrorIs(t, r.Resize(rgb, p), c.want, name)
	}
}

func TestNewResizerValidates(t *testing.T) {
	s := Torchvision()
	s.Crop = Size{}
	_, err := NewResizer(s)
	require.Error(t, err)
}

func TestCropOffset(t *testing.T) {
	for size, want := range map[int]int{224: 0, 225: 0, 226: 1, 227: 2, 228: 2, 229: 2, 256: 16, 341: 58, 343: 60} {
		require.Equal(t, want, cropOffset(size, 224), "size %d", size)
	}
}

func TestWeightsSumToOne(t *testing.T) {
	for _, filter := range []string{Bilinear, Bicubic, Nearest} {
		for _, in := range []int{16, 97, 256, 1000, 10_000, 40_000} {
			for _, s := range []Subsampling{{1, 0}, {2, 0}, {2, 1}, {4, 0}, {4, 3}} {
				for _, w := range newWindows(kernelOf(filter), in, 256, 0, 256, s) {
					var sum, most int64
					for _, v := range w.weights {
						sum += int64(v)
						most += 255 * int64(max(v, -v))
					}
					require.InDelta(t, 1<<weightBits, sum, float64(len(w.weights)))
					require.Less(t, most+half, int64(math.MaxInt32), "sums fit")
					require.GreaterOrEqual(t, w.first, 0)
					require.LessOrEqual(t, w.first+len(w.weights), s.samples(in))
				}
			}
		}
	}
}

// One pixel of output, of the longest side there is: the largest sums of weights.
func TestLargestWeights(t *testing.T) {
	for _, s := range []Subsampling{{1, 0}, {4, 3}} {
		for _, w := range newWindows(cubic, 40_000, 1, 0, 1, s) {
			var sum int64
			for _, v := range w.weights {
				sum += int64(v)
			}
			require.InDelta(t, 1<<weightBits, sum, float64(len(w.weights)))
		}
	}
}

func BenchmarkResize(b *testing.B) {
	for _, c := range []struct {
		kind          kind
		width, height int
		orientation   Orientation
	}{
		{kinds[4], 640, 480, 1}, {kinds[4], 640, 480, 6}, {kinds[4], 1280, 720, 1}, {kinds[4], 4000, 3000, 1},
		{kinds[4], 4000, 3000, 6}, {kinds[2], 640, 480, 1}, {kinds[1], 640, 480, 1},
	} {
		b.Run(fmt.Sprintf("%s/%dx%d/orientation=%d", c.kind.name, c.width, c.height, c.orientation), func(b *testing.B) {
			p := synthesize(c.kind, c.width, c.height, texture(1))
			c.orientation.Turn(p)
			r, err := NewResizer(Torchvision())
			require.NoError(b, err)
			rgb := make([]uint8, 3*224*224)
			require.NoError(b, r.Resize(rgb, p))
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Resize(rgb, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPlan(b *testing.B) {
	g := Geometry{640, 480, ModelYCbCr, [2]Subsampling{{2, 0}, {2, 0}}}
	for b.Loop() {
		newPlan(Torchvision(), g)
	}
}

func TestFloatRefusesOtherLengths(t *testing.T) {
	input := make([]float32, 12)
	require.NoError(t, Caffe().Float(input, make([]uint8, 12)))
	require.EqualError(t, Caffe().Float(input, make([]uint8, 9)), "preprocess: 9 values of pixels for an input of 12")
	require.Error(t, Caffe().Float(input[:4], make([]uint8, 4)))
}
