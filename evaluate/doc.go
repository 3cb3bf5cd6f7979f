// Package evaluate measures int8 networks on images: how often they are right, how
// close they are to their float networks, whether they are fit for use, and, where
// they are not, which layers are to blame. Shares are from 0 to 1 with Wilson
// intervals; ratios of signal to quantization noise (SQNR) are in dB.
package evaluate
