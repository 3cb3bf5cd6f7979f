package int8

import "unsafe"

// Depthwise says whether every channel is a group of its own.
func (c *Conv) Depthwise() bool { return c.Groups > 1 && c.Groups == c.InC }

// Unit is the number of output channels at whose multiples work is split for a kernel
// that computes nr together: with groups between groups, of which a depthwise
// convolution has nr together, or a vector of 16.
func (c *Conv) Unit(nr int) int {
	if c.Groups == 1 {
		return nr
	}
	if c.Depthwise() {
		return max(nr, 16) * (c.OutC / c.InC)
	}
	return c.OutC / c.Groups
}

// depthwise is a depthwise convolution between int8 tensors: all channels of a pixel at
// once, tap by tap. Its weights have the channels innermost, as they lie in memory.
type depthwise struct {
	*Conv
	weights []int8 // [KH][KW][OutC]
	bias    []int64
}

// Pack implements Convolution.
func (d *depthwise) Pack(memory []int8) {
	c := d.Conv
	d.bias = unsafe.Slice((*int64)(unsafe.Pointer(unsafe.SliceData(memory))), c.OutC)
	d.weights = memory[8*c.OutC:]
	taps := c.KH * c.KW
	for o := range c.OutC {
		for tap, w := range c.Weight[o*taps : (o+1)*taps] {
			d.weights[tap*c.OutC+o] = w
		}
		d.bias[o] = int64(c.Bias[o])
	}
}

func (d *depthwise) Bytes() int                     { return len(d.Weight) + 8*d.OutC }
func (d *depthwise) Scratch() int                   { return d.OutC }
func (d *depthwise) Split(int) (rows, channels int) { return 0, 0 }

func (d *depthwise) Run(t *ConvTask, part Part, scratch []int64) {
	multiplier := d.OutC / d.InC
	dh, dw := d.Steps()
	sums := scratch[:part.C1-part.C0]
	for y := part.Y0; y < part.Y1; y++ {
		for x := range t.OW {
			copy(sums, d.bias[part.C0:])
			for ky := range d.KH {
				src := t.Src[(y*d.StrideH+ky*dh)*t.SrcRow+x*d.StrideW*t.SrcStep+part.C0/multiplier:]
				w := d.weights[ky*d.KW*d.OutC+part.C0:]
				if multiplier > 1 {
					for kx := range d.KW {
						spread(sums, src[kx*dw*t.SrcStep:], w[kx*d.OutC:], multiplier)
					}
					continue
				}
				kx, step := 0, dw*t.SrcStep
				for ; kx+3 <= d.KW; kx += 3 {
					threeTaps(sums, src[kx*step:], src[(kx+1)*step:], src[(kx+2)*step:], w[kx*d.OutC:], w[(kx+1)*d.OutC:], w[(kx+2)*d.OutC:])
				}
				for ; kx < d.KW; kx++ {
					oneTap(sums, src[kx*step:], w[kx*d.OutC:])
				}
			}
			d.store(t, y, x, part.C0, sums)
		}
	}
}

// oneTap adds products to sums.
func oneTap(sums []int64, src, weights []int8) {
	src, weights = src[:len(sums)], weights[:len(sums)]
	for i := range sums {
		sums[i] += int64(src[i]) * int64(weights[i])
	}
}

// threeTaps is oneTap for three at a time.
func threeTaps(sums []int64, s0, s1, s2, w0, w1, w2 []int8) {
	n := len(sums)
	s0, s1, s2, w0, w1, w2 = s0[:n], s1[:n], s2[:n], w0[:n], w1[:n], w2[:n]
	for i := range sums {
		sums[i] += int64(s0[i])*int64(w0[i]) + int64(s1[i])*int64(w1[i]) + int64(s2[i])*int64(w2[i])
	}
}

// spread is oneTap where each input makes several outputs.
func spread(sums []int64, src, weights []int8, multiplier int) {
	for i := 0; len(sums) > 0; i++ {
		for j, w := range weights[:multiplier] {
			sums[j] += int64(src[i]) * int64(w)
		}
		sums, weights = sums[multiplier:], weights[multiplier:]
	}
}

// store requantizes the channels of a pixel from the first on.
func (d *depthwise) store(t *ConvTask, y, x, first int, sums []int64) {
	n := len(sums)
	dst, multiplier := t.Dst[y*t.DstRow+x*t.DstStep+first:][:n], d.Multiplier[first:][:n]
	shift := d.Shift & 31
	if t.Res == nil {
		for i, sum := range sums {
			dst[i] = Requantize(int32(sum), multiplier[i], shift, 0)
		}
		return
	}
	res := t.Res[y*t.ResRow+x*t.ResStep+first:][:n]
	for i, sum := range sums {
		dst[i] = Requantize(int32(sum), multiplier[i], shift, int32(res[i])*d.Residual)
	}
}
