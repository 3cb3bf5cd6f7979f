package sgemm

// Winograd is the weights of a 3x3 convolution with stride 1 for 16 products that make
// four neighbouring outputs, in place of 36. (Lavin, Gray: Fast Algorithms for
// Convolutional Neural Networks, arXiv:1509.09308, F(2x2, 3x3).) What is done before and
// after the products are sums and differences alone, in one order on every machine.
type Winograd [16]*Weights

// PackWinograd transforms weight, [outputs][3][3][channels], and packs it. The bias, nil
// for zeros, goes with the product that is part of all four outputs.
func PackWinograd(weight, bias []float32, outputs, channels int) *Winograd {
	available := kernels()
	var w Winograd
	for i := range w {
		w[i] = newWeights(available[len(available)-1], nil, outputs, channels, 1)
	}
	w[5] = newWeights(w[5].kernel, bias, outputs, channels, 1)
	var part [16][]float32 // of the weights, which stays in the cache
	for i := range part {
		part[i] = make([]float32, maxColumns*channels)
	}
	var rows [4][]float64
	for i := range rows {
		rows[i] = make([]float64, 3*channels)
	}
	for from := 0; from < outputs; from += maxColumns {
		n := min(maxColumns, outputs-from)
		for o := range n {
			spreadRow(&part, o*channels, &rows, weight[(from+o)*9*channels:][:9*channels])
		}
		for i, p := range part {
			w[i].fill(from, p[:n*channels])
		}
	}
	return &w
}

// spreadRow writes the 16 weights that follow of the 9 of each channel, by way of rows.
func spreadRow(part *[16][]float32, at int, rows *[4][]float64, taps []float32) {
	n := len(taps) / 3
	r0, r1, r2, r3 := rows[0][:n], rows[1][:n], rows[2][:n], rows[3][:n]
	for i, a := range taps[:n] {
		r0[i], r1[i], r2[i], r3[i] = spread(float64(a), float64(taps[n+i]), float64(taps[2*n+i]))
	}
	for y, r := range rows {
		n := n / 3
		p0, p1, p2, p3 := part[4*y][at:][:n], part[4*y+1][at:][:n], part[4*y+2][at:][:n], part[4*y+3][at:][:n]
		for i, a := range r[:n] {
			v0, v1, v2, v3 := spread(a, r[n+i], r[2*n+i])
			p0[i], p1[i], p2[i], p3[i] = float32(v0), float32(v1), float32(v2), float32(v3)
		}
	}
}

// spread makes four weights of three.
func spread(a, b, c float64) (v0, v1, v2, v3 float64) {
	return a, (a + b + c) / 2, (a - b + c) / 2, c
}

// WinogradIn transforms a window of 4x4 pixels, whose rows lie pitch apart, for the 16
// products, which lie apart. The number of channels is a multiple of eight.
func WinogradIn(dst []float32, apart int, src []float32, pitch, channels int) {
	_, _ = dst[15*apart+channels-1], src[3*pitch+4*channels-1]
	if winogradIn(dst, apart, src, pitch, channels) {
		return
	}
	for i, rows := range [4][2]int{{0, 2}, {1, 2}, {2, 1}, {1, 3}} {
		a, b, sign := src[rows[0]*pitch:][:4*channels], src[rows[1]*pitch:][:4*channels], float32(-1)
		if i == 1 {
			sign = 1
		}
		for c := range channels {
			t0, t1 := a[c]+sign*b[c], a[channels+c]+sign*b[channels+c]
			t2, t3 := a[2*channels+c]+sign*b[2*channels+c], a[3*channels+c]+sign*b[3*channels+c]
			d := dst[4*i*apart+c:]
			d[0], d[apart], d[2*apart], d[3*apart] = t0-t2, t1+t2, t2-t1, t1-t3
		}
	}
}

// WinogradOut makes four pixels of the 16 products, which lie apart, adds the residual
// unless it is nil, and limits them.
func WinogradOut(y, residual *[4][]float32, products []float32, apart int, limits Limits) {
	channels := len(y[0])
	_ = products[15*apart+channels-1]
	for i := range y {
		_ = y[i][channels-1]
		if residual != nil {
			_ = residual[i][channels-1]
		}
	}
	if winogradOut(y, residual, products, apart, limits) {
		return
	}
	for c := range channels {
		var h [4][2]float32
		for i := range h {
			m := products[4*i*apart+c:]
			h[i] = [2]float32{m[0] + m[apart] + m[2*apart], m[apart] - m[2*apart] - m[3*apart]}
		}
		for x := range 2 {
			for i, v := range [2]float32{h[0][x] + h[1][x] + h[2][x], h[1][x] - h[2][x] - h[3][x]} {
				if residual != nil {
					v += residual[2*i+x][c]
				}
				y[2*i+x][c] = limits.clip(v)
			}
		}
	}
}

// Mul computes product i of all windows for the outputs from <= j < to, both multiples
// of 32 or the number of outputs.
func (w *Winograd) Mul(i int, y Results, x Windows, from, to int) {
	columns := w[i].kernel.columns
	for p := from / columns; p < ceil(to, columns); p++ {
		w[i].Mul(y, x, p)
	}
}
