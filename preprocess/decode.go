package preprocess

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"os"
)

// maxFile bounds the compressed data that is read, in bytes.
const maxFile = 256 << 20

// format is a kind of file that Decode reads.
type format struct {
	magic  string
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)

	// pixelsPerByte is how many pixels one byte of file can hold at the very
	// best. It unmasks headers that promise more than the file can keep,
	// before memory is spent on them.
	pixelsPerByte int

	orientation func(file []byte) orientation
}

// formats returns the kinds of files that Decode reads.
func formats() [2]format {
	return [2]format{
		// Each 8x8 block takes at least one bit.
		{"\xff\xd8\xff", jpeg.DecodeConfig, jpeg.Decode, 8 * 64, jpegOrientation},
		// Deflate shrinks at most 1032-fold, and a pixel takes at least one bit.
		{"\x89PNG\r\n\x1a\n", png.DecodeConfig, png.Decode, 8 * 1032, func([]byte) orientation { return upright }},
	}
}

// DecodeFile reads the JPEG or PNG picture at path; see Decode.
func DecodeFile(path string) (*Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("preprocess: %w", err)
	}
	defer f.Close()
	p, err := decode(f)
	if err != nil {
		return nil, fmt.Errorf("preprocess: %s: %w", path, err)
	}
	return p, nil
}

// Decode reads a JPEG or PNG picture and turns it upright as its Exif
// orientation (JPEG only) says. Alpha is dropped, not composited; of 16-bit
// samples the high byte is kept; CMYK becomes RGB without a colour profile.
//
// It reads r to its end and refuses, before decoding, files that are empty,
// of another format, or beyond MaxPixels, MinSide and MaxAspect: see ErrEmpty
// and its neighbours. Decoding takes up to 24 bytes per pixel (progressive
// CMYK), of which at most 8 stay.
func Decode(r io.Reader) (*Image, error) {
	p, err := decode(r)
	if err != nil {
		return nil, fmt.Errorf("preprocess: %w", err)
	}
	return p, nil
}

func decode(r io.Reader) (*Image, error) {
	file, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	f, err := identify(file)
	if err != nil {
		return nil, err
	}
	config, err := f.config(bytes.NewReader(file))
	if err != nil {
		return nil, decodeError(err)
	}
	if err := checkSize(config.Width, config.Height); err != nil {
		return nil, err
	}
	if config.Width*config.Height/f.pixelsPerByte > len(file) {
		return nil, fmt.Errorf("%w: %d bytes cannot hold %dx%d pixels: copy it again from its source",
			ErrDamaged, len(file), config.Width, config.Height)
	}
	img, err := f.decode(bytes.NewReader(file))
	if err != nil {
		return nil, decodeError(err)
	}
	p, err := fromImage(img)
	if err != nil {
		return nil, err
	}
	f.orientation(file).apply(p)
	return p, nil
}

func identify(file []byte) (format, error) {
	if len(file) == 0 {
		return format{}, fmt.Errorf("%w: the file is empty", ErrEmpty)
	}
	if len(file) > maxFile {
		return format{}, fmt.Errorf("%w: more than %d MiB of file: scale it down first", ErrTooLarge, maxFile>>20)
	}
	for _, f := range formats() {
		if bytes.HasPrefix(file, []byte(f.magic)) {
			return f, nil
		}
	}
	return format{}, fmt.Errorf("%w: it is neither JPEG nor PNG (it begins with %q): convert it to one of them",
		ErrFormat, file[:min(len(file), 8)])
}

