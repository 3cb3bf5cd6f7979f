package capture_test

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/capture"
	"edgeclassify/preprocess"
)

// halves is a frame whose left half is red and whose right half is blue, in
// lines that are longer than they must be.
func halves(format capture.Format, width, height int, full bool) *capture.Frame {
	f := &capture.Frame{Format: format, Width: width, Height: height, FullRange: full}
	sample := func(x int) (y, cb, cr byte) {
		y, cb, cr = color.RGBToYCbCr(255, 0, 0)
		if x >= width/2 {
			y, cb, cr = color.RGBToYCbCr(0, 0, 255)
		}
		if !full {
			y, cb, cr = byte(16+int(y)*219/255), byte(128+(int(cb)-128)*224/255), byte(128+(int(cr)-128)*224/255)
		}
		return y, cb, cr
	}
	even, rows := (width+1)/2*2, (height+1)/2
	f.Stride = even + 6
	switch format {
	case capture.YUYV:
		f.Stride = 2*even + 6
		f.Data = make([]byte, f.Stride*height)
		for y := range height {
			for x := range even {
				luma, cb, cr := sample(x)
				pair := f.Data[y*f.Stride+x/2*4:]
				pair[x%2*2], pair[1], pair[3] = luma, cb, cr
			}
		}
	default:
		f.Data = make([]byte, f.Stride*(height+rows))
		chroma, half := f.Data[f.Stride*height:], f.Stride/2
		for y := range height {
			for x := range width {
				luma, cb, cr := sample(x)
				f.Data[y*f.Stride+x] = luma
				if format == capture.NV12 {
					chroma[y/2*f.Stride+x/2*2], chroma[y/2*f.Stride+x/2*2+1] = cb, cr
				} else {
					chroma[y/2*half+x/2], chroma[rows*half+y/2*half+x/2] = cb, cr
				}
			}
		}
	}
	return f
}

func TestPicturesKeepTheirColours(t *testing.T) {
	for _, format := range []capture.Format{capture.YUYV, capture.NV12, capture.I420} {
		for _, full := range []bool{true, false} {
			for _, size := range []image.Point{{64, 32}, {63, 31}} {
				file, err := new(capture.Encoder).JPEG(halves(format, size.X, size.Y, full))
				require.NoError(t, err)
				picture, err := jpeg.Decode(bytes.NewReader(file))
				require.NoError(t, err)
				require.Equal(t, image.Rectangle{Max: size}, picture.Bounds())
				for _, y := range []int{1, size.Y - 1} {
					r, _, b, _ := picture.At(4, y).RGBA()
					require.True(t, r>>8 > 245 && b>>8 < 12, "%s %v %v: %d %d", format, full, size, r>>8, b>>8)
					r, _, b, _ = picture.At(size.X-1, y).RGBA()
					require.True(t, b>>8 > 245 && r>>8 < 12, "%s %v %v: %d %d", format, full, size, r>>8, b>>8)
				}
			}
		}
	}
}

// A region has the colours that are in it, also of JPEG files.
func TestPicturesOfARegion(t *testing.T) {
	for _, format := range []capture.Format{capture.YUYV, capture.NV12, capture.I420, capture.MJPEG} {
		f := halves(format, 64, 32, false)
		if format == capture.MJPEG {
			file, err := new(capture.Encoder).JPEG(halves(capture.NV12, 64, 32, false))
			require.NoError(t, err)
			f = &capture.Frame{Format: format, Width: 64, Height: 32, Data: file}
		}
		e := capture.Encoder{ROI: preprocess.ROI{X: 31, Y: 3, W: 33, H: 20}}
		file, err := e.JPEG(f)
		require.NoError(t, err)
		picture, err := jpeg.Decode(bytes.NewReader(file))
		require.NoError(t, err)
		require.Equal(t, image.Rect(0, 0, 33, 20), picture.Bounds())
		r, _, b, _ := picture.At(0, 10).RGBA()
		require.Greater(t, r, b, format)
		r, _, b, _ = picture.At(8, 10).RGBA()
		require.True(t, b>>8 > 230 && r>>8 < 25, "%s: %d %d", format, r>>8, b>>8)
		e.ROI.W = 100
		_, err = e.JPEG(f)
		require.ErrorIs(t, err, preprocess.ErrROI)
	}
}

// Cameras that see in the dark may be grey. What they never send is not cut.
func TestRegionsOfGreyAndRGB(t *testing.T) {
	grey, rgb := image.NewGray(image.Rect(0, 0, 64, 32)), image.NewNRGBA(image.Rect(0, 0, 64, 32))
	for i := range grey.Pix {
		grey.Pix[i] = uint8(4 * (i % 64))
	}
	var gray, colour bytes.Buffer
	require.NoError(t, jpeg.Encode(&gray, grey, &jpeg.Options{Quality: 100}))
	require.NoError(t, png.Encode(&colour, rgb))
	e := capture.Encoder{ROI: preprocess.ROI{X: 32, Y: 3, W: 20, H: 18}}
	file, err := e.JPEG(&capture.Frame{Format: capture.MJPEG, Data: gray.Bytes()})
	require.NoError(t, err)
	picture, err := jpeg.Decode(bytes.NewReader(file))
	require.NoError(t, err)
	require.Equal(t, image.Rect(0, 0, 20, 18), picture.Bounds())
	require.InDelta(t, 4*(32+10), picture.(*image.Gray).GrayAt(10, 9).Y, 8)
	_, err = e.JPEG(&capture.Frame{Format: capture.MJPEG, Data: colour.Bytes()})
	require.ErrorContains(t, err, "not of RGB")
}

func TestJPEGFramesAreTakenAsTheyAre(t *testing.T) {
	file, err := new(capture.Encoder).JPEG(&capture.Frame{Format: capture.MJPEG, Data: []byte("jpeg")})
	require.NoError(t, err)
	require.Equal(t, "jpeg", string(file))
}

func TestBadFrames(t *testing.T) {
	for _, format := range []capture.Format{capture.YUYV, capture.NV12, capture.I420} {
		good := halves(format, 32, 16, false)
		for _, spoil := range []func(f *capture.Frame){
			func(f *capture.Frame) { f.Data = f.Data[:len(f.Data)/2] },
			func(f *capture.Frame) { f.Data = nil },
			func(f *capture.Frame) { f.Stride = 31 },
			func(f *capture.Frame) { f.Stride = -1 },
			func(f *capture.Frame) { f.Width = 0 },
			func(f *capture.Frame) { f.Height = -1 },
			func(f *capture.Frame) { f.Height = math.MaxInt },
			func(f *capture.Frame) { f.Width = math.MaxInt },
		} {
			bad := *good
			spoil(&bad)
			_, err := new(capture.Encoder).JPEG(&bad)
			require.ErrorContains(t, err, "want", "%s %dx%d", format, bad.Width, bad.Height)
		}
	}
	_, err := new(capture.Encoder).JPEG(&capture.Frame{Format: "RGB3", Width: 1, Height: 1})
	require.ErrorContains(t, err, "RGB3")
}
