package runtime

import (
	"fmt"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// operator is what a plan asks of an operation between its tensors. Each stands
// in a file of its own; operators lists them.
type operator interface {
	// halo is the padding of its first input that it reads from memory.
	halo() halo
	// window is how rows of its output depend on those of its first input; false where
	// it reads others, too, or cannot compute any rows that it is asked for.
	window() (w tensor.Window, ok bool)
	// inPlace is the numbers of the inputs over which it may write its output, pixel
	// by pixel.
	inPlace() []int
	// split says how threads share it: so many rows or channels of the output at a time.
	split() (byRows bool, unit int)
	// pack packs its weights for the kernel, into memory of packedBytes. Packed, if not
	// nil, is told of those that were copied.
	pack(memory []int8.Value, packed func(weights []int8.Value))
	// take takes packed weights over from another plan's operator, if they are the same.
	take(from operator) bool
	// packedBytes is the memory of the packed weights; 0 where none are copied.
	packedBytes() int
	// scratch is the words of working memory that a thread needs.
	scratch() int
	// bind is the function that computes a part in a session's memory, for one thread.
	bind(s *Session) task
}

// task computes a part of an operation's output.
type task = func(part int8.Part, scratch []int64)

// operators makes those of the layers, by int8.Op.Kind.
var operators = map[string]func(n node) operator{
	(*int8.Conv)(nil).Kind():        newConv,
	(*int8.MaxPool)(nil).Kind():     newMaxPool,
	(*int8.AveragePool)(nil).Kind(): newAveragePool,
	int8.GlobalAveragePool{}.Kind(): newGlobalAveragePool,
	(*int8.Dense)(nil).Kind():       newDense,
	(*int8.Add)(nil).Kind():         newAdd,
	(*int8.Mul)(nil).Kind():         newMul,
	(*int8.Lookup)(nil).Kind():      newLookup,
	(*int8.Mean)(nil).Kind():        newMean,
	int8.Concat{}.Kind():            newConcat,
	(*int8.Gather)(nil).Kind():      newGather,
	(*int8.Embedding)(nil).Kind():   newEmbedding,
}

// operator makes that of a tensor.
func (p *Plan) operator(id tensor.ID) (operator, error) {
	if id == tensor.Input {
		return imageLoader{node{out: id}}, nil
	}
	l := &p.network.Layers[id.Node()]
	create := operators[l.Op.Kind()]
	if create == nil {
		return nil, fmt.Errorf("%v is of a kind that the runtime does not have", l)
	}
	return create(node{kernel: &p.kernel, threads: p.threads, layer: l, in: p.network.Inputs(l), out: id}), nil
}

// node is an operation between its tensors. Its methods are those of an operator
// that reads no padding and has no weights, shared by rows.
type node struct {
	kernel  *int8.Kernel
	threads int
	layer   *int8.Layer
	in      []*int8.Tensor
	out     tensor.ID
}

func (node) halo() halo                            { return halo{} }
func (node) window() (w tensor.Window, ok bool)    { return w, false }
func (node) inPlace() []int                        { return nil }
func (node) split() (bool, int)                    { return true, 1 }
func (node) pack([]int8.Value, func([]int8.Value)) {}
func (node) take(operator) bool                    { return false }
func (node) packedBytes() int                      { return 0 }
func (node) scratch() int                          { return 0 }

// pixelwise is the window of operations that read a pixel for each of the output.
func pixelwise() (tensor.Window, bool) { return tensor.Square(1, 1, 0), true }

// hasInt16 says whether the output or an input, all of them activations, is int16.
func (n *node) hasInt16() bool {
	return n.layer.Out.Type == int8.Int16 ||
		slices.ContainsFunc(n.in, func(t *int8.Tensor) bool { return t.Type == int8.Int16 })
}
