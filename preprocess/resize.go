package preprocess

import "fmt"

// Resizer turns pictures into the pixels that a network sees, RGB or grey: it
// resizes the picture and cuts out the centre. Planes are resized as they are,
// and only the pixels of the crop become RGB.
//
// It compiles a plan for each geometry it meets and keeps the last one, so
// that frames of one camera cost no allocation. It is not for concurrent use.
type Resizer struct {
	spec Spec
	plan plan
}

// NewResizer returns a resizer for s.
func NewResizer(s Spec) (*Resizer, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return &Resizer{spec: s}, nil
}

// Resize writes the pixels of p, of the shape Spec.Input in RGB or grey, to dst,
// which must hold exactly that many bytes.
func (r *Resizer) Resize(dst []uint8, p *Image) error {
	if want := r.spec.Input().Elements(); len(dst) != want {
		return fmt.Errorf("preprocess: destination of %d bytes: want %d", len(dst), want)
	}
	if r.plan.geometry != p.Geometry {
		if err := p.Geometry.validate(); err != nil {
			return fmt.Errorf("preprocess: %w", err)
		}
		r.plan = newPlan(r.spec, p.Geometry)
	}
	if err := p.check(); err != nil {
		return fmt.Errorf("preprocess: %w", err)
	}
	r.plan.run(dst, p)
	return nil
}

// File decodes the picture at path and returns its pixels as Resizer.Resize does.
// Callers with many pictures keep a Resizer.
func (s Spec) File(path string) ([]uint8, error) {
	r, err := NewResizer(s)
	if err != nil {
		return nil, err
	}
	p, err := DecodeFile(path)
	if err != nil {
		return nil, err
	}
	pix := make([]uint8, s.Input().Elements())
	return pix, r.Resize(pix, p)
}

// cropOffset is half of size-crop, rounded half to even.
func cropOffset(size, crop int) int {
	twice := size - crop
	half := twice / 2
	return half + (twice & half & 1)
}

// plan holds everything about resizing one geometry that does not depend on
// the samples, and scratch memory.
type plan struct {
	geometry Geometry
	channels int    // of the crop: 1 or 3
	crop     int    // width
	luma     scaler // of grey, red, green and blue as well
	chroma   scaler

	line []uint8 // a source row, where it is not contiguous
	rows []uint8 // [rows needed][crop], resized horizontally
	sums []int32 // [crop]
}

// scaler resizes one plane: every output row and column has a window.
type scaler struct {
	columns, rows []window
}

// extent returns the size of the part of the plane that s reads, in samples.
func (s scaler) extent() (width, height int) {
	left, right := span(s.columns)
	top, bottom := span(s.rows)
	return right - left, bottom - top
}

func newPlan(s Spec, g Geometry) plan {
	w, h := s.Resize.size(g.Width, g.Height)
	k := kernelOf(s.Filter)
	newScaler := func(x, y Subsampling) scaler {
		return scaler{
			columns: newWindows(k, g.Width, w, cropOffset(w, s.Crop.W), s.Crop.W, x),
			rows:    newWindows(k, g.Height, h, cropOffset(h, s.Crop.H), s.Crop.H, y),
		}
	}
	full := Subsampling{Factor: 1}
	p := plan{geometry: g, channels: s.Channels(), crop: s.Crop.W, luma: newScaler(full, full)}
	line, rows := p.luma.extent()
	if g.Model.hasChroma() && p.channels == 3 {
		p.chroma = newScaler(g.Chroma[0], g.Chroma[1])
		chromaLine, chromaRows := p.chroma.extent()
		line, rows = max(line, chromaLine), max(rows, chromaRows)
	}
	p.line = make([]uint8, line)
	p.rows = make([]uint8, rows*s.Crop.W)
	p.sums = make([]int32, s.Crop.W)
	return p
}

// run writes the pixels of p to dst.
func (pl *plan) run(dst []uint8, p *Image) {
	pl.resize(dst, p, 0, pl.luma)
	switch {
	case pl.channels == 1:
		if p.Model == ModelYCbCrLimited {
			p.Model.conversion().stretch(dst)
		}
	case p.Model == ModelGray:
		grayToRGB(dst)
	case p.Model == ModelRGB:
		pl.resize(dst[1:], p, 1, pl.luma)
		pl.resize(dst[2:], p, 2, pl.luma)
	default:
		pl.resize(dst[1:], p, 1, pl.chroma)
		pl.resize(dst[2:], p, 2, pl.chroma)
		p.Model.conversion().toRGB(dst)
	}
}

