package fleet

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"

	"edgeclassify/capture"
)

const jpegQuality = 80

// jpegFile is the frame as a JPEG file. It is f.Data where that is one.
func jpegFile(f *capture.Frame) ([]byte, error) {
	if f.Format == capture.MJPEG {
		return f.Data, nil
	}
	picture, err := yCbCr(f)
	if err != nil {
		return nil, err
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, picture, &jpeg.Options{Quality: jpegQuality}); err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	return file.Bytes(), nil
}

// yCbCr is a raw frame in full range, as JFIF wants it.
func yCbCr(f *capture.Frame) (*image.YCbCr, error) {
	even := (f.Width + 1) / 2 * 2
	ratio, rows, least := image.YCbCrSubsampleRatio420, f.Height+(f.Height+1)/2, even
	switch f.Format {
	case capture.YUYV:
		ratio, rows, least = image.YCbCrSubsampleRatio422, f.Height, 2*even
	case capture.NV12, capture.I420:
	default:
		return nil, fmt.Errorf("picture: unknown format %q", f.Format)
	}
	if f.Width < 1 || f.Height < 1 || f.Stride < f.Width || f.Stride < least || len(f.Data)/rows < f.Stride {
		return nil, fmt.Errorf("picture: %d bytes are too few for %s of %dx%d with lines of %d bytes", len(f.Data), f.Format, f.Width, f.Height, f.Stride)
	}
	p := image.NewYCbCr(image.Rect(0, 0, f.Width, f.Height), ratio)
	chroma := f.Data[f.Stride*f.Height:]
	luma, colour := fullRange(f.FullRange)
	switch f.Format {
	case capture.YUYV:
		gather(p.Y, p.YStride, f.Data, f.Stride, 2, &luma)
		gather(p.Cb, p.CStride, f.Data[1:], f.Stride, 4, &colour)
		gather(p.Cr, p.CStride, f.Data[3:], f.Stride, 4, &colour)
	case capture.NV12:
		gather(p.Y, p.YStride, f.Data, f.Stride, 1, &luma)
		gather(p.Cb, p.CStride, chroma, f.Stride, 2, &colour)
		gather(p.Cr, p.CStride, chroma[1:], f.Stride, 2, &colour)
	case capture.I420:
		half := f.Stride / 2
		gather(p.Y, p.YStride, f.Data, f.Stride, 1, &luma)
		gather(p.Cb, p.CStride, chroma, half, 1, &colour)
		gather(p.Cr, p.CStride, chroma[half*((f.Height+1)/2):], half, 1, &colour)
	}
	return p, nil
}

// gather fills lines of width bytes with every step-th byte of a plane.
func gather(to []byte, width int, from []byte, stride, step int, table *[256]byte) {
	for y := 0; len(to) > 0; y++ {
		line := from[y*stride:]
		for x := range to[:width] {
			to[x] = table[line[x*step]]
		}
		to = to[width:]
	}
}

// fullRange maps samples of luma and chroma to 0..255: from 16..235 and
// 16..240 (ITU-R BT.601), unless they are in full range already.
func fullRange(already bool) (luma, chroma [256]byte) {
	for i := range 256 {
		luma[i], chroma[i] = byte(i), byte(i)
		if !already {
			luma[i] = clamp(divideRound((i-16)*255, 219))
			chroma[i] = clamp(128 + divideRound((i-128)*255, 224))
		}
	}
	return luma, chroma
}

func clamp(x int) byte { return byte(max(0, min(255, x))) }

// divideRound rounds half away from zero.
func divideRound(a, b int) int {
	if a < 0 {
		return -((-a + b/2) / b)
	}
	return (a + b/2) / b
}