// decodeError says in this package's terms what the standard library found.
func decodeError(err error) error {
	var unsupportedJPEG jpeg.UnsupportedError
	var unsupportedPNG png.UnsupportedError
	switch {
	case errors.As(err, &unsupportedJPEG), errors.As(err, &unsupportedPNG):
		return fmt.Errorf("%w: %w: save it again as baseline JPEG or 8-bit PNG", ErrFormat, err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it ends early: copy it again from its source", ErrDamaged)
	}
	return fmt.Errorf("%w: %w: copy it again from its source", ErrDamaged, err)
}

// fromImage wraps img, sharing its samples where their layout allows. Alpha
// is dropped, not composited, and of 16-bit samples the high byte is kept.
func fromImage(img image.Image) (*Image, error) {
	b := img.Bounds()
	p := &Image{Geometry: Geometry{Width: b.Dx(), Height: b.Dy(), Model: ModelRGB}}
	switch img := img.(type) {
	case *image.YCbCr:
		return p, p.setYCbCr(img)
	case *image.Gray:
		p.setGray(img.Pix, img.Stride, 1)
	case *image.Gray16:
		p.setGray(img.Pix, img.Stride, 2)
	case *image.RGBA: // opaque, as image/png and image/jpeg make it
		p.setRGB(img.Pix, img.Stride, 4, 1)
	case *image.NRGBA:
		p.setRGB(img.Pix, img.Stride, 4, 1)
	case *image.RGBA64: // opaque, as image/png makes it
		p.setRGB(img.Pix, img.Stride, 8, 2)
	case *image.NRGBA64:
		p.setRGB(img.Pix, img.Stride, 8, 2)
	case *image.CMYK:
		p.setRGB(fromCMYK(img), 3*p.Width, 3, 1)
	case *image.Paletted:
		p.setRGB(fromPalette(img), 3*p.Width, 3, 1)
	default:
		return nil, fmt.Errorf("%w: pixels of type %T", ErrFormat, img)
	}
	return p, nil
}

func (p *Image) setGray(pix []uint8, stride, step int) {
	p.Model = ModelGray
	p.Planes[0] = Plane{Pix: pix, Stride: stride, Step: step}
}

func (p *Image) setRGB(pix []uint8, stride, step, sample int) {
	for c := range p.Planes {
		p.Planes[c] = Plane{Pix: pix, Origin: c * sample, Stride: stride, Step: step}
	}
}

func (p *Image) setYCbCr(img *image.YCbCr) error {
	factors := map[image.YCbCrSubsampleRatio][2]int{
		image.YCbCrSubsampleRatio444: {1, 1},
		image.YCbCrSubsampleRatio422: {2, 1},
		image.YCbCrSubsampleRatio420: {2, 2},
		image.YCbCrSubsampleRatio440: {1, 2},
		image.YCbCrSubsampleRatio411: {4, 1},
		image.YCbCrSubsampleRatio410: {4, 2},
	}
	f, ok := factors[img.SubsampleRatio]
	if !ok {
		return fmt.Errorf("%w: chroma subsampling %v: save it again as 4:2:0", ErrFormat, img.SubsampleRatio)
	}
	p.Model = ModelYCbCr
	p.Chroma = [2]Subsampling{{Factor: f[0]}, {Factor: f[1]}}
	p.Planes = [3]Plane{
		{Pix: img.Y, Stride: img.YStride, Step: 1},
		{Pix: img.Cb, Stride: img.CStride, Step: 1},
		{Pix: img.Cr, Stride: img.CStride, Step: 1},
	}
	return nil
}

// fromCMYK returns the packed RGB pixels of img, each colour dimmed by black.
func fromCMYK(img *image.CMYK) []uint8 {
	width, height := img.Rect.Dx(), img.Rect.Dy()
	rgb := make([]uint8, 0, 3*width*height)
	for y := range height {
		row := img.Pix[y*img.Stride:][:4*width]
		for x := 0; x < len(row); x += 4 {
			light := 255 - int(row[x+3])
			for _, ink := range row[x : x+3] {
				rgb = append(rgb, uint8(((255-int(ink))*light+127)/255))
			}
		}
	}
	return rgb
}

// fromPalette returns the packed RGB pixels of img.
func fromPalette(img *image.Paletted) []uint8 {
	var palette [256][3]uint8
	for i, c := range img.Palette[:min(len(img.Palette), len(palette))] {
		n := color.NRGBAModel.Convert(c).(color.NRGBA)
		palette[i] = [3]uint8{n.R, n.G, n.B}
	}
	width, height := img.Rect.Dx(), img.Rect.Dy()
	rgb := make([]uint8, 0, 3*width*height)
	for y := range height {
		for _, index := range img.Pix[y*img.Stride:][:width] {
			rgb = append(rgb, palette[index][:]...)
		}
	}
	return rgb
}