// resize writes the crop of one plane of p to every byte or every third of dst.
func (pl *plan) resize(dst []uint8, p *Image, plane int, s scaler) {
	left, right := span(s.columns)
	top, bottom := span(s.rows)
	toGray := pl.channels == 1 && p.Model == ModelRGB
	for y := top; y < bottom; y++ {
		var row []uint8
		if toGray {
			row = p.gray(pl.line, y, left, right)
		} else {
			row = p.Planes[plane].row(pl.line, y, left, right)
		}
		shrinkRow(pl.rows[(y-top)*pl.crop:][:pl.crop], row, left, s.columns)
	}
	for y, w := range s.rows {
		rows := pl.rows[(w.first-top)*pl.crop:]
		sumRows(pl.sums, rows, w.weights)
		storeRow(dst[pl.channels*y*pl.crop:], pl.sums, pl.channels)
	}
}

// gray makes the pixels [left, right) of row y of an RGB picture grey, in line.
// Factors are Pillow's, those of ITU-R BT.601 in units of 2^-16.
func (p *Image) gray(line []uint8, y, left, right int) []uint8 {
	r, g, b := &p.Planes[0], &p.Planes[1], &p.Planes[2]
	line = line[:right-left]
	for i := range line {
		x := left + i
		line[i] = uint8((19595*uint32(r.at(x, y)) + 38470*uint32(g.at(x, y)) + 7471*uint32(b.at(x, y)) + 1<<15) >> 16)
	}
	return line
}

func (p *Plane) at(x, y int) uint8 { return p.Pix[p.Origin+y*p.Stride+x*p.Step] }

// row returns the samples [left, right) of row y, gathered into line unless
// they are contiguous already.
func (p *Plane) row(line []uint8, y, left, right int) []uint8 {
	at := p.Origin + y*p.Stride + left*p.Step
	if p.Step == 1 {
		return p.Pix[at:][:right-left]
	}
	line = line[:right-left]
	for i := range line {
		line[i] = p.Pix[at]
		at += p.Step
	}
	return line
}

const half = 1 << (weightBits - 1) // rounds to nearest

// shrinkRow filters one row whose first sample has index left.
func shrinkRow(dst, row []uint8, left int, columns []window) {
	for i := range dst {
		w := &columns[i]
		samples := row[w.first-left:][:len(w.weights)]
		sum := int32(half)
		for k, weight := range w.weights {
			sum += int32(samples[k]) * weight
		}
		dst[i] = clamp(sum >> weightBits)
	}
}

// sumRows sets sums to the weighted sum of successive rows of len(sums).
func sumRows(sums []int32, rows []uint8, weights []int32) {
	for i := range sums {
		sums[i] = half
	}
	for k, weight := range weights {
		row := rows[k*len(sums):][:len(sums)]
		for i, v := range row {
			sums[i] += int32(v) * weight
		}
	}
}

// storeRow writes sums, rounded, to one byte of dst in so many.
func storeRow(dst []uint8, sums []int32, step int) {
	at := 0
	for _, sum := range sums {
		dst[at] = clamp(sum >> weightBits)
		at += step
	}
}

// grayToRGB copies the first byte of every pixel to the other two.
func grayToRGB(pix []uint8) {
	for i := 0; i+2 < len(pix); i += 3 {
		pix[i+1], pix[i+2] = pix[i], pix[i]
	}
}

// conversion turns Y, Cb and Cr into RGB; factors are in units of 2^-16.
type conversion struct {
	black, light                    int32 // the Y of black, and what Y-black counts
	redCr, greenCb, greenCr, blueCb int32
}

// conversion returns that of a YCbCr model: the equations of JFIF 1.02, or
// those of ITU-R BT.601, in which Y is stretched by 255/219 and Cb and Cr by
// 255/224.
func (m Model) conversion() conversion {
	if m == ModelYCbCrLimited {
		return conversion{16, 76309, 104597, 25675, 53279, 132201}
	}
	return conversion{0, 1 << 16, 91881, 22554, 46802, 116130}
}

// stretch turns Y alone into grey in place.
func (c conversion) stretch(pix []uint8) {
	for i, y := range pix {
		pix[i] = clamp(((int32(y)-c.black)*c.light + 1<<15) >> 16)
	}
}

// toRGB converts pixels in place.
func (c conversion) toRGB(pix []uint8) {
	const half = 1 << 15
	for i := 0; i+2 < len(pix); i += 3 {
		y := (int32(pix[i])-c.black)*c.light + half
		cb, cr := int32(pix[i+1])-128, int32(pix[i+2])-128
		pix[i] = clamp((y + c.redCr*cr) >> 16)
		pix[i+1] = clamp((y - c.greenCb*cb - c.greenCr*cr) >> 16)
		pix[i+2] = clamp((y + c.blueCb*cb) >> 16)
	}
}

func clamp(v int32) uint8 {
	return uint8(min(max(v, 0), 255))
}
