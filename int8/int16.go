package int8

// An int16 activation is stored in two halves, each of which is laid out as an
// int8 activation: the high bytes with zero point 0 and the low bytes with zero
// point -128. A sum of w * q is 256 times that over the high bytes plus that
// over the low bytes plus 128 times the sum of w, so that kernels multiply bytes
// alone. (Sums and int32 wrap around: only the total has to fit.)

// Split gives the two bytes of an int16 activation: q = 256*high + low + 128.
func Split(q int32) (high, low int8) { return int8(q >> 8), int8(q) ^ -128 }

// Join is the inverse of Split.
func Join(high, low int8) int32 { return int32(high)<<8 + int32(low) + 128 }

// StoreInt16 requantizes the biased accumulators of pixel (y, x) from channel c
// on, which it overwrites, and stores them: for convolutions of the Int16 kind.
// Flip is what stored bytes are to be XORed with for their value.
func (t *ConvTask) StoreInt16(out *Tensor, flip int8, y, x, c int, acc []int32) {
	multiplier, shift := t.Multiplier[c:][:len(acc)], t.Shift&31
	for i, m := range multiplier {
		acc[i] = mulHigh(acc[i]<<shift, m) + half
	}
	t.addResidual(flip, y*t.ResRow+x*t.ResStep+c, acc)
	at := y*t.DstRow + x*t.DstStep + c
	dst := t.Dst[at:][:len(acc)]
	lowest, highest := out.Limits()
	if t.DstLow == nil {
		for i, v := range acc {
			dst[i] = int8(max(lowest, min(highest, v>>outBits))) ^ flip
		}
		return
	}
	low := t.DstLow[at:][:len(acc)]
	for i, v := range acc {
		h, l := Split(max(lowest, min(highest, v>>outBits)))
		dst[i], low[i] = h^flip, l^flip
	}
}

// addResidual adds the residuals that begin at a byte of Res and ResLow.
func (t *ConvTask) addResidual(flip int8, at int, acc []int32) {
	if t.Res == nil {
		return
	}
	res := t.Res[at:][:len(acc)]
	if t.ResLow == nil {
		for i, r := range res {
			acc[i] += int32(r^flip) * t.Residual
		}
		return
	}
	low, shift := t.ResLow[at:][:len(acc)], t.ResidualShift&31
	for i, r := range res {
		acc[i] += ScaleResidual(Join(r^flip, low[i]^flip), t.Residual, shift)
	}
}
