package models

import (
	"fmt"
	"io"
	"math"
	"strings"

	"edgeclassify/internal/elementary"
	"edgeclassify/tensor"
)

// Activation applies a function to each value. Names and formulas are those of
// ONNX operators of opset 20 (https://onnx.ai/onnx/operators/). Values have the same bits
// on all machines, and with them tables that are made of them.
type Activation struct {
	Function    Function
	Alpha, Beta float32 // of the functions that have them
}

// Function names a function of one variable.
type Function string

// The functions of Activation.
const (
	Sigmoid     Function = "Sigmoid"
	HardSigmoid Function = "HardSigmoid" // max(0, min(1, alpha*x + beta))
	HardSwish   Function = "HardSwish"   // x * HardSigmoid(x) with alpha 1/6 and beta 1/2
	Swish       Function = "Swish"       // x * Sigmoid(alpha*x); SiLU with alpha 1
	LeakyReLU   Function = "LeakyRelu"   // x, or alpha*x below 0
	ELU         Function = "Elu"         // x, or alpha*(exp(x)-1) below 0
	GELU        Function = "Gelu"        // x * normal distribution function of x
	GELUTanh    Function = "GeluTanh"    // its approximation by tanh
	Tanh        Function = "Tanh"
	Softplus    Function = "Softplus" // ln(1 + exp(x))
	Mish        Function = "Mish"     // x * tanh(Softplus(x))
)

// functions are their formulas.
var functions = map[Function]func(x, alpha, beta float64) float64{
	Sigmoid:     func(x, _, _ float64) float64 { return sigmoid(x) },
	HardSigmoid: hardSigmoid,
	HardSwish:   func(x, _, _ float64) float64 { return x * hardSigmoid(x, 1.0/6, 0.5) },
	Swish:       func(x, alpha, _ float64) float64 { return x * sigmoid(alpha*x) },
	LeakyReLU:   func(x, alpha, _ float64) float64 { return max(x, 0) + float64(alpha*min(x, 0)) },
	ELU:         func(x, alpha, _ float64) float64 { return max(x, 0) + float64(alpha*(elementary.Exp(min(x, 0))-1)) },
	GELU:        func(x, _, _ float64) float64 { return x * 0.5 * (1 + elementary.Erf(x/math.Sqrt2)) },
	GELUTanh: func(x, _, _ float64) float64 {
		return x * 0.5 * (1 + elementary.Tanh(math.Sqrt(2/math.Pi)*(x+float64(0.044715*x*x*x))))
	},
	Tanh:     func(x, _, _ float64) float64 { return elementary.Tanh(x) },
	Softplus: func(x, _, _ float64) float64 { return softplus(x) },
	Mish:     func(x, _, _ float64) float64 { return x * elementary.Tanh(softplus(x)) },
}

func sigmoid(x float64) float64 { return 1 / (1 + elementary.Exp(-x)) }

func hardSigmoid(x, alpha, beta float64) float64 {
	return max(0, min(1, float64(alpha*x)+beta))
}

func softplus(x float64) float64 { return max(x, 0) + elementary.Log(1+elementary.Exp(-math.Abs(x))) }

// Apply is the function's value at x.
func (a Activation) Apply(x float64) float64 { return a.Func()(x) }

// Func is the function.
func (a Activation) Func() func(x float64) float64 {
	f, alpha, beta := functions[a.Function], float64(a.Alpha), float64(a.Beta)
	return func(x float64) float64 { return f(x, alpha, beta) }
}

// Kind implements Op.
func (Activation) Kind() string { return "activation" }

// Infer implements Op.
func (a Activation) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if functions[a.Function] == nil {
		return tensor.Shape{}, fmt.Errorf("unknown function %q", a.Function)
	}
	return unary(in)
}

// Digest implements Op.
func (a Activation) Digest(w io.Writer) {
	fmt.Fprintf(w, " %s %v %v\n", strings.ToLower(string(a.Function)), a.Alpha, a.Beta)
}

func (a Activation) nonNegative(bool) bool {
	return a.Function == Sigmoid || a.Function == HardSigmoid || a.Function == Softplus
}

// Bends are the values between which the function is no constant, but for a hundredth:
// infinite where it never is one.
func (a Activation) Bends() Clip {
	const far, step, slight = 16.0, 0.125, 0.01
	f := a.Func()
	end := func(sign float64) float32 {
		if math.Abs(f(sign*2*far)-f(sign*far)) > slight {
			return float32(math.Inf(int(sign)))
		}
		x := far
		for x > 0 && math.Abs(f(sign*x)-f(sign*far)) <= slight {
			x -= step
		}
		return float32(sign * x)
	}
	return Clip{Min: end(-1), Max: end(1)}
}
