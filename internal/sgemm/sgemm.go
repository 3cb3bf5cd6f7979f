// Package sgemm multiplies float32 matrices for the float executor: windows of
// an image, read where they lie, by packed weights.
//
// Every element of a product is summed in one order, bias first and then k
// upwards, by fused multiply-add: one rounding to float32 for each k. The
// result is therefore the same, bit for bit, for every kernel and number of
// threads. Only the portable kernel differs: for want of the instruction it
// rounds each product as well.
package sgemm

import (
	"fmt"
	"math"
)

// Weights is the right-hand side of a product, packed for one kernel. It is
// immutable and may be shared between goroutines.
type Weights struct {
	Inputs, Outputs int

	kernel kernel
	runs   int
	// panels holds kernel.columns outputs each, zero-padded: a row of biases,
	// then one row for every k.
	panels []float32
}

// Windows is the left-hand side of a product: Count windows in lines of Length,
// the last of which may be shorter. Lines are Step apart, the windows of a line
// Stride, and the runs of a window Pitch: as many as the weights are packed
// for. In NHWC runs are the rows of a convolution's window, and lines those of
// its output. A matrix is a line of windows of one run.
type Windows struct {
	Values              []float32
	Count, Length       int
	Step, Stride, Pitch int
}

// from returns the windows of one line without the first n.
func (x Windows) from(n int) Windows {
	x.Values = x.Values[n*x.Stride:]
	x.Count -= n
	return x
}

// line returns the line that begins with window n.
func (x Windows) line(n int) Windows {
	x.Values = x.Values[n/x.Length*x.Step:]
	x.Count = min(x.Length, x.Count-n)
	return x
}

// Results is where a product goes: a row for each window, Stride apart.
type Results struct {
	Values []float32
	Stride int
	// Residual, if not nil, is added to the product. It lies as Values do, and
	// may be Values.
	Residual []float32
	// Limits, if not nil, are those of the results. NaN and -0 stay.
	Limits *Limits
}

// Limits are the least and the greatest result.
type Limits struct{ Least, Greatest float32 }

func (y Results) limits() Limits {
	if y.Limits != nil {
		return *y.Limits
	}
	return Limits{float32(math.Inf(-1)), float32(math.Inf(1))}
}

// from returns the results without the first n rows.
func (y Results) from(n int) Results { return y.after(n * y.Stride) }

// after returns the results without the first n values.
func (y Results) after(n int) Results {
	y.Values = y.Values[n:]
	if y.Residual != nil {
		y.Residual = y.Residual[n:]
	}
	return y
}

// kernel computes tiles of the product. It is a number and not a function so
// that calls are direct and their arguments stay off the heap.
type kernel struct {
	isa isa
	// large and small are the rows of its two kinds of tiles.
	large, small, columns int
}

// isa is the instruction set that a kernel needs.
type isa int

const (
	portable isa = iota
	avx2
	avx512
	neon
)

func (i isa) String() string { return [...]string{"portable", "avx2", "avx512", "neon"}[i] }

var portableKernel = kernel{portable, genericRows, genericRows, genericColumns}

// The largest tile of any kernel.
const (
	maxRows    = 14
	maxColumns = 32
)

// Pack packs weight, [outputs][inputs], and bias, [outputs] or nil for zeros,
// for the fastest kernel of this machine. The inputs are those of windows of a
// number of runs, one run after another.
func Pack(weight, bias []float32, outputs, inputs, runs int) (*Weights, error) {
	available := kernels()
	return pack(available[len(available)-1], weight, bias, outputs, inputs, runs)
}

func pack(k kernel, weight, bias []float32, outputs, inputs, runs int) (*Weights, error) {
	if outputs < 1 || inputs < 1 || len(weight) != outputs*inputs || bias != nil && len(bias) != outputs {
		return nil, fmt.Errorf("sgemm: %d weights and %d biases do not make a matrix of %d outputs and %d inputs",
			len(weight), len(bias), outputs, inputs)
	}
	if runs < 1 || inputs%runs != 0 {
		return nil, fmt.Errorf("sgemm: %d inputs do not make %d runs of one length", inputs, runs)
	}
	w := newWeights(k, bias, outputs, inputs, runs)
	w.fill(0, weight)
	return w, nil
}

