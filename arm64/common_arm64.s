//go:build !purego

#include "textflag.h"
#include "encode_arm64.h"

// What needs no instruction beyond the first 64-bit Arm processors', for all
// kernels.

// PRODUCTS adds 16 products: of the weights at address with the inputs in V0
// and V1 (V2 V3 hold the weights as 16 bits).
#define PRODUCTS(address, low, high) \
	VLD1.P   16(address), [V2.B16]; \
	SXTL2_8H(2, 3); \
	SXTL_8H(2, 2); \
	SMLAL_4S(0, 2, low); \
	SMLAL2_4S(0, 2, high); \
	SMLAL_4S(1, 3, low); \
	SMLAL2_4S(1, 3, high)

// func denseNEON(a tile.DenseArgs)
//
// Four rows share each load of inputs.
//   R0 sums, R1 inputs, R2 first row, R3 rows left, R4 length, R5 stride
//   R6-R9 weights of rows, R10 input, R11 values left
//   V16-V23 two vectors of partial sums for each row
TEXT ·denseNEON(SB), NOSPLIT, $0-48
	MOVD a_Dst+0(FP), R0
	MOVD a_Src+8(FP), R1
	MOVD a_Weights+16(FP), R2
	MOVD a_Rows+24(FP), R3
	MOVD a_Length+32(FP), R4
	MOVD a_Stride+40(FP), R5
	SUBS $4, R3
	BLT  rest

rows:
	MOVD R2, R6
	ADD  R5, R6, R7
	ADD  R5, R7, R8
	ADD  R5, R8, R9
	ADD  R5, R9, R2
	MOVD R1, R10
	MOVD R4, R11
	VEOR V16.B16, V16.B16, V16.B16
	VEOR V17.B16, V17.B16, V17.B16
	VEOR V18.B16, V18.B16, V18.B16
	VEOR V19.B16, V19.B16, V19.B16
	VEOR V20.B16, V20.B16, V20.B16
	VEOR V21.B16, V21.B16, V21.B16
	VEOR V22.B16, V22.B16, V22.B16
	VEOR V23.B16, V23.B16, V23.B16

rowsStep:
	VLD1.P 32(R10), [V0.H8, V1.H8]
	PRODUCTS(R6, 16, 17)
	PRODUCTS(R7, 18, 19)
	PRODUCTS(R8, 20, 21)
	PRODUCTS(R9, 22, 23)
	SUBS   $16, R11
	BNE    rowsStep
	VADD   V16.S4, V17.S4, V16.S4
	VADD   V18.S4, V19.S4, V18.S4
	VADD   V20.S4, V21.S4, V20.S4
	VADD   V22.S4, V23.S4, V22.S4
	VADDP  V18.S4, V16.S4, V16.S4
	VADDP  V22.S4, V20.S4, V20.S4
	VADDP  V20.S4, V16.S4, V16.S4
	VST1.P [V16.S4], 16(R0)
	SUBS   $4, R3
	BGE    rows

rest:
	ADDS $4, R3
	BEQ  done

row:
	MOVD R2, R6
	ADD  R5, R2
	MOVD R1, R10
	MOVD R4, R11
	VEOR V16.B16, V16.B16, V16.B16
	VEOR V17.B16, V17.B16, V17.B16

rowStep:
	VLD1.P  32(R10), [V0.H8, V1.H8]
	PRODUCTS(R6, 16, 17)
	SUBS    $16, R11
	BNE     rowStep
	VADD    V16.S4, V17.S4, V16.S4
	VADDP   V16.S4, V16.S4, V16.S4
	VADDP   V16.S4, V16.S4, V16.S4
	FMOVS.P F16, 4(R0)
	SUBS    $1, R3
	BNE     row

done:
	RET

// func requantizeNEON(a tile.RequantizeArgs)
//
//   R0 R1 sums, R2 biases, R3 multipliers, R4 R5 residual, R6 R7 output
//   R8 values left
//   V16 shift, V17 ratio, V18 its shift, V19 V20 limits, V21 an output's shift,
//   V22 sign bits
//   V0 V1 sums and outputs
TEXT ·requantizeNEON(SB), NOSPLIT, $0-112
	MOVD  a_Sums+0(FP), R0
	MOVD  a_SumsLow+8(FP), R1
	MOVD  a_Bias+16(FP), R2
	MOVD  a_Multiplier+24(FP), R3
	MOVD  a_Res+32(FP), R4
	MOVD  a_ResLow+40(FP), R5
	MOVD  a_Dst+48(FP), R6
	MOVD  a_DstLow+56(FP), R7
	MOVD  a_Length+64(FP), R8
	MOVD  a_Shift+72(FP), R9
	VDUP  R9, V16.S4
	MOVD  a_Ratio+80(FP), R9
	VDUP  R9, V17.H8
	MOVD  a_RatioShift+88(FP), R9
	NEG   R9, R9
	VDUP  R9, V18.S4
	MOVD  a_Low+96(FP), R9
	VDUP  R9, V19.S4
	MOVD  a_High+104(FP), R9
	VDUP  R9, V20.S4
	MOVD  $-6, R9
	VDUP  R9, V21.S4
	VMOVI $0x80, V22.B16

