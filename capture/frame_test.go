package capture

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/preprocess"
)

// rgb returns what a network would see of f.
func rgb(t *testing.T, f *Frame) []uint8 {
	t.Helper()
	var p preprocess.Image
	require.NoError(t, f.Image(&p))
	r, err := preprocess.NewResizer(preprocess.Torchvision())
	require.NoError(t, err)
	pix := make([]uint8, 3*224*224)
	require.NoError(t, r.Resize(pix, &p))
	return pix
}

// scene is a smooth picture in full-range 4:2:0.
func scene(width, height int) *image.YCbCr {
	img := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		x, y := i%img.YStride, i/img.YStride
		img.Y[i] = uint8(30 + 190*x/width + 20*(y/16%2))
	}
	for i := range img.Cb {
		x, y := i%img.CStride, i/img.CStride
		img.Cb[i] = uint8(70 + 200*x/width)
		img.Cr[i] = uint8(90 + 130*y/height)
	}
	return img
}

// frame lays img out as a camera would, with padding that must not show.
func frame(img *image.YCbCr, format Format, full bool, padding int) *Frame {
	f := &Frame{Format: format, Width: img.Rect.Dx(), Height: img.Rect.Dy(), FullRange: full}
	f.Stride = f.minStride() + padding
	f.Data = bytes.Repeat([]byte{0xa5}, f.need())
	scale := func(v uint8, zero, span int) uint8 {
		if full {
			return v
		}
		return uint8((int(v)-zero)*span/255 + 16 + zero*span/255)
	}
	luma := f.Stride * f.Height
	chroma := luma + f.Stride/2*((f.Height+1)/2)
	for y := range f.Height {
		for x := range f.Width {
			at := img.COffset(x, y)
			l, cb, cr := scale(img.Y[img.YOffset(x, y)], 0, 219), scale(img.Cb[at], 128, 224), scale(img.Cr[at], 128, 224)
			switch format {
			case YUYV:
				f.Data[y*f.Stride+2*x] = l
				f.Data[y*f.Stride+4*(x/2)+1], f.Data[y*f.Stride+4*(x/2)+3] = cb, cr
			case NV12:
				f.Data[y*f.Stride+x] = l
				f.Data[luma+y/2*f.Stride+x/2*2], f.Data[luma+y/2*f.Stride+x/2*2+1] = cb, cr
			case I420:
				f.Data[y*f.Stride+x] = l
				f.Data[luma+y/2*(f.Stride/2)+x/2], f.Data[chroma+y/2*(f.Stride/2)+x/2] = cb, cr
			}
		}
	}
	return f
}

// TestFormatsAgree compares raw frames with the same picture as a file's
// decoder gives it.
func TestFormatsAgree(t *testing.T) {
	for _, size := range [][2]int{{640, 480}, {321, 243}} {
		img := scene(size[0], size[1])
		resizer, err := preprocess.NewResizer(preprocess.Torchvision())
		require.NoError(t, err)
		want := make([]uint8, 3*224*224)
		two := preprocess.Subsampling{Factor: 2}
		require.NoError(t, resizer.Resize(want, &preprocess.Image{
			Geometry: preprocess.Geometry{Width: size[0], Height: size[1], Model: preprocess.ModelYCbCr, Chroma: [2]preprocess.Subsampling{two, two}},
			Planes: [3]preprocess.Plane{{Pix: img.Y, Stride: img.YStride, Step: 1},
				{Pix: img.Cb, Stride: img.CStride, Step: 1}, {Pix: img.Cr, Stride: img.CStride, Step: 1}},
		}))
		for _, format := range []Format{YUYV, NV12, I420} {
			for _, full := range []bool{true, false} {
				for _, padding := range []int{0, 64} {
					got := rgb(t, frame(img, format, full, padding))
					total := 0
					for i := range got {
						total += abs(int(got[i]) - int(want[i]))
					}
					require.Less(t, float64(total)/float64(len(got)), 1.0,
						"mean difference of %s, full range %v, padding %d, %v", format, full, padding, size)
				}
			}
		}
	}
}

