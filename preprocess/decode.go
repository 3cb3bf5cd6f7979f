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
	"runtime/debug"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

// maxFile bounds the compressed data that is read, in bytes.
const maxFile = 256 << 20

// DecodeFile reads the picture at path; see Decode.
func DecodeFile(path string) (*Image, error) { return Limits{}.DecodeFile(path) }

// DecodeFile reads the picture at path; see Decode.
func (l Limits) DecodeFile(path string) (*Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("preprocess: %w", err)
	}
	defer f.Close()
	file, err := l.read(f)
	if err != nil {
		return nil, fmt.Errorf("preprocess: %s: %w", path, err)
	}
	p, err := l.decode(file)
	if err != nil {
		return nil, fmt.Errorf("preprocess: %s: %w", path, err)
	}
	return p, nil
}

// Read reads a file for Decode to its end, or as much as shows that it is too
// large.
func (l Limits) Read(r io.Reader) ([]byte, error) {
	file, err := l.read(r)
	if err != nil {
		return nil, fmt.Errorf("preprocess: %w", err)
	}
	return file, nil
}

func (l Limits) read(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, l.file()+1)) }

// Decode decodes a JPEG, PNG, WebP, GIF (its first picture), BMP or TIFF file and
// turns it upright as its Exif orientation says. Alpha is dropped, not composited; of
// 16-bit samples the high byte is kept; CMYK becomes RGB without a colour profile.
// The picture does not refer to file.
//
// It refuses, before decoding, files that are empty, of another format, or
// beyond MaxPixels, MinSide and MaxAspect: see ErrEmpty and its neighbours.
// So it does with files that take more than Limits; decoding takes up to 27 bytes
// per pixel (progressive CMYK), of which at most 8 stay.
func Decode(file []byte) (*Image, error) { return Limits{}.Decode(file) }

// Decode is Decode within these limits.
func (l Limits) Decode(file []byte) (*Image, error) {
	p, err := l.decode(file)
	if err != nil {
		return nil, fmt.Errorf("preprocess: %w", err)
	}
	return p, nil
}

func (l Limits) decode(file []byte) (*Image, error) {
	if int64(len(file)) > l.file() {
		return nil, fmt.Errorf("%w: more than %s of file: scale it down%s", ErrTooLarge, megabytes(l.file()), l.more(maxFile))
	}
	f, err := identify(file)
	if err != nil {
		return nil, err
	}
	head, err := f.head(file)
	if err != nil {
		return nil, decodeError(err)
	}
	if err := checkSize(head.width, head.height); err != nil {
		return nil, err
	}
	if head.width*head.height/f.pixelsPerByte > len(file) {
		return nil, fmt.Errorf("%w: %d bytes cannot hold %dx%d pixels: copy it again from its source",
			ErrDamaged, len(file), head.width, head.height)
	}
	if err := l.check(head, file); err != nil {
		return nil, err
	}
	if head.memory > l.memory()/4 {
		debug.FreeOSMemory() // the picture before would count, too
	}
	img, err := f.decode(bytes.NewReader(file))
	if err != nil {
		return nil, decodeError(err)
	}
	p := new(Image)
	if err := p.set(img); err != nil {
		return nil, err
	}
	if p.Model == ModelYCbCr && f.limited {
		p.Model = ModelYCbCrLimited
	}
	head.orientation.Turn(p)
	return p, nil
}

var errAnimated = errors.New("it is animated")

// decodeError says in this package's terms what decoders found.
func decodeError(err error) error {
	switch {
	case unsupported(err):
		return fmt.Errorf("%w: %w: save it again as baseline JPEG or 8-bit PNG", ErrFormat, err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it ends early: copy it again from its source", ErrDamaged)
	}
	return fmt.Errorf("%w: %w: copy it again from its source", ErrDamaged, err)
}

// unsupported tells whether a file is right, but of a kind that its decoder lacks.
func unsupported(err error) bool {
	var ofJPEG jpeg.UnsupportedError
	var ofPNG png.UnsupportedError
	var ofTIFF tiff.UnsupportedError
	return errors.As(err, &ofJPEG) || errors.As(err, &ofPNG) || errors.As(err, &ofTIFF) ||
		errors.Is(err, bmp.ErrUnsupported) || errors.Is(err, errAnimated)
}

// Set makes p the picture img, and shares its samples where their layout
// allows: p changes with them. What img holds is read as Decode reads it from a
// file, so that premultiplied colours are divided by their alpha, which is
// dropped then. Opaque RGBA, NRGBA, YCbCr and grey images are not copied.
func (p *Image) Set(img image.Image) error {
	if img == nil {
		return fmt.Errorf("preprocess: %w: the image is nil", ErrEmpty)
	}
	err := checkSize(img.Bounds().Dx(), img.Bounds().Dy())
	if err == nil {
		err = p.set(img)
	}
	if err != nil {
		return fmt.Errorf("preprocess: %w", err)
	}
	return nil
}

func (p *Image) set(img image.Image) error {
	b := img.Bounds()
	*p = Image{Geometry: Geometry{Width: b.Dx(), Height: b.Dy(), Model: ModelRGB}}
	if !readable(img) {
		p.setRGB(fromPixels(img), 3*p.Width, 3, 1)
		return nil
	}
	switch img := img.(type) {
	case *image.YCbCr:
		return p.setYCbCr(img)
	case *image.NYCbCrA:
		return p.setYCbCr(&img.YCbCr)
	case *image.Gray:
		p.setGray(img.Pix, img.Stride, 1)
	case *image.Gray16:
		p.setGray(img.Pix, img.Stride, 2)
	case *image.RGBA:
		p.setRGB(img.Pix, img.Stride, 4, 1)
	case *image.NRGBA:
		p.setRGB(img.Pix, img.Stride, 4, 1)
	case *image.RGBA64:
		p.setRGB(img.Pix, img.Stride, 8, 2)
	case *image.NRGBA64:
		p.setRGB(img.Pix, img.Stride, 8, 2)
	case *image.CMYK:
		p.setRGB(fromCMYK(img), 3*p.Width, 3, 1)
	case *image.Paletted:
		p.setRGB(fromPalette(img), 3*p.Width, 3, 1)
	}
	return nil
}

// readable tells whether set reads the samples of img as they are.
func readable(img image.Image) bool {
	switch img := img.(type) {
	case *image.RGBA: // else multiplied by alpha
		return img.Opaque()
	case *image.RGBA64:
		return img.Opaque()
	case *image.YCbCr: // else its first samples of chroma stand for more pixels than others
		return min(img.Rect.Min.X, img.Rect.Min.Y) >= 0
	case *image.NYCbCrA:
		return min(img.Rect.Min.X, img.Rect.Min.Y) >= 0
	case *image.Gray, *image.Gray16, *image.NRGBA, *image.NRGBA64, *image.CMYK, *image.Paletted:
		return true
	}
	return false
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
	p.Chroma = [2]Subsampling{{f[0], img.Rect.Min.X % f[0]}, {f[1], img.Rect.Min.Y % f[1]}}
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

// fromPixels returns the packed RGB pixels of img, whatever its type.
func fromPixels(img image.Image) []uint8 {
	b := img.Bounds()
	rgb := make([]uint8, 0, 3*b.Dx()*b.Dy())
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
			rgb = append(rgb, c.R, c.G, c.B)
		}
	}
	return rgb
}
