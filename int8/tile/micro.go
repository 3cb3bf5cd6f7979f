// Package tile computes int8 convolutions in tiles: a few neighbouring output
// pixels by one panel of output channels, whose sums stay in registers from
// the first product to the stored byte. The tile itself is computed by the
// micro-kernel of a CPU; this package brings weights, windows, residuals and
// outputs into its reach. (Goto, van de Geijn: Anatomy of High-Performance
// Matrix Multiplication, 2008, without its packing of activations: in NHWC a
// window's row is contiguous as it is.) Convolutions with int16 tensors are
// products of bytes as well: int8.Split.
package tile

import (
	"unsafe"

	"edgeclassify/int8"
)

// Micro is the micro-kernels of one kind of CPU. Its assembly trusts its
// arguments: this package keeps every byte that it touches inside the slices
// of the task, given that rows of windows may be read up to KR-1 bytes
// beyond their end.
type Micro struct {
	Name string
	// NR is the number of output channels of a tile, a panel.
	NR int
	// KR is the number of input values that one step multiplies.
	KR int
	// Unsigned says that activations are stored as q + 128.
	Unsigned bool
	// Order, if not nil, is the channel that each place of a panel holds.
	Order []int
	// Shapes are the tiles that there is code for, the fastest per pixel first.
	Shapes []Shape
	// Sums is a tile that stores its int32 sums, without requantization, for
	// convolutions with int16 tensors.
	Sums Shape
	// Requantize makes outputs of sums, for convolutions with int16 tensors.
	Requantize func(RequantizeArgs)
	// Wide, if not nil, reports whether the weights of WideSteps steps, in
	// packed order, need the slower sums that hold for all weights. A flag
	// behind the panel's weights tells the assembly.
	WideSteps int
	Wide      func(weights []int8.Value) bool
	// Fit, for panels of 64 bytes a step, puts a step's weights into the first of open
	// bins that has room, or else into another one, whose number is open: see bins.go.
	// It returns the bin's number, or -1 if a lane has more than BinRoom, and the sum of
	// magnitudes. nil where the assembly takes steps as they come.
	Fit func(step, rooms unsafe.Pointer, open int) (bin, sum int)
	// Panels says that the assembly takes several panels in a call, one after the other.
	Panels bool
	// Group is the bytes of panels that are to stay in the first cache together.
	Group int
	// Block is the bytes of windows and outputs, about, of the pixels that a group of
	// panels passes over at a time.
	Block int
	// Cache is that of int8.Kernel.
	Cache int
	// Winograd, if not nil, is for 3x3 convolutions.
	Winograd *Winograd
	// Words, if not nil, is for layers with many products that 16 bits cannot add by pairs.
	Words *Words
	// Depthwise, if not nil, is for depthwise convolutions between int8 tensors.
	Depthwise *Depthwise
	// Dense computes products of a matrix and a vector.
	Dense func(DenseArgs)
	// DenseInt8 is Dense for inputs that are bytes, as stored; nil where there is none.
	DenseInt8 func(DenseArgs)
	// Max takes the larger of two runs of bytes.
	Max func(MaxArgs)
	Elementwise
}

// Shape is a tile of some pixels and the code that computes it.
type Shape struct {
	MR  int
	Run func(Args)
	// Half, if not nil, computes panels of half the channels.
	Half func(Args)
}

// Args is a row of tiles of one panel. Assembly relies on the order and size
// of the fields. All steps are in bytes.
type Args struct {
	Src     unsafe.Pointer // window of the first pixel
	Dst     unsafe.Pointer // first pixel's first channel
	Res     unsafe.Pointer // residual of Dst; nil without
	Panel   unsafe.Pointer // biases, multipliers, weights: see pack
	Tiles   int            // number of tiles, at least 1
	Runs    int            // rows of a window
	Steps   int            // steps of KR values in a row of a window
	SrcRow  int            // from one row of a window to the next
	SrcStep int            // from one pixel's window to the next pixel's
	DstStep int            // from one pixel's output to the next pixel's
	ResStep int            // from one pixel's residual to the next pixel's
	SrcNext int            // from one tile to the next: the step times the pixels
	DstNext int
	ResNext int
	Shift   int // left shift of the accumulator
	Ratio   int // of the residual; 0 without
	Wide    int // number of the panel's flags that are set
	// With Micro.Fit, uint32 from a window to each step; Steps are those of all rows.
	Offsets unsafe.Pointer
	// With Micro.Panels, the number of panels, each PanelNext behind the one before; else 1.
	Panels    int
	PanelNext int
}

// BinRoom is what the positive weights of a bin's 16-bit lane may add up to, and the
// negative ones.
const BinRoom = 127

// Vector is the number of values that Dense and Max take at once.
const Vector = 16

// RequantizeArgs is the sums of one pixel's channels, and where their outputs go:
// see int8.ConvTask.StoreInt16. Assembly relies on the order and size of the
// fields.
type RequantizeArgs struct {
	Sums       unsafe.Pointer // int32 [Length], of the source or of its high bytes
	SumsLow    unsafe.Pointer // int32 [Length], of the source's low bytes; nil if it is int8
	Bias       unsafe.Pointer // int32 [Length]
	Multiplier unsafe.Pointer // int32 [Length]
	Res        unsafe.Pointer // nil without residual
	ResLow     unsafe.Pointer // nil if it is int8
	Dst        unsafe.Pointer
	DstLow     unsafe.Pointer // nil if it is int8
	Length     int            // a positive multiple of RequantizeVector
	Shift      int            // of the accumulator, to the left
	Ratio      int            // of the residual
	RatioShift int            // of the residual times the ratio, to the right
	Low, High  int            // the output's limits
}

// RequantizeVector is the number of values that Requantize takes at once.
const RequantizeVector = 8

// DenseArgs is sums of int16 inputs times rows of int8 weights. Assembly
// relies on the order and size of the fields.
type DenseArgs struct {
	Dst     unsafe.Pointer // int32 [Rows]
	Src     unsafe.Pointer // int16 [Length], or bytes
	Weights unsafe.Pointer // int8 [Rows][Stride], of which the first Length
	Rows    int            // at least 1
	Length  int            // a positive multiple of Vector
	Stride  int
}

// MaxArgs is runs of bytes: each of Dst's takes the larger values of its own
// and Src's. Assembly relies on the order and size of the fields.
type MaxArgs struct {
	Dst     unsafe.Pointer
	Src     unsafe.Pointer
	Length  int // of a run, a positive multiple of Vector
	Count   int // of runs, at least 1
	DstStep int // from one run to the next
	SrcStep int
}
