package fp32

import (
	"fmt"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// Operation is a step's arithmetic, compiled.
type Operation struct {
	// Run computes one worker's part of y. It reads all of the first input, and of
	// the others at least that part.
	Run     func(w Worker, y []float32, in [][]float32)
	Scratch int // length of the scratch that Run asks of every worker
	// OverX and OverZ tell whether y may be the first or the second input;
	// otherwise it overlaps none.
	OverX, OverZ bool
}

// Residual is the second of a step's inputs, nil where it has one alone.
func Residual(in [][]float32) []float32 {
	if len(in) < 2 {
		return nil
	}
	return in[1]
}

// Compiler is an operation of another package that knows how to run.
type Compiler interface {
	models.Op
	Compile() Operation
}

// Worker is a thread at work on one of a step's chunks.
type Worker struct {
	number, of int // of the chunk
	scratch    []float32
}

// Line is the values of a cache line, which threads should not share.
const Line = 16

// Part is the worker's part of the range [0, n), divided at multiples of align.
func (w Worker) Part(n, align int) (from, to int) {
	units := (n + align - 1) / align
	return min(w.number*units/w.of*align, n), min((w.number+1)*units/w.of*align, n)
}

// kernel is how operations of one kind are run.
type kernel struct {
	// compile takes the shapes of the first input and of the output, and the limits
	// of the unit.
	compile func(op models.Op, in, out tensor.Shape, clip models.Clip) (Operation, error)
	hosts   bool // takes a residual and limits
}

// kernels are those of all kinds of operations.
var kernels = map[string]kernel{
	"activation":        {compile: of(newActivation)},
	"add":               {compile: of(newAdd)},
	"avgpool":           {compile: of(newAveragePool)},
	"batchnorm":         {compile: of(newBatchNorm)},
	"channelactivation": {compile: of(newChannelActivation)},
	"clip":              {compile: of(newClip)},
	"concat":            {compile: of(newConcat)},
	"conv":              {of(newConv), true},
	"dense":             {of(newDense), true},
	"gather":            {compile: of(newGather)},
	"globalavgpool":     {compile: of(newGlobalAveragePool)},
	"maxpool":           {compile: of(newMaxPool)},
	"mul":               {compile: of(newMul)},
	"pad":               {compile: of(newPad)},
	"relu":              {compile: of(newReLU)},
	"softmax":           {compile: of(newSoftmax)},
}

// of makes a compile that takes any operation.
func of[T models.Op](compile func(op T, in, out tensor.Shape, clip models.Clip) (Operation, error)) func(models.Op, tensor.Shape, tensor.Shape, models.Clip) (Operation, error) {
	return func(op models.Op, in, out tensor.Shape, clip models.Clip) (Operation, error) {
		known, ok := op.(T)
		if !ok {
			return Operation{}, unknown(op)
		}
		return compile(known, in, out, clip)
	}
}

func unknown(op models.Op) error { return fmt.Errorf("the float executor does not know %T", op) }

// hosts tells whether an operation takes a residual and limits.
func hosts(op, _ models.Op) bool { return kernels[op.Kind()].hosts }

func compileUnit(g *models.Graph, u models.Unit) (Operation, error) {
	op := u.Node.Op
	if c, ok := op.(Compiler); ok {
		return c.Compile(), nil
	}
	k, ok := kernels[op.Kind()]
	if !ok {
		return Operation{}, unknown(op)
	}
	return k.compile(op, g.Shape(u.Inputs[0]), u.Node.Shape, u.Clip)
}
