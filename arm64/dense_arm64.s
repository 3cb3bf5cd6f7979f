//go:build !purego

#include "textflag.h"
#include "encode_arm64.h"

// Products of a matrix and a vector, both of bytes: four rows share each load of inputs.
// The parameter products adds the products of four rows' 16 weights, in V1 to V4, with the
// inputs in V0 to their sums, product does so for the one in V1.
//
//   R0 sums, R1 inputs, R2 first row, R3 rows left, R4 length, R5 stride
//   R6-R9 weights of rows, R10 input, R11 values left
//   R12 what is brought near of the next rows, in the order in which it lies
//   V16-V19 sums of rows
#define DENSE_INT8(products, product) \
	MOVD a_Dst+0(FP), R0; \
	MOVD a_Src+8(FP), R1; \
	MOVD a_Weights+16(FP), R2; \
	MOVD a_Rows+24(FP), R3; \
	MOVD a_Length+32(FP), R4; \
	MOVD a_Stride+40(FP), R5; \
	SUBS $4, R3; \
	BLT  rest; \
rows: \
	MOVD R2, R6; \
	ADD  R5, R6, R7; \
	ADD  R5, R7, R8; \
	ADD  R5, R8, R9; \
	ADD  R5, R9, R2; \
	MOVD R2, R12; \
	MOVD R1, R10; \
	MOVD R4, R11; \
	VEOR V16.B16, V16.B16, V16.B16; \
	VEOR V17.B16, V17.B16, V17.B16; \
	VEOR V18.B16, V18.B16, V18.B16; \
	VEOR V19.B16, V19.B16, V19.B16; \
rowsStep: \
	VLD1.P 16(R10), [V0.B16]; \
	VLD1.P 16(R6), [V1.B16]; \
	VLD1.P 16(R7), [V2.B16]; \
	VLD1.P 16(R8), [V3.B16]; \
	VLD1.P 16(R9), [V4.B16]; \
	PRFM   (R12), PLDL1KEEP; \
	ADD    $64, R12; \
	products; \
	SUBS   $16, R11; \
	BNE    rowsStep; \
	VADDP  V17.S4, V16.S4, V16.S4; \
	VADDP  V19.S4, V18.S4, V18.S4; \
	VADDP  V18.S4, V16.S4, V16.S4; \
	VST1.P [V16.S4], 16(R0); \
	SUBS   $4, R3; \
	BGE    rows; \
rest: \
	ADDS $4, R3; \
	BEQ  done; \
row: \
	MOVD R2, R6; \
	ADD  R5, R2; \
	MOVD R1, R10; \
	MOVD R4, R11; \
	VEOR V16.B16, V16.B16, V16.B16; \
rowStep: \
	VLD1.P  16(R10), [V0.B16]; \
	VLD1.P  16(R6), [V1.B16]; \
	product; \
	SUBS    $16, R11; \
	BNE     rowStep; \
	VADDP   V16.S4, V16.S4, V16.S4; \
	VADDP   V16.S4, V16.S4, V16.S4; \
	FMOVS.P F16, 4(R0); \
	SUBS    $1, R3; \
	BNE     row; \
done: \
	RET

// Two products fit 16 bits: weights are at least -127.
#define PRODUCTS_NEON \
	SMULL_8H(0, 1, 5); \
	SMULL_8H(0, 2, 6); \
	SMULL_8H(0, 3, 7); \
	SMULL_8H(0, 4, 8); \
	SMLAL2_8H(0, 1, 5); \
	SMLAL2_8H(0, 2, 6); \
	SMLAL2_8H(0, 3, 7); \
	SMLAL2_8H(0, 4, 8); \
	SADALP_4S(5, 16); \
	SADALP_4S(6, 17); \
	SADALP_4S(7, 18); \
	SADALP_4S(8, 19)

#define PRODUCT_NEON \
	SMULL_8H(0, 1, 5); \
	SMLAL2_8H(0, 1, 5); \
	SADALP_4S(5, 16)

// func denseInt8NEON(a tile.DenseArgs)
TEXT ·denseInt8NEON(SB), NOSPLIT, $0-48
	DENSE_INT8(PRODUCTS_NEON, PRODUCT_NEON)

#define PRODUCTS_DOT \
	SDOT_4S(0, 1, 16); \
	SDOT_4S(0, 2, 17); \
	SDOT_4S(0, 3, 18); \
	SDOT_4S(0, 4, 19)

#define PRODUCT_DOT SDOT_4S(0, 1, 16)

// func denseInt8NeonDot(a tile.DenseArgs)
TEXT ·denseInt8NeonDot(SB), NOSPLIT, $0-48
	DENSE_INT8(PRODUCTS_DOT, PRODUCT_DOT)
