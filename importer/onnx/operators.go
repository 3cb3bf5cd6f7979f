package onnx

import "fmt"

// operators convert nodes by operator.
var operators = map[string]func(*call) ([]value, error){
	"Conv": convertConv, "Gemm": convertGemm, "MatMul": convertMatMul, "BatchNormalization": convertBatchNorm,
	"MaxPool": convertMaxPool, "AveragePool": convertAveragePool, "GlobalAveragePool": convertGlobalAveragePool,
	"GlobalMaxPool": convertGlobalMaxPool, "ReduceMean": convertReduceMean, "ReduceSum": convertReduceSum, "ReduceMax": convertReduceMax, "Pad": convertPad,

	"Add": convertAdd, "Sub": convertSub, "Mul": convertMul, "Div": convertDiv, "Sum": convertSum, "Neg": convertNeg, "Pow": convertPow,
	"Min": convertMin, "Max": convertMax, "Clip": convertClip, "Relu": convertRelu, "PRelu": convertPRelu,
	"Softmax": convertSoftmax, "LogSoftmax": convertSoftmax,
	"Sigmoid": activation, "HardSigmoid": activation, "HardSwish": activation, "Swish": activation, "LeakyRelu": activation,
	"Elu": activation, "Selu": convertSelu, "Gelu": convertGelu, "Tanh": activation, "Softplus": activation, "Mish": activation, "Erf": convertErf,

	"Identity": convertIdentity, "Dropout": convertIdentity, "Cast": convertCast, "Reshape": convertReshape, "Flatten": convertFlatten,
	"Transpose": convertTranspose, "Squeeze": convertSqueeze, "Unsqueeze": convertUnsqueeze, "Expand": convertExpand,
	"Shape": convertShape, "Size": convertSize, "Gather": convertGather, "Slice": convertSlice, "Split": convertSplit, "Concat": convertConcat,
}

// splittable are the operators that take tensors whose channels are split.
var splittable = []string{"Identity", "Dropout", "Cast", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Shape", "Size", "Gather", "Slice", "Split"}

// ways are what to do about operators that have no form here.
var ways = map[string]string{
	"ArgMax": "the answer is made here: export the network without it, up to its logits or probabilities",
	"TopK":   "the answer is made here: export the network without it, up to its logits or probabilities",

	"LayerNormalization":    normalizations,
	"GroupNormalization":    normalizations,
	"InstanceNormalization": normalizations,
	"LRN":                   normalizations,
	"ReduceL2":              normalizations,

	"QuantizeLinear":        quantized,
	"DequantizeLinear":      quantized,
	"DynamicQuantizeLinear": quantized,
	"QLinearConv":           quantized,
	"QLinearMatMul":         quantized,
	"ConvInteger":           quantized,
	"MatMulInteger":         quantized,
	"NonMaxSuppression":     onlyClassifiers,
	"ConvTranspose":         onlyClassifiers,
	"Resize":                onlyClassifiers,
	"Upsample":              onlyClassifiers,
	"LSTM":                  onlyClassifiers,
	"GRU":                   onlyClassifiers,
	"Attention":             onlyClassifiers,
	"Erf":                   "only as a part of GELU has it a form here",
	"Loop":                  "export again with constants folded (do_constant_folding, or onnxsim)",
}

const (
	normalizations  = "it computes statistics of each picture: train a network with batch normalization, as the ResNet, MobileNet and EfficientNet families"
	quantized       = "the file is quantized already: give the float model, which is quantized here"
	onlyClassifiers = "only classifiers made of convolutions are understood, no detectors, segmentation or transformers"
)

func wayOut(op string) string {
	if way, ok := ways[op]; ok {
		return "no form here: " + way
	}
	return fmt.Sprintf("%s has no form here: train a network without it, README.md lists what is understood", op)
}
