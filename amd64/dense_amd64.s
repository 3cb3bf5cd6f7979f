//go:build !purego

#include "textflag.h"

// Products of a matrix and a vector: four rows share each load of inputs, which the
// parameter load brings to Y4 as 16 words.
//
//   DI sums, SI inputs, DX R10 R11 R12 rows, BX rows left, R8 length, R9 stride
//   R13 what is brought near of the next rows, in the order in which it lies
//   Y0-Y3 sums of rows

#define PRODUCTS(row, sums) \
	VPMOVSXBW (row)(CX*1), Y5; \
	VPMADDWD  Y4, Y5, Y5; \
	VPADDD    Y5, sums, sums

#define DENSE(load) \
	MOVQ a_Dst+0(FP), DI; \
	MOVQ a_Src+8(FP), SI; \
	MOVQ a_Weights+16(FP), DX; \
	MOVQ a_Rows+24(FP), BX; \
	MOVQ a_Length+32(FP), R8; \
	MOVQ a_Stride+40(FP), R9; \
	SUBQ $4, BX; \
	JLT  rest; \
rows: \
	LEAQ  (DX)(R9*1), R10; \
	LEAQ  (DX)(R9*2), R11; \
	LEAQ  (R10)(R9*2), R12; \
	LEAQ  (DX)(R9*4), R13; \
	VPXOR Y0, Y0, Y0; \
	VPXOR Y1, Y1, Y1; \
	VPXOR Y2, Y2, Y2; \
	VPXOR Y3, Y3, Y3; \
	XORQ  CX, CX; \
values: \
	PREFETCHT0 (R13)(CX*4); \
	load; \
	PRODUCTS(DX, Y0); \
	PRODUCTS(R10, Y1); \
	PRODUCTS(R11, Y2); \
	PRODUCTS(R12, Y3); \
	ADDQ $16, CX; \
	CMPQ CX, R8; \
	JLT  values; \
	VPHADDD      Y1, Y0, Y0; \
	VPHADDD      Y3, Y2, Y2; \
	VPHADDD      Y2, Y0, Y0; \
	VEXTRACTI128 $1, Y0, X1; \
	VPADDD       X1, X0, X0; \
	VMOVDQU      X0, (DI); \
	ADDQ         $16, DI; \
	MOVQ         R13, DX; \
	SUBQ         $4, BX; \
	JGE          rows; \
rest: \
	ADDQ $4, BX; \
	JZ   done; \
row: \
	VPXOR Y0, Y0, Y0; \
	XORQ  CX, CX; \
rowValues: \
	load; \
	PRODUCTS(DX, Y0); \
	ADDQ $16, CX; \
	CMPQ CX, R8; \
	JLT  rowValues; \
	VEXTRACTI128 $1, Y0, X1; \
	VPADDD       X1, X0, X0; \
	VPHADDD      X0, X0, X0; \
	VPHADDD      X0, X0, X0; \
	VMOVD        X0, (DI); \
	ADDQ         $4, DI; \
	ADDQ         R9, DX; \
	DECQ         BX; \
	JNZ          row; \
done: \
	VZEROUPPER; \
	RET

#define WORDS VMOVDQU   (SI)(CX*2), Y4
#define BYTES VPMOVZXBW (SI)(CX*1), Y4

// func denseAVX2(a tile.DenseArgs)
TEXT ·denseAVX2(SB), NOSPLIT, $0-48
	DENSE(WORDS)

// func denseInt8AVX2(a tile.DenseArgs)
TEXT ·denseInt8AVX2(SB), NOSPLIT, $0-48
	DENSE(BYTES)