// newWeights has no weights yet.
func newWeights(k kernel, bias []float32, outputs, inputs, runs int) *Weights {
	w := &Weights{Inputs: inputs, Outputs: outputs, kernel: k, runs: runs}
	w.panels = make([]float32, w.Panels()*w.panelLen())
	for i := 0; i < len(bias); i += k.columns {
		copy(w.panel(i / k.columns)[:k.columns], bias[i:])
	}
	return w
}

// fill packs the weights of outputs from one on that begins a panel: a cache line of
// each output in turn.
func (w *Weights) fill(from int, weight []float32) {
	const line = 16
	columns := w.kernel.columns
	for ; len(weight) > 0; from += columns {
		rows := weight[:min(columns*w.Inputs, len(weight))]
		weight = weight[len(rows):]
		panel := w.panel(from / columns)[columns:]
		for k := 0; k < w.Inputs; k += line {
			for j := 0; j*w.Inputs < len(rows); j++ {
				at := k*columns + j
				for _, v := range rows[j*w.Inputs+k : j*w.Inputs+min(k+line, w.Inputs)] {
					panel[at] = v
					at += columns
				}
			}
		}
	}
}

// Panels is the number of column panels, the unit in which threads may share
// the columns of a product.
func (w *Weights) Panels() int { return ceil(w.Outputs, w.kernel.columns) }

// TileRows is the number of rows that the kernel computes at once. Products of
// a multiple of it waste no work.
func (w *Weights) TileRows() int { return w.kernel.large }

func (w *Weights) panelLen() int { return (1 + w.Inputs) * w.kernel.columns }

func (w *Weights) panel(i int) []float32 { return w.panels[i*w.panelLen():][:w.panelLen()] }

// Mul computes y[i][j] = bias[j] + sum over k of x[i][k] * weight[j][k], plus
// the residual, for all windows and the columns j of panel p. Results overlap
// no window. Columns of other panels are not touched.
func (w *Weights) Mul(y Results, x Windows, p int) {
	column := p * w.kernel.columns
	m := product{kernel: w.kernel, runs: w.runs, panel: w.panel(p), columns: min(w.kernel.columns, w.Outputs-column)}
	large, small := m.split(min(x.Length, x.Count))
	m.pace = ceil(w.kernel.columns, max(large+small, 1)*ceil(x.Count, x.Length))
	for i := 0; i < x.Count; i += x.Length {
		m.line(y.from(i).after(column), x.line(i))
	}
}

// split divides rows into tiles, such that these and the one for the rest, another small
// one, compute the fewest rows, and of such into the most large ones.
func (k kernel) split(rows int) (large, small int) {
	least := rows + k.small
	for n := rows / k.large; n >= 0 && n > rows/k.large-k.small && least > rows; n-- {
		rest := rows - n*k.large
		if computed := n*k.large + ceil(rest, k.small)*k.small; computed < least {
			least, large, small = computed, n, rest/k.small
		}
	}
	return large, small
}

func ceil(n, unit int) int { return (n + unit - 1) / unit }

// product is the work on one panel.
type product struct {
	kernel
	runs    int
	panel   []float32
	columns int // of the panel that exist
	// While one panel is used, the next one is brought near: pace values of it
	// for each of its rows that a tile multiplies. called is how far that is.
	pace, called int
}

// line computes a line of windows.
func (m *product) line(y Results, x Windows) {
	large, small := m.split(x.Count)
	done := 0
	for _, tiles := range [2]struct{ rows, n int }{{m.large, large}, {m.small, small}} {
		if tiles.n > 0 {
			m.tiles(y.from(done), x.from(done), tiles.rows, tiles.n)
			done += tiles.rows * tiles.n
		}
	}
	if done < x.Count {
		m.rest(y, x, done)
	}
}

