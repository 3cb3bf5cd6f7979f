//go:build !purego

#include "textflag.h"

// IN takes two rows of pixels together by op and makes four values of that row.
#define IN(a, op, b) \
	VMOVUPS (a), Y0; \
	VMOVUPS (a)(R10*1), Y1; \
	VMOVUPS (a)(R10*2), Y2; \
	VMOVUPS (a)(R11*1), Y3; \
	op      (b), Y0, Y0; \
	op      (b)(R10*1), Y1, Y1; \
	op      (b)(R10*2), Y2, Y2; \
	op      (b)(R11*1), Y3, Y3; \
	VSUBPS  Y2, Y0, Y4; \
	VADDPS  Y2, Y1, Y5; \
	VSUBPS  Y1, Y2, Y6; \
	VSUBPS  Y3, Y1, Y7; \
	VMOVUPS Y4, (DI); \
	VMOVUPS Y5, (DI)(R8*1); \
	VMOVUPS Y6, (DI)(R8*2); \
	VMOVUPS Y7, (DI)(DX*1); \
	LEAQ    (DI)(R8*4), DI

// func winogradInAVX2(dst, src *float32, apart, pitch, pixel, eights int)
TEXT ·winogradInAVX2(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ apart+16(FP), R8
	MOVQ pitch+24(FP), R12
	MOVQ pixel+32(FP), R10
	MOVQ eights+40(FP), CX
	LEAQ (R8)(R8*2), DX
	LEAQ (R10)(R10*2), R11
	LEAQ (R12)(R12*2), BX
	ADDQ SI, BX             // rows: SI, R12, R13, BX
	LEAQ (SI)(R12*2), R13
	ADDQ SI, R12
	MOVQ R8, AX
	SHLQ $4, AX
	SUBQ $32, AX            // from one eight to the next

eight:
	IN(SI, VSUBPS, R13)
	IN(R12, VADDPS, R13)
	IN(R13, VSUBPS, R12)
	IN(R12, VSUBPS, BX)
	SUBQ AX, DI
	ADDQ $32, SI
	ADDQ $32, R12
	ADDQ $32, R13
	ADDQ $32, BX
	DECQ CX
	JNZ  eight
	VZEROUPPER
	RET

// OUT makes two values, a and b, of four: x0 + x1 + x2 and x1 - x2 - x3.
#define OUT(x0, x1, x2, x3, a, b) \
	VADDPS x1, x0, a; \
	VSUBPS x2, x1, b; \
	VADDPS x2, a, a; \
	VSUBPS x3, b, b

// OUTROW does so with the products of a row.
#define OUTROW(a, b) \
	VMOVUPS (SI), Y8; \
	VMOVUPS (SI)(R8*1), Y9; \
	VMOVUPS (SI)(R8*2), Y10; \
	VMOVUPS (SI)(DX*1), Y11; \
	OUT(Y8, Y9, Y10, Y11, a, b); \
	LEAQ    (SI)(R8*4), SI

// LAST limits a pixel, with the value as last operand, which wins if it is NaN or -0.
#define LAST(v, y) \
	VMAXPS  v, Y15, v; \
	VMINPS  v, Y14, v; \
	VMOVUPS v, (y); \
	ADDQ    $32, y

#define MORE(residual, v) \
	VADDPS (residual), v, v; \
	ADDQ   $32, residual

// func winogradOutAVX2(a winogradOutArgs)
TEXT ·winogradOutAVX2(SB), NOSPLIT, $0-96
	MOVQ a_products+0(FP), SI
	MOVQ a_apart+8(FP), R8
	MOVQ a_eights+16(FP), CX
	MOVQ a_y_0+24(FP), DI
	MOVQ a_y_1+32(FP), R12
	MOVQ a_y_2+40(FP), R13
	MOVQ a_y_3+48(FP), BX
	MOVQ a_residual_0+56(FP), R9
	MOVQ a_residual_1+64(FP), R10
	MOVQ a_residual_2+72(FP), R11
	MOVQ a_residual_3+80(FP), R14
	LEAQ (R8)(R8*2), DX
	MOVQ R8, AX
	SHLQ $4, AX
	SUBQ $32, AX
	VBROADCASTSS a_limits_Least+88(FP), Y15
	VBROADCASTSS a_limits_Greatest+92(FP), Y14

eight:
	OUTROW(Y0, Y4)
	OUTROW(Y1, Y5)
	OUTROW(Y2, Y6)
	OUTROW(Y3, Y7)
	SUBQ  AX, SI
	OUT(Y0, Y1, Y2, Y3, Y8, Y10)
	OUT(Y4, Y5, Y6, Y7, Y9, Y11)
	TESTQ R9, R9
	JZ    plain
	MORE(R9, Y8)
	MORE(R10, Y9)
	MORE(R11, Y10)
	MORE(R14, Y11)

plain:
	LAST(Y8, DI)
	LAST(Y9, R12)
	LAST(Y10, R13)
	LAST(Y11, BX)
	DECQ CX
	JNZ  eight
	VZEROUPPER
	RET
