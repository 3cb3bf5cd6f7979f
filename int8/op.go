package int8

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"edgeclassify/tensor"
)

// Op is an operation. Each stands in a file of its own: its formula, its check and
// its reference.
type Op interface {
	// Kind is the operation's name in files and reports.
	Kind() string
	// Content is what the operation's inputs may hold, and what its output holds.
	Content() (in, out Content)
	// Parameters are its weights; the zero value if it has none.
	Parameters() Parameters
	// check reports what is wrong with the operation between these tensors.
	check(in []*Tensor, out *Tensor) error
	// reference computes the output.
	reference(in []operand, out *Tensor) []int32
}

// Content is what the values of a tensor are, or may be: a set.
type Content uint8

// The contents of tensors: quantized activations, the sums of a global average pool
// or an embedding, which are int16 without halves, and logits.
const (
	Activation Content = 1 << iota
	Sums
	Logits
)

// Parameters are an operation's weights in rows of one output channel each. An
// accumulator is the sum of a row times inputs, plus the bias, shifted left.
type Parameters struct {
	Weight     []int8  // [len(Bias)][depth]
	Bias       []int32 // of each output channel
	Multiplier []int32 // of each output channel; nil where nothing is requantized
	Shift      uint8
}

// Depth is the number of products in an accumulator; 0 without weights.
func (p Parameters) Depth() int { return len(p.Weight) / max(1, len(p.Bias)) }

// Row is the weights of an output channel.
func (p Parameters) Row(channel int) []int8 {
	depth := p.Depth()
	return p.Weight[channel*depth : (channel+1)*depth]
}

// Bytes is the memory that the parameters take.
func (p Parameters) Bytes() int { return len(p.Weight) + 4*len(p.Bias) + 4*len(p.Multiplier) }

// operand is a tensor with its values.
type operand struct {
	*Tensor
	values []int32
}

// inside calls f for every pixel of the window at output (y, x) that lies in
// the plane.
func inside(w tensor.Window, in tensor.Shape, y, x int, f func(iy, ix int)) {
	dh, dw := w.Steps()
	for ky := range w.KH {
		for kx := range w.KW {
			iy, ix := y*w.StrideH-w.Top+ky*dh, x*w.StrideW-w.Left+kx*dw
			if iy >= 0 && iy < in.H && ix >= 0 && ix < in.W {
				f(iy, ix)
			}
		}
	}
}

func checkShape(s tensor.Shape) error {
	if min(s.H, s.W, s.C) < 1 || max(s.H, s.W) > maxSide || s.C > maxChannels || int64(s.H)*int64(s.W)*int64(s.C) > maxElements {
		return fmt.Errorf("shape %v is out of range", s)
	}
	return nil
}

// checkWindow checks a window between an input and an output.
func checkWindow(w tensor.Window, in, out *Tensor) error {
	if max(w.KH, w.KW, w.StrideH, w.StrideW) > maxSide {
		return fmt.Errorf("kernel %dx%d, stride %dx%d is out of range", w.KH, w.KW, w.StrideH, w.StrideW)
	}
	if rh, rw := w.Reach(); max(w.DilationH, w.DilationW, rh, rw) > maxSide {
		return fmt.Errorf("kernel %dx%d, dilation %dx%d is out of range", w.KH, w.KW, w.DilationH, w.DilationW)
	}
	h, wd, err := w.Infer(in.Shape.H, in.Shape.W)
	if err != nil {
		return err
	}
	if h != out.Shape.H || wd != out.Shape.W {
		return fmt.Errorf("output is %v, the window gives %dx%d", out.Shape, h, wd)
	}
	return nil
}

func checkPool(w tensor.Window, in []*Tensor, out *Tensor) error {
	if len(in) != 1 {
		return fmt.Errorf("has %d inputs, want 1", len(in))
	}
	if err := errors.Join(checkActivation("input", in[0]), checkActivation("output", out)); err != nil {
		return err
	}
	if err := in[0].checkCode(out); err != nil {
		return err
	}
	if in[0].Shape.C != out.Shape.C {
		return fmt.Errorf("input is %v, the output %v: they differ in channels", in[0].Shape, out.Shape)
	}
	if err := checkWindow(w, in[0], out); err != nil {
		return err
	}
	dh, dw := w.Steps()
	return errors.Join(checkTaps("row", out.Shape.H, w.StrideH, w.Top, w.KH, dh, in[0].Shape.H),
		checkTaps("column", out.Shape.W, w.StrideW, w.Left, w.KW, dw, in[0].Shape.W))
}

// checkTaps checks that every window holds something of the plane, along one axis:
// dilated ones may have nothing but padding.
func checkTaps(what string, outputs, stride, pad, kernel, step, length int) error {
	for i := range outputs {
		first := i*stride - pad
		taps := 0
		if first < 0 {
			taps = (-first + step - 1) / step
		}
		if taps >= kernel || first+taps*step >= length {
			return fmt.Errorf("the windows of output %s %d hold nothing but padding", what, i)
		}
	}
	return nil
}

func checkLen(what string, got, want int) error {
	if got != want {
		return fmt.Errorf("%s has %d values, want %d", what, got, want)
	}
	return nil
}

// weightSum checks that weights are symmetric and is their AbsSum.
func weightSum(w []int8) (int64, error) {
	sum, lowest := absSum(w)
	if lowest {
		return 0, errors.New("a weight is -128; weights are in -127..127")
	}
	return sum, nil
}

// AbsSum is the sum of |w|: the largest |sum of w*x| for |x| <= 1.
func AbsSum(w []int8) int64 {
	sum, _ := absSum(w)
	return sum
}

// absSum also says whether a weight is -128. Loading a model adds up all of its weights:
// eight at a time, in 16-bit lanes, which hold those of so many words.
func absSum(w []int8) (sum int64, lowest bool) {
	const (
		words     = 255
		signBits  = 0x8080808080808080
		evenBytes = 0x00ff00ff00ff00ff
	)
	var all uint64
	rest := unsafe.Slice((*[8]byte)(unsafe.Pointer(unsafe.SliceData(w))), len(w)/8)
	for len(rest) > 0 {
		block := rest[:min(len(rest), words)]
		rest = rest[len(block):]
		var lanes uint64
		for i := range block {
			word := binary.LittleEndian.Uint64(block[i][:])
			sign := word & signBits
			word = word ^ (sign<<1 - sign>>7) + sign>>7
			all |= word
			lanes += word&evenBytes + word>>8&evenBytes
		}
		for ; lanes > 0; lanes >>= 16 {
			sum += int64(lanes & 0xffff)
		}
	}
	lowest = all&signBits != 0
	for _, v := range w[len(w)&^7:] {
		sum, lowest = sum+abs64(int32(v)), lowest || v == -128
	}
	return sum, lowest
}

// abs64 compiles to a conditional move.
func abs64(v int32) int64 { return max(int64(v), -int64(v)) }
