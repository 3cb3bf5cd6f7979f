//go:build !purego

#include "textflag.h"

// Rows are addressed in groups of three from one pointer: +0, +stride, +2*stride.

// AVX2_ROW adds to the accumulators a, b of one row its value at addr times the
// panel row in Y12, Y13.
#define AVX2_ROW(addr, a, b) \
	VBROADCASTSS addr, Y15; \
	VFMADD231PS  Y12, Y15, a; \
	VFMADD231PS  Y13, Y15, b

// AVX2_STORE stores a row of the tile and steps to the next.
#define AVX2_STORE(a, b) \
	VMOVUPS a, (DI); \
	VMOVUPS b, 32(DI); \
	ADDQ    R9, DI

// func tileAVX2(y *float32, yStride int, x *float32, xStride int, panel *float32, depth int)
TEXT ·tileAVX2(SB), NOSPLIT, $0-48
	MOVQ y+0(FP), DI
	MOVQ yStride+8(FP), R9
	MOVQ x+16(FP), AX
	MOVQ xStride+24(FP), R8
	MOVQ panel+32(FP), SI
	MOVQ depth+40(FP), CX
	SHLQ $2, R8
	SHLQ $2, R9
	LEAQ (R8)(R8*2), R10
	LEAQ (AX)(R10*1), BX

	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VMOVAPS Y0, Y2
	VMOVAPS Y1, Y3
	VMOVAPS Y0, Y4
	VMOVAPS Y1, Y5
	VMOVAPS Y0, Y6
	VMOVAPS Y1, Y7
	VMOVAPS Y0, Y8
	VMOVAPS Y1, Y9
	VMOVAPS Y0, Y10
	VMOVAPS Y1, Y11

avx2Loop:
	ADDQ    $64, SI
	VMOVUPS (SI), Y12
	VMOVUPS 32(SI), Y13
	AVX2_ROW((AX), Y0, Y1)
	AVX2_ROW((AX)(R8*1), Y2, Y3)
	AVX2_ROW((AX)(R8*2), Y4, Y5)
	AVX2_ROW((BX), Y6, Y7)
	AVX2_ROW((BX)(R8*1), Y8, Y9)
	AVX2_ROW((BX)(R8*2), Y10, Y11)
	ADDQ    $4, AX
	ADDQ    $4, BX
	DECQ    CX
	JNZ     avx2Loop

	AVX2_STORE(Y0, Y1)
	AVX2_STORE(Y2, Y3)
	AVX2_STORE(Y4, Y5)
	AVX2_STORE(Y6, Y7)
	AVX2_STORE(Y8, Y9)
	AVX2_STORE(Y10, Y11)
	VZEROUPPER
	RET

// AVX512_ROW adds to the accumulators a, b of one row its value at addr times
// the panel row in Z28, Z29.
#define AVX512_ROW(addr, a, b) \
	VBROADCASTSS addr, Z31; \
	VFMADD231PS  Z28, Z31, a; \
	VFMADD231PS  Z29, Z31, b

#define AVX512_BIAS(a, b) \
	VMOVAPS Z0, a; \
	VMOVAPS Z1, b

// AVX512_STORE stores a row of the tile and steps to the next.
#define AVX512_STORE(a, b) \
	VMOVUPS a, (DI); \
	VMOVUPS b, 64(DI); \
	ADDQ    R9, DI

// func tileAVX512(y *float32, yStride int, x *float32, xStride int, panel *float32, depth int)
TEXT ·tileAVX512(SB), NOSPLIT, $0-48
	MOVQ y+0(FP), DI
	MOVQ yStride+8(FP), R9
	MOVQ x+16(FP), AX
	MOVQ xStride+24(FP), R8
	MOVQ panel+32(FP), SI
	MOVQ depth+40(FP), CX
	SHLQ $2, R8
	SHLQ $2, R9
	LEAQ (R8)(R8*2), R13
	LEAQ (AX)(R13*1), BX
	LEAQ (BX)(R13*1), DX
	LEAQ (DX)(R13*1), R10
	LEAQ (R10)(R13*1), R11

	VMOVUPS (SI), Z0
	VMOVUPS 64(SI), Z1
	AVX512_BIAS(Z2, Z3)
	AVX512_BIAS(Z4, Z5)
	AVX512_BIAS(Z6, Z7)
	AVX512_BIAS(Z8, Z9)
	AVX512_BIAS(Z10, Z11)
	AVX512_BIAS(Z12, Z13)
	AVX512_BIAS(Z14, Z15)
	AVX512_BIAS(Z16, Z17)
	AVX512_BIAS(Z18, Z19)
	AVX512_BIAS(Z20, Z21)
	AVX512_BIAS(Z22, Z23)
	AVX512_BIAS(Z24, Z25)
	AVX512_BIAS(Z26, Z27)

avx512Loop:
	ADDQ    $128, SI
	VMOVUPS (SI), Z28
	VMOVUPS 64(SI), Z29
	AVX512_ROW((AX), Z0, Z1)
	AVX512_ROW((AX)(R8*1), Z2, Z3)
	AVX512_ROW((AX)(R8*2), Z4, Z5)
	AVX512_ROW((BX), Z6, Z7)
	AVX512_ROW((BX)(R8*1), Z8, Z9)
	AVX512_ROW((BX)(R8*2), Z10, Z11)
	AVX512_ROW((DX), Z12, Z13)
	AVX512_ROW((DX)(R8*1), Z14, Z15)
	AVX512_ROW((DX)(R8*2), Z16, Z17)
	AVX512_ROW((R10), Z18, Z19)
	AVX512_ROW((R10)(R8*1), Z20, Z21)
	AVX512_ROW((R10)(R8*2), Z22, Z23)
	AVX512_ROW((R11), Z24, Z25)
	AVX512_ROW((R11)(R8*1), Z26, Z27)
	ADDQ    $4, AX
	ADDQ    $4, BX
	ADDQ    $4, DX
	ADDQ    $4, R10
	ADDQ    $4, R11
	DECQ    CX
	JNZ     avx512Loop

	AVX512_STORE(Z0, Z1)
	AVX512_STORE(Z2, Z3)
	AVX512_STORE(Z4, Z5)
	AVX512_STORE(Z6, Z7)
	AVX512_STORE(Z8, Z9)
	AVX512_STORE(Z10, Z11)
	AVX512_STORE(Z12, Z13)
	AVX512_STORE(Z14, Z15)
	AVX512_STORE(Z16, Z17)
	AVX512_STORE(Z18, Z19)
	AVX512_STORE(Z20, Z21)
	AVX512_STORE(Z22, Z23)
	AVX512_STORE(Z24, Z25)
	AVX512_STORE(Z26, Z27)
	VZEROUPPER
	RET
