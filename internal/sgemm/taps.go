package sgemm

// Taps is the weights of a depthwise convolution.
type Taps struct {
	channels, columns int
	weight, bias      []float32 // [rows][columns][channels], [channels]
	isa               isa
}

// PackTaps packs weight, [channels][rows][columns], and bias, [channels] or nil for
// zeros, for the fastest kernel of this machine.
func PackTaps(weight, bias []float32, channels, columns int) *Taps {
	t := &Taps{channels, columns, make([]float32, len(weight)), make([]float32, channels), portable}
	if channels >= tapChannels {
		t.isa = tapsISA()
	}
	taps := len(weight) / channels
	for i, v := range weight {
		t.weight[i%taps*channels+i/taps] = v
	}
	copy(t.bias, bias)
	return t
}

// tapChannels is how many channels a kernel in assembly needs.
const tapChannels = 8

// Area is the taps of Count windows that meet the input: Rows[0] <= row < Rows[1], and
// columns alike. Values begin with what the first of them meets; the next ones lie
// RowStride and ColumnStride apart, and windows Stride.
type Area struct {
	Values                  []float32
	Count                   int
	Rows, Columns           [2]int
	RowStride, ColumnStride int
	Stride                  int
}

// Mul computes windows: y[c] = bias[c] + sum of x[c] * weight[c] over their taps, row by
// row, plus the residual, which must not be y. Kernels in assembly fuse products and
// sums, as those of Weights do.
func (t *Taps) Mul(y Results, x Area) {
	rows, columns, last := x.Rows[1]-x.Rows[0], x.Columns[1]-x.Columns[0], x.Count-1
	_ = y.Values[last*y.Stride+t.channels-1]
	if y.Residual != nil {
		_ = y.Residual[last*y.Stride+t.channels-1]
	}
	if rows < 1 || columns < 1 {
		for i := range x.Count {
			y.from(i).store(t.bias)
		}
		return
	}
	weight := t.weight[(x.Rows[0]*t.columns+x.Columns[0])*t.channels:]
	_ = weight[((rows-1)*t.columns+columns)*t.channels-1]
	_ = x.Values[last*x.Stride+(rows-1)*x.RowStride+(columns-1)*x.ColumnStride+t.channels-1]
	if t.isa != portable {
		t.run(y, x, weight, rows, columns)
		return
	}
	for i := range x.Count {
		t.window(y.from(i), x.Values[i*x.Stride:], x, weight)
	}
}

// window computes one window, which begins with values.
func (t *Taps) window(y Results, values []float32, x Area, weight []float32) {
	sums := y.Values[:t.channels]
	copy(sums, t.bias)
	for row := range x.Rows[1] - x.Rows[0] {
		for column := range x.Columns[1] - x.Columns[0] {
			weight, x := weight[(row*t.columns+column)*t.channels:], values[row*x.RowStride+column*x.ColumnStride:]
			addProducts(sums, x[:len(sums)], weight[:len(sums)])
		}
	}
	y.store(sums)
}

func addProducts(sums, x, weight []float32) {
	for c, v := range x {
		sums[c] += float32(v * weight[c])
	}
}
