package capture

import (
	"bytes"
	"context"
	"image/color"
	"image/jpeg"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/jpegfile"
	"edgeclassify/preprocess"
)

// stored is the pixel (x, y) of a raw frame, by its layout alone.
func stored(f *Frame, x, y int) color.YCbCr {
	luma, half := f.Stride*f.Height, f.Stride/2
	switch f.Format {
	case YUYV:
		pair := f.Data[y*f.Stride+x/2*4:]
		return color.YCbCr{Y: pair[x%2*2], Cb: pair[1], Cr: pair[3]}
	case NV12:
		pair := f.Data[luma+y/2*f.Stride+x/2*2:]
		return color.YCbCr{Y: f.Data[y*f.Stride+x], Cb: pair[0], Cr: pair[1]}
	default:
		cb, cr := luma+y/2*half+x/2, luma+((f.Height+1)/2+y/2)*half+x/2
		return color.YCbCr{Y: f.Data[y*f.Stride+x], Cb: f.Data[cb], Cr: f.Data[cr]}
	}
}

// place says where a picture of width x height stores what each orientation shows at (x, y).
func place(o preprocess.Orientation, width, height, x, y int) (int, int) {
	right, bottom := width-1, height-1
	o = max(o, preprocess.Upright)
	return [...]int{x, right - x, right - x, x, y, y, right - y, right - y}[o-1],
		[...]int{y, y, bottom - y, bottom - y, x, bottom - x, bottom - x, x}[o-1]
}

// Every pixel of a turned frame is where it belongs, as the classifier reads it and as
// viewers see it.
func TestFramesAreTurned(t *testing.T) {
	for _, format := range []Format{YUYV, NV12, I420} {
		for _, size := range [][2]int{{32, 24}, {33, 24}, {32, 25}, {33, 25}} {
			for o := range preprocess.Orientation(9) {
				f := &Frame{Format: format, Width: size[0], Height: size[1], FullRange: true, Orientation: o}
				f.Stride = f.minStride() + 6
				f.Data = make([]byte, f.need())
				for i := range f.Data {
					f.Data[i] = uint8(uint32(i) * 2654435761 >> 11)
				}
				var p preprocess.Image
				var e Encoder
				require.NoError(t, f.Image(&p))
				_, err := e.image(f)
				require.NoError(t, err)
				require.Equal(t, [2]int{p.Width, p.Height}, [2]int{e.img.Rect.Dx(), e.img.Rect.Dy()})
				require.Equal(t, o.Transposed(), p.Width == size[1])
				sample := func(plane, x, y int) uint8 {
					if plane > 0 {
						x, y = (x+p.Chroma[0].Lead)/p.Chroma[0].Factor, (y+p.Chroma[1].Lead)/p.Chroma[1].Factor
					}
					s := p.Planes[plane]
					return s.Pix[s.Origin+y*s.Stride+x*s.Step]
				}
				for y := range p.Height {
					for x := range p.Width {
						sx, sy := place(o, size[0], size[1], x, y)
						want := stored(f, sx, sy)
						require.Equal(t, want, color.YCbCr{Y: sample(0, x, y), Cb: sample(1, x, y), Cr: sample(2, x, y)},
							"%s %v, orientation %d, pixel %d,%d", format, size, o, x, y)
						require.Equal(t, want, e.img.YCbCrAt(e.img.Rect.Min.X+x, e.img.Rect.Min.Y+y),
							"%s %v encoded, orientation %d, pixel %d,%d", format, size, o, x, y)
					}
				}
				file, err := e.JPEG(f)
				require.NoError(t, err)
				config, err := jpeg.DecodeConfig(bytes.NewReader(file))
				require.NoError(t, err)
				require.Equal(t, [2]int{p.Width, p.Height}, [2]int{config.Width, config.Height})
			}
		}
	}
}

// A JPEG file tells viewers by Exif what the classifier sees, whatever its own Exif says.
func TestJPEGFramesTellTheirOrientation(t *testing.T) {
	plain, err := os.ReadFile("../testdata/photos/rocket.jpg")
	require.NoError(t, err)
	for own := range preprocess.Orientation(9) {
		data := plain
		if own > 0 {
			data = append(own.AppendExif(bytes.Clone(plain[:2])), plain[2:]...)
		}
		for o := range preprocess.Orientation(9) {
			f := &Frame{Format: MJPEG, Data: data, Orientation: o}
			var e Encoder
			file, err := e.JPEG(f)
			require.NoError(t, err)
			var seen preprocess.Image
			require.NoError(t, f.Image(&seen))
			shown, err := preprocess.Decode(file)
			require.NoError(t, err)
			require.Equal(t, seen, *shown, "own %d, then %d", own, o)
			if o > preprocess.Upright {
				require.Equal(t, 1, bytes.Count(file, []byte("Exif\x00\x00")))
				require.Zero(t, testing.AllocsPerRun(10, func() { e.JPEG(f) }))
			}
		}
	}
	_, err = new(Encoder).JPEG(&Frame{Format: MJPEG, Data: []byte("jpeg"), Orientation: 6})
	require.ErrorIs(t, err, jpegfile.ErrNotJPEG)
}

// A camera cannot make decoding take more than it may.
func TestFramesAreDecodedWithinLimits(t *testing.T) {
	file, err := os.ReadFile("../testdata/photos/rocket.jpg")
	require.NoError(t, err)
	var p preprocess.Image
	f := &Frame{Format: MJPEG, Data: file, Limits: preprocess.Limits{Memory: 500e3}}
	require.ErrorIs(t, f.Image(&p), preprocess.ErrTooLarge)
	f.Limits.Memory = 2e6
	require.NoError(t, f.Image(&p))
}

func TestCamerasAreTurned(t *testing.T) {
	cam, err := Open(t.Context(), "test", Options{Width: 64, Height: 32, Orientation: 6, Limits: preprocess.Limits{Memory: 5e6}})
	require.NoError(t, err)
	defer cam.Close()
	f, err := cam.Next(context.Background())
	require.NoError(t, err)
	require.Equal(t, preprocess.Orientation(6), f.Orientation)
	require.Equal(t, preprocess.Limits{Memory: 5e6}, f.Limits)
	var p preprocess.Image
	require.NoError(t, f.Image(&p))
	s := cam.Status()
	require.Equal(t, [2]int{32, 64}, [2]int{s.Width, s.Height})
	require.Equal(t, [2]int{32, 64}, [2]int{p.Width, p.Height})
	require.Zero(t, testing.AllocsPerRun(10, func() { f.Image(&p) }))
}