values:
	VLD1.P 32(R0), [V0.S4, V1.S4]
	CBZ    R1, bias
	VLD1.P 32(R1), [V2.S4, V3.S4]
	VSHL   $8, V0.S4, V0.S4
	VSHL   $8, V1.S4, V1.S4
	VADD   V2.S4, V0.S4, V0.S4
	VADD   V3.S4, V1.S4, V1.S4

bias:
	VLD1.P 32(R2), [V2.S4, V3.S4]
	VLD1.P 32(R3), [V4.S4, V5.S4]
	VADD   V2.S4, V0.S4, V0.S4
	VADD   V3.S4, V1.S4, V1.S4
	SSHL_4S(16, 0, 0)
	SSHL_4S(16, 1, 1)
	SQRDMULH_4S(4, 0, 0)
	SQRDMULH_4S(5, 1, 1)
	CBZ    R4, round
	VLD1.P 8(R4), [V2.B8]
	CBNZ   R5, low
	SXTL_8H(2, 2)
	B      residual

low:
	VLD1.P 8(R5), [V3.B8]
	VEOR   V22.B8, V3.B8, V3.B8
	VZIP1  V2.B16, V3.B16, V2.B16

residual:
	SMULL_4S(17, 2, 3)
	SMULL2_4S(17, 2, 4)
	SRSHL_4S(18, 3, 3)
	SRSHL_4S(18, 4, 4)
	VADD   V3.S4, V0.S4, V0.S4
	VADD   V4.S4, V1.S4, V1.S4

round:
	SRSHL_4S(21, 0, 0)
	SRSHL_4S(21, 1, 1)
	SMAX_4S(19, 0, 0)
	SMAX_4S(19, 1, 1)
	SMIN_4S(20, 0, 0)
	SMIN_4S(20, 1, 1)
	VUZP1  V1.H8, V0.H8, V0.H8
	CBZ    R7, narrow
	VUZP2  V0.B16, V0.B16, V1.B16
	VST1.P [V1.B8], 8(R6)
	VUZP1  V0.B16, V0.B16, V0.B16
	VEOR   V22.B8, V0.B8, V0.B8
	VST1.P [V0.B8], 8(R7)
	B      next

narrow:
	VUZP1  V0.B16, V0.B16, V0.B16
	VST1.P [V0.B8], 8(R6)

next:
	SUBS $8, R8
	BNE  values
	RET

// func maxNEON(a tile.MaxArgs)
//
//   R0 destination run, R1 source run, R2 length, R3 runs left, R4 R5 steps
//   R6 destination, R7 source, R8 values left
TEXT ·maxNEON(SB), NOSPLIT, $0-48
	MOVD a_Dst+0(FP), R0
	MOVD a_Src+8(FP), R1
	MOVD a_Length+16(FP), R2
	MOVD a_Count+24(FP), R3
	MOVD a_DstStep+32(FP), R4
	MOVD a_SrcStep+40(FP), R5

run:
	MOVD R0, R6
	MOVD R1, R7
	SUBS $64, R2, R8
	BLT  rest

whole:
	VLD1     (R6), [V0.B16, V1.B16, V2.B16, V3.B16]
	VLD1.P   64(R7), [V4.B16, V5.B16, V6.B16, V7.B16]
	SMAX_16B(4, 0, 0)
	SMAX_16B(5, 1, 1)
	SMAX_16B(6, 2, 2)
	SMAX_16B(7, 3, 3)
	VST1.P   [V0.B16, V1.B16, V2.B16, V3.B16], 64(R6)
	SUBS     $64, R8
	BGE      whole

rest:
	ADDS $64, R8
	BEQ  next

vector:
	VLD1     (R6), [V0.B16]
	VLD1.P   16(R7), [V4.B16]
	SMAX_16B(4, 0, 0)
	VST1.P   [V0.B16], 16(R6)
	SUBS     $16, R8
	BNE      vector

next:
	ADD  R4, R0
	ADD  R5, R1
	SUBS $1, R3
	BNE  run
	RET
