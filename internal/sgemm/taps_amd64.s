//go:build !purego

#include "textflag.h"

//   DI, SI   results, values of the window's first tap
//   DX, BX   weights, biases            R15      residual
//   CX       eights left                AX, R14  rows and columns left
//   R8, R9   values and weights of the row, R10, R11 of the tap
//   R12, R13 distances of columns

// BLOCK computes the channels of one or four registers: bias loads them, tap
// multiplies, residual adds, limit clips and stores.
#define BLOCK(row, column, plain, bias, tap, residual, limit, bytes) \
	bias; \
	MOVQ SI, R8; \
	MOVQ DX, R9; \
	MOVQ a_rows+48(FP), AX; \
row: \
	MOVQ R8, R10; \
	MOVQ R9, R11; \
	MOVQ a_columns+56(FP), R14; \
column: \
	tap; \
	ADDQ R12, R10; \
	ADDQ R13, R11; \
	DECQ R14; \
	JNZ  column; \
	ADDQ a_xRow+64(FP), R8; \
	ADDQ a_weightRow+80(FP), R9; \
	DECQ AX; \
	JNZ  row; \
	TESTQ R15, R15; \
	JZ   plain; \
	residual; \
	ADDQ $bytes, R15; \
plain: \
	limit; \
	ADDQ $bytes, DI; \
	ADDQ $bytes, SI; \
	ADDQ $bytes, DX; \
	ADDQ $bytes, BX

#define TAP(at, sums) \
	VMOVUPS     at(R10), Y8; \
	VFMADD231PS at(R11), Y8, sums

// LIMIT has the value as last operand, which wins if it is NaN or -0.
#define LIMIT(at, sums) \
	VMAXPS  sums, Y15, sums; \
	VMINPS  sums, Y14, sums; \
	VMOVUPS sums, at(DI)

#define BIAS4 \
	VMOVUPS (BX), Y0; VMOVUPS 32(BX), Y1; VMOVUPS 64(BX), Y2; VMOVUPS 96(BX), Y3
#define TAP4 \
	TAP(0, Y0); TAP(32, Y1); TAP(64, Y2); TAP(96, Y3)
#define RESIDUAL4 \
	VADDPS (R15), Y0, Y0; VADDPS 32(R15), Y1, Y1; VADDPS 64(R15), Y2, Y2; VADDPS 96(R15), Y3, Y3
#define LIMIT4 \
	LIMIT(0, Y0); LIMIT(32, Y1); LIMIT(64, Y2); LIMIT(96, Y3)

#define BIAS1     VMOVUPS (BX), Y0
#define TAP1      TAP(0, Y0)
#define RESIDUAL1 VADDPS (R15), Y0, Y0
#define LIMIT1    LIMIT(0, Y0)

// func tapsAVX2(a tapsArgs)
TEXT ·tapsAVX2(SB), NOSPLIT, $0-128
	MOVQ a_xColumn+72(FP), R12
	MOVQ a_weightColumn+88(FP), R13
	VBROADCASTSS a_limits_Least+96(FP), Y15
	VBROADCASTSS a_limits_Greatest+100(FP), Y14

window:
	MOVQ a_y+0(FP), DI
	MOVQ a_x+8(FP), SI
	MOVQ a_residual+16(FP), R15
	MOVQ a_weight+24(FP), DX
	MOVQ a_bias+32(FP), BX
	MOVQ a_eights+40(FP), CX
	SUBQ $4, CX
	JLT  rest

four:
	BLOCK(row4, column4, plain4, BIAS4, TAP4, RESIDUAL4, LIMIT4, 128)
	SUBQ $4, CX
	JGE  four

rest:
	ADDQ $4, CX
	JZ   done

one:
	BLOCK(row1, column1, plain1, BIAS1, TAP1, RESIDUAL1, LIMIT1, 32)
	DECQ CX
	JNZ  one

done:
	MOVQ a_xStride+112(FP), AX
	ADDQ AX, a_x+8(FP)
	MOVQ a_yStride+120(FP), AX
	ADDQ AX, a_y+0(FP)
	CMPQ a_residual+16(FP), $0
	JEQ  next
	ADDQ AX, a_residual+16(FP)

next:
	DECQ a_windows+104(FP)
	JNZ  window
	VZEROUPPER
	RET