func TestMJPEGPicture(t *testing.T) {
	var file bytes.Buffer
	require.NoError(t, jpeg.Encode(&file, scene(320, 240), nil))
	f := &Frame{Format: MJPEG, Data: file.Bytes()}
	decoded, err := preprocess.Decode(file.Bytes())
	require.NoError(t, err)
	var p preprocess.Image
	require.NoError(t, f.Image(&p))
	require.Equal(t, *decoded, p)

	f.Data = f.Data[:len(f.Data)/2]
	require.ErrorIs(t, f.Image(&p), preprocess.ErrDamaged)
}

func TestRawPictureDoesNotAllocate(t *testing.T) {
	f := frame(scene(640, 480), YUYV, false, 0)
	var p preprocess.Image
	require.Zero(t, testing.AllocsPerRun(10, func() {
		if err := f.Image(&p); err != nil {
			t.Fatal(err)
		}
	}))
}

func TestPictureRefuses(t *testing.T) {
	for name, change := range map[string]func(*Frame){
		"short":   func(f *Frame) { f.Data = f.Data[1:] },
		"empty":   func(f *Frame) { f.Data = nil },
		"format":  func(f *Frame) { f.Format = "RGB3" },
		"stride":  func(f *Frame) { f.Stride = 3 },
		"width":   func(f *Frame) { f.Width = 0 },
		"height":  func(f *Frame) { f.Height = -480 },
		"no JPEG": func(f *Frame) { f.Format, f.Data = MJPEG, []byte("hello") },
	} {
		for _, format := range []Format{YUYV, NV12, I420} {
			f := frame(scene(64, 48), format, true, 0)
			f.Sequence = 77
			change(f)
			require.ErrorContains(t, f.Image(&preprocess.Image{}), "capture: frame 77: ", "%s %s", format, name)
		}
	}
}

// BenchmarkFrame is what a frame costs before the network sees it.
func BenchmarkFrame(b *testing.B) {
	for _, format := range []Format{YUYV, NV12, I420} {
		b.Run(string(format), func(b *testing.B) {
			f := frame(scene(640, 480), format, false, 0)
			r, err := preprocess.NewResizer(preprocess.Torchvision())
			require.NoError(b, err)
			var p preprocess.Image
			pix := make([]uint8, 3*224*224)
			show := func() {
				if err := errors.Join(f.Image(&p), r.Resize(pix, &p)); err != nil {
					b.Fatal(err)
				}
			}
			show() // the resizer makes its plan
			b.ReportAllocs()
			for b.Loop() {
				show()
			}
		})
	}
}

// BenchmarkMJPEGFrame is what a frame of a camera that sends JPEG files costs
// before it is resized.
func BenchmarkMJPEGFrame(b *testing.B) {
	file, err := os.ReadFile("../testdata/photos/rocket.jpg")
	require.NoError(b, err)
	var frame buffer
	var p preprocess.Image
	frame.Format = MJPEG
	b.ReportAllocs()
	for b.Loop() {
		_, err := frame.completeJPEG(file)
		if err := errors.Join(err, frame.Image(&p)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkJPEG is what a picture of a frame costs that is kept or shown.
func BenchmarkJPEG(b *testing.B) {
	file, err := os.ReadFile("../testdata/photos/rocket.jpg")
	require.NoError(b, err)
	img, err := jpeg.Decode(bytes.NewReader(file))
	require.NoError(b, err)
	photo := img.(*image.YCbCr)
	frames := map[string]*Frame{
		"YUYV": frame(photo, YUYV, false, 0), "NV12": frame(photo, NV12, false, 0),
		"MJPEG": {Format: MJPEG, Data: file}, "turned": {Format: MJPEG, Data: file, Orientation: 6},
	}
	for name, f := range frames {
		b.Run(name, func(b *testing.B) {
			var e Encoder
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.JPEG(f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
