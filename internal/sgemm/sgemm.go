// Package sgemm multiplies float32 matrices for the float executor.
//
// Every element of a product is summed in one order, bias first and then k
// upwards, by fused multiply-add: one rounding to float32 for each k. The
// result is therefore the same, bit for bit, for every kernel and number of
// threads. Only the portable kernel differs: for want of the instruction it
// rounds each product as well.
package sgemm

import "fmt"

// Weights is the right-hand side of a product, packed for one kernel:
// y[j] = bias[j] + sum over k of x[k] * weight[j][k]. It is immutable and may
// be shared between goroutines.
type Weights struct {
	Inputs, Outputs int

	kernel kernel
	// panels holds kernel.columns outputs each, zero-padded: a row of biases,
	// then one row for every k.
	panels []float32
}

// Rows is a view of Count rows in Values, the starts of which are Stride apart.
type Rows struct {
	Values []float32
	Stride int
	Count  int
}

// from returns the view without its first n rows.
func (r Rows) from(n int) Rows {
	return Rows{Values: r.Values[n*r.Stride:], Stride: r.Stride, Count: r.Count - n}
}

// kernel computes a tile of rows x columns of the product. It is a number and
// not a function so that calls are direct and their arguments stay off the heap.
type kernel struct {
	isa           isa
	rows, columns int
}

// isa is the instruction set that a kernel needs.
type isa int

const (
	portable isa = iota
	avx2
	avx512
)

func (i isa) String() string { return [...]string{"portable", "avx2", "avx512"}[i] }

var portableKernel = kernel{portable, genericRows, genericColumns}

// The largest tile of any kernel.
const (
	maxRows    = 14
	maxColumns = 32
)

// Pack packs weight, [outputs][inputs], and bias, [outputs] or nil for zeros,
// for the fastest kernel of this machine.
func Pack(weight, bias []float32, outputs, inputs int) (*Weights, error) {
	available := kernels()
	return pack(available[len(available)-1], weight, bias, outputs, inputs)
}

func pack(k kernel, weight, bias []float32, outputs, inputs int) (*Weights, error) {
	if outputs < 1 || inputs < 1 || len(weight) != outputs*inputs || bias != nil && len(bias) != outputs {
		return nil, fmt.Errorf("sgemm: %d weights and %d biases do not make a matrix of %d outputs and %d inputs",
			len(weight), len(bias), outputs, inputs)
	}
	w := &Weights{Inputs: inputs, Outputs: outputs, kernel: k}
	w.panels = make([]float32, w.Panels()*w.panelLen())
	for j := range outputs {
		panel := w.panel(j / k.columns)[j%k.columns:]
		if bias != nil {
			panel[0] = bias[j]
		}
		for i, v := range weight[j*inputs : (j+1)*inputs] {
			panel[(i+1)*k.columns] = v
		}
	}
	return w, nil
}

// Panels is the number of column panels, the unit in which threads may share
// the columns of a product.
func (w *Weights) Panels() int { return (w.Outputs + w.kernel.columns - 1) / w.kernel.columns }

// TileRows is the number of rows that the kernel computes at once. Products of
// a multiple of it waste no work.
func (w *Weights) TileRows() int { return w.kernel.rows }

func (w *Weights) panelLen() int { return (1 + w.Inputs) * w.kernel.columns }

func (w *Weights) panel(i int) []float32 { return w.panels[i*w.panelLen():][:w.panelLen()] }

// Mul multiplies the rows of x by the weights of panels from <= p < to and
// stores the results at their columns of y, which has as many rows as x and
// does not overlap it. Columns of other panels are not touched.
func (w *Weights) Mul(y, x Rows, from, to int) {
	for p := from; p < to; p++ {
		w.mulPanel(y, x, p)
	}
}

func (w *Weights) mulPanel(y, x Rows, p int) {
	column := p * w.kernel.columns
	columns := min(w.kernel.columns, w.Outputs-column)
	y.Values = y.Values[column:]
	if x.Count < w.kernel.rows {
		w.mulFew(y, x, p, columns)
		return
	}
	for i := 0; i < x.Count; i += w.kernel.rows {
		if i+w.kernel.rows <= x.Count && columns == w.kernel.columns {
			w.kernel.tile(y.from(i), x.from(i), w.panel(p))
			continue
		}
		// The last tile moves up to stay within x and computes rows that are
		// known already; they are not stored twice, as another thread may own
		// them.
		start := min(i, x.Count-w.kernel.rows)
		w.mulEdge(y.from(i), x.from(start), p, i-start, columns)
	}
}

// mulFew multiplies fewer rows than a tile has, one by one: a stride of zero
// shows the kernel the same row everywhere.
func (w *Weights) mulFew(y, x Rows, p, columns int) {
	for i := range x.Count {
		w.mulEdge(y.from(i), Rows{x.from(i).Values, 0, 1}, p, w.kernel.rows-1, columns)
	}
}

// mulEdge computes a tile aside and stores the first columns of its rows from
// skip on.
func (w *Weights) mulEdge(y, x Rows, p, skip, columns int) {
	var aside [maxRows * maxColumns]float32
	tile := Rows{aside[:], w.kernel.columns, w.kernel.rows}
	w.kernel.tile(tile, x, w.panel(p))
	for i := skip; i < w.kernel.rows; i++ {
		copy(y.from(i - skip).Values[:columns], tile.from(i).Values)
	}
}

// checkTile panics, as an index out of range does, unless the first k.rows rows
// of x and y hold all that a tile reads and writes. It returns the depth of the
// product.
func (k kernel) checkTile(y, x Rows, panel []float32) int {
	depth := len(panel)/k.columns - 1
	if depth < 1 || x.Stride < 0 || y.Stride < k.columns {
		panic(fmt.Sprintf("sgemm: panel of %d values, strides %d and %d: too short for a tile of %dx%d",
			len(panel), x.Stride, y.Stride, k.rows, k.columns))
	}
	_ = x.Values[(k.rows-1)*x.Stride+depth-1]
	_ = y.Values[(k.rows-1)*y.Stride+k.columns-1]
	return depth
}

const (
	genericRows    = 3
	genericColumns = 2
)

// tileGeneric computes y[i][j] = panel[0][j] + sum over k of
// x[i][k] * panel[k+1][j] for a tile of 3x2. Larger ones leave amd64 short of
// registers and are slower.
func tileGeneric(y, x Rows, panel []float32, depth int) {
	x0 := x.Values[:depth]
	x1 := x.Values[x.Stride:][:depth]
	x2 := x.Values[2*x.Stride:][:depth]
	s00, s01 := panel[0], panel[1]
	s10, s11 := s00, s01
	s20, s21 := s00, s01
	panel = panel[genericColumns:]
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
	y.Values[0], y.Values[1] = s00, s01
	y.Values[y.Stride], y.Values[y.Stride+1] = s10, s11
	y.Values[2*y.Stride], y.Values[2*y.Stride+1] = s20, s21
}