// tiles computes n tiles of the given number of rows.
func (m *product) tiles(y Results, x Windows, rows, n int) {
	if m.columns == m.kernel.columns {
		m.run(y, x, rows, n)
		m.called += n * len(m.panel) / m.kernel.columns * m.pace
		return
	}
	for i := range n {
		m.aside(y.from(i*rows), x.from(i*rows), rows, 0)
	}
}

// rest computes the rows from done on, which fill no tile: in one that begins
// earlier and skips what is known already or, where there are too few rows, one
// by one: a stride of zero shows the kernel the same window everywhere.
func (m *product) rest(y Results, x Windows, done int) {
	if x.Count >= m.small {
		first := x.Count - m.small
		m.aside(y.from(done), x.from(first), m.small, done-first)
		return
	}
	for i := done; i < x.Count; i++ {
		same := x.from(i)
		same.Stride = 0
		m.aside(y.from(i), same, m.small, m.small-1)
	}
}

// aside computes one tile aside and stores its rows from skip on.
func (m *product) aside(y Results, x Windows, rows, skip int) {
	var values [maxRows * maxColumns]float32
	tile := Results{Values: values[:], Stride: m.kernel.columns}
	m.run(tile, x, rows, 1)
	for i := skip; i < rows; i++ {
		y.from(i - skip).store(tile.from(i).Values[:m.columns])
	}
}

// store finishes a row of products.
func (y Results) store(row []float32) {
	limits := y.limits()
	for i, v := range row {
		if y.Residual != nil {
			v += y.Residual[i]
		}
		y.Values[i] = limits.clip(v)
	}
}

func (l Limits) clip(v float32) float32 {
	if v < l.Least {
		return l.Least
	}
	if v > l.Greatest {
		return l.Greatest
	}
	return v
}

// check panics, as an index out of range does, unless n tiles lie within x and
// y. It returns the length of a run.
func (m *product) check(y Results, x Windows, rows, n int) (depth int) {
	inputs := len(m.panel)/m.kernel.columns - 1
	if inputs < m.runs || inputs%m.runs != 0 || n < 1 || x.Stride < 0 || x.Pitch < 0 || y.Stride < m.kernel.columns {
		panic(fmt.Sprintf("sgemm: %d tiles, panel of %d values in %d runs, strides %d, %d and %d: not of a %v kernel",
			n, len(m.panel), m.runs, x.Stride, x.Pitch, y.Stride, m.isa))
	}
	depth, last := inputs/m.runs, n*rows-1
	_ = x.Values[last*x.Stride+(m.runs-1)*x.Pitch+depth-1]
	_ = y.Values[last*y.Stride+m.kernel.columns-1]
	if y.Residual != nil {
		_ = y.Residual[last*y.Stride+m.kernel.columns-1]
	}
	return depth
}

const (
	genericRows    = 3
	genericColumns = 2
)

// generic computes n tiles of 3x2. Larger ones leave amd64 short of registers
// and are slower.
func (m *product) generic(y Results, x Windows, depth, n int) {
	for i := range n {
		m.genericTile(y.from(i*genericRows), x.from(i*genericRows), depth)
	}
}

func (m *product) genericTile(y Results, x Windows, depth int) {
	s00, s01 := m.panel[0], m.panel[1]
	s10, s11 := s00, s01
	s20, s21 := s00, s01
	panel := m.panel[genericColumns:]
	for run := range m.runs {
		from := x.Values[run*x.Pitch:]
		x0, x1, x2 := from[:depth], from[x.Stride:][:depth], from[2*x.Stride:][:depth]
		for k, v0 := range x0 {
			w := (*[genericColumns]float32)(panel)
			panel = panel[genericColumns:]
			v1, v2 := x1[k], x2[k]
			s00 += float32(v0 * w[0])
			s10 += float32(v1 * w[0])
			s20 += float32(v2 * w[0])
			s01 += float32(v0 * w[1])
			s11 += float32(v1 * w[1])
			s21 += float32(v2 * w[1])
		}
	}
	for i, row := range [genericRows][genericColumns]float32{{s00, s01}, {s10, s11}, {s20, s21}} {
		y.from(i).store(row[:])
	}
}
