package capture

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"

	"edgeclassify/internal/jpegfile"
	"edgeclassify/preprocess"
)

const jpegQuality = 80

// Encoder makes JPEG files of frames. It keeps its memory.
type Encoder struct {
	ROI preprocess.ROI // of frames, as turned; zero is all

	picture      preprocess.Image
	img          image.YCbCr
	luma, chroma [256]uint8 // full-range values of the frame's
	file         bytes.Buffer
}

// JPEG returns the frame as a JPEG file. Where f.Data is one, all of which is wanted, it
// is that, with the frame's orientation told to viewers by Exif; other frames are
// turned. The file lasts until the next call, or as long as the frame.
func (e *Encoder) JPEG(f *Frame) ([]byte, error) {
	if f.Format == MJPEG && e.ROI == (preprocess.ROI{}) {
		return e.tell(f)
	}
	img, err := e.image(f)
	if err != nil {
		return nil, err
	}
	e.file.Reset()
	if err := jpeg.Encode(&e.file, img, &jpeg.Options{Quality: jpegQuality}); err != nil {
		return nil, fmt.Errorf("capture: frame %d: %w", f.Sequence, err)
	}
	return e.file.Bytes(), nil
}

// tell is a JPEG file whose Exif segment has the frame's orientation behind its own.
func (e *Encoder) tell(f *Frame) ([]byte, error) {
	if f.Orientation <= preprocess.Upright {
		return f.Data, nil
	}
	header, err := jpegfile.Parse(f.Data)
	if err != nil {
		return nil, fmt.Errorf("capture: frame %d: %w", f.Sequence, err)
	}
	const start = 2 // bytes of the first marker
	begin, end := max(header.ExifAt[0], start), max(header.ExifAt[1], start)
	e.file.Reset()
	e.file.Write(f.Data[:start])
	o := preprocess.ExifOrientation(header.Exif).Then(f.Orientation)
	e.file.Write(o.AppendExif(e.file.AvailableBuffer()))
	e.file.Write(f.Data[start:begin])
	e.file.Write(f.Data[end:])
	return e.file.Bytes(), nil
}

// image copies a frame's samples as image/jpeg wants them: upright, of full range and
// cut.
func (e *Encoder) image(f *Frame) (image.Image, error) {
	if err := f.Image(&e.picture); err != nil {
		return nil, err
	}
	if err := e.ROI.Crop(&e.picture); err != nil {
		return nil, err
	}
	e.setRange(e.picture.Model != preprocess.ModelYCbCrLimited)
	switch e.picture.Model {
	case preprocess.ModelYCbCr, preprocess.ModelYCbCrLimited:
		return e.planes(), nil
	case preprocess.ModelGray:
		img := image.NewGray(image.Rect(0, 0, e.picture.Width, e.picture.Height))
		read(img.Pix, img.Stride, &e.picture.Planes[0], &e.luma)
		return img, nil
	}
	return nil, fmt.Errorf("capture: frame %d: a region can be cut out of JPEG files of YCbCr and grey, not of RGB or CMYK: set the camera to another format", f.Sequence)
}

// planes copies the three planes of YCbCr.
func (e *Encoder) planes() *image.YCbCr {
	across, down := e.picture.Chroma[0], e.picture.Chroma[1]
	ratio := image.YCbCrSubsampleRatio420
	switch {
	case down.Factor == 1 && across.Factor == 1:
		ratio = image.YCbCrSubsampleRatio444
	case down.Factor == 1:
		ratio = image.YCbCrSubsampleRatio422
	case across.Factor == 1:
		ratio = image.YCbCrSubsampleRatio440
	}
	bounds := image.Rect(0, 0, e.picture.Width, e.picture.Height).Add(image.Pt(across.Lead, down.Lead))
	if e.img.Rect != bounds || e.img.SubsampleRatio != ratio {
		e.img = *image.NewYCbCr(bounds, ratio)
	}
	read(e.img.Y, e.img.YStride, &e.picture.Planes[0], &e.luma)
	read(e.img.Cb, e.img.CStride, &e.picture.Planes[1], &e.chroma)
	read(e.img.Cr, e.img.CStride, &e.picture.Planes[2], &e.chroma)
	return &e.img
}

// read copies a plane's samples through a table to lines of that width.
func read(dst []uint8, width int, src *preprocess.Plane, table *[256]uint8) {
	for y := range len(dst) / width {
		line := dst[y*width:][:width]
		at := src.Origin + y*src.Stride
		for x := range line {
			line[x] = table[src.Pix[at]]
			at += src.Step
		}
	}
}

// setRange fills the tables. Limited range is 16 to 235 for luma, and 16 to 240
// about 128 for chroma (ITU-R BT.601).
func (e *Encoder) setRange(full bool) {
	for i := range 256 {
		if full {
			e.luma[i], e.chroma[i] = uint8(i), uint8(i)
			continue
		}
		e.luma[i] = uint8(min(max((i-16)*255+109, 0)/219, 255))
		e.chroma[i] = uint8(min(max((i-128)*255+128*224+112, 0)/224, 255))
	}
}
