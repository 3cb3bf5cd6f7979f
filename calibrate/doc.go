// Package calibrate turns a float network into an int8 one, after training and
// with no more than pictures to look at:
//
//   - Fold moves batch normalization into the convolutions.
//   - Observe runs the folded network in float on calibration pictures, keeps a
//     histogram of every convolution's output and chooses its range, and takes
//     the means of what weights multiply. A RangeTable holds both; once made it
//     serves without the pictures.
//   - Quantize rounds the weights, one scale per output channel, and computes
//     multipliers and corrected biases, given the table. It writes no files:
//     int8/q8 does.
//   - Simulate is the int8 network in float, with its errors or without some of
//     them. Analyze and Sensitivities find out where the errors come from, and
//     ChooseInt16 which layers deserve finer steps.
//
// Executor is the float network itself, to calibrate with and to measure the
// loss against. This is the desktop's half of the project: the runtime knows
// nothing of it, and int8.Network is all that passes between them. The scheme
// is that of Jacob et al., "Quantization and Training of Neural Networks for
// Efficient Integer-Arithmetic-Only Inference" (CVPR 2018), with weights per
// channel as in Krishnamoorthi, "Quantizing deep convolutional networks for
// efficient inference" (arXiv:1806.08342).
package calibrate
