//go:build !purego

#include "textflag.h"

// Registers of all kernels:
//
//   SI   values of the tile's first window; the others are at multiples of the
//        stride from it: R8 R9 R10 R11 R12 R13 BX = 1 3 5 7 9 11 13 strides
//   DI   weights                     R14  the tile's first window
//   DX   results, and R15 residual   CX   values left in the run
//   AX   runs left in the window

// TILES is the loop over tiles. A step multiplies one value of each window by
// a row of the panel, which has that many bytes; next steps to the next tile.
#define TILES(bias, step, bytes, least, greatest, plain, residual, next) \
	MOVQ a_x+0(FP), R14; \
	MOVQ a_stride+56(FP), R8; \
	MOVQ a_depth+48(FP), AX; \
	SHLQ $2, AX; \
	SUBQ AX, a_pitch+64(FP); /* from the end of a run to the next one */ \
	LEAQ (R8)(R8*2), R9; \
	LEAQ (R8)(R8*4), R10; \
	LEAQ (R9)(R8*4), R11; \
	LEAQ (R8)(R8*8), R12; \
	LEAQ (R9)(R8*8), R13; \
	LEAQ (R10)(R8*8), BX; \
tile: \
	MOVQ a_panel+24(FP), DI; \
	bias; \
	MOVQ R14, SI; \
	MOVQ a_runs+40(FP), AX; \
	MOVQ a_ahead+88(FP), DX; \
	MOVQ a_pace+96(FP), R15; \
run: \
	MOVQ a_depth+48(FP), CX; \
value: \
	ADDQ $bytes, DI; \
	step; \
	ADDQ $4, SI; \
	DECQ CX; \
	JNZ  value; \
	ADDQ a_pitch+64(FP), SI; \
	DECQ AX; \
	JNZ  run; \
	MOVQ DX, a_ahead+88(FP); \
	MOVQ a_y+8(FP), DX; \
	MOVQ a_residual+16(FP), R15; \
	MOVQ a_yStride+72(FP), CX; \
	VBROADCASTSS a_limits_Least+80(FP), least; \
	VBROADCASTSS a_limits_Greatest+84(FP), greatest; \
	TESTQ R15, R15; \
	JNZ  res; \
	plain; \
	JMP  stored; \
res: \
	residual; \
	MOVQ R15, a_residual+16(FP); \
stored: \
	MOVQ DX, a_y+8(FP); \
	LEAQ next, R14; \
	DECQ a_tiles+32(FP); \
	JNZ  tile; \
	VZEROUPPER; \
	RET

// PLAIN2 stores a row of results and steps to the next. The value is the last
// operand of maximum and minimum, which is the one that wins if it is NaN or -0.

#define PLAIN2(least, greatest, a, b) \
	VMAXPS  a, least, a; \
	VMAXPS  b, least, b; \
	VMINPS  a, greatest, a; \
	VMINPS  b, greatest, b; \
	VMOVUPS a, (DX); \
	VMOVUPS b, WIDTH(DX); \
	ADDQ    CX, DX

// RESIDUAL2 adds the residual before that.
#define RESIDUAL2(least, greatest, a, b) \
	VADDPS (R15), a, a; \
	VADDPS WIDTH(R15), b, b; \
	ADDQ   CX, R15; \
	PLAIN2(least, greatest, a, b)

// AVX2: two registers of eight results for every window.

#define WIDTH 32
#define ROW2(address, a, b) \
	VBROADCASTSS address, Y15; \
	VFMADD231PS  Y12, Y15, a; \
	VFMADD231PS  Y13, Y15, b

#define COPY2(a, b) \
	VMOVAPS Y0, a; \
	VMOVAPS Y1, b

#define BIAS4 \
	VMOVUPS (DI), Y0; \
	VMOVUPS 32(DI), Y1; \
	COPY2(Y2, Y3); COPY2(Y4, Y5); COPY2(Y6, Y7)

// NEAR brings two rows of p near, where results go or the residual is.
#define NEAR(p) \
	PREFETCHT0 (p); \
	PREFETCHT0 (p)(CX*1); \
	LEAQ       (p)(CX*2), p

#define BEGIN4 \
	BIAS4; \
	MOVQ a_y+8(FP), DX; \
	MOVQ a_residual+16(FP), R15; \
	MOVQ a_yStride+72(FP), CX; \
	NEAR(DX); NEAR(DX); NEAR(R15); NEAR(R15)

#define BEGIN6 \
	BEGIN4; \
	COPY2(Y8, Y9); COPY2(Y10, Y11); \
	NEAR(DX); NEAR(R15)

#define STEP4 \
	PREFETCHT1 (DX); \
	ADDQ R15, DX; \
	VMOVUPS (DI), Y12; \
	VMOVUPS 32(DI), Y13; \
	ROW2((SI), Y0, Y1); \
	ROW2((SI)(R8*1), Y2, Y3); \
	ROW2((SI)(R8*2), Y4, Y5); \
	ROW2((SI)(R9*1), Y6, Y7)

#define STEP6 \
	STEP4; \
	ROW2((SI)(R8*4), Y8, Y9); \
	ROW2((SI)(R10*1), Y10, Y11)

#define PLAIN4 \
	PLAIN2(Y15, Y14, Y0, Y1); PLAIN2(Y15, Y14, Y2, Y3); PLAIN2(Y15, Y14, Y4, Y5); PLAIN2(Y15, Y14, Y6, Y7)

#define PLAIN6 \
	PLAIN4; \
	PLAIN2(Y15, Y14, Y8, Y9); PLAIN2(Y15, Y14, Y10, Y11)

#define RESIDUAL4 \
	RESIDUAL2(Y15, Y14, Y0, Y1); RESIDUAL2(Y15, Y14, Y2, Y3); RESIDUAL2(Y15, Y14, Y4, Y5); RESIDUAL2(Y15, Y14, Y6, Y7)

#define RESIDUAL6 \
	RESIDUAL4; \
	RESIDUAL2(Y15, Y14, Y8, Y9); RESIDUAL2(Y15, Y14, Y10, Y11)

// func tiles4AVX2(a args)
TEXT ·tiles4AVX2(SB), NOSPLIT, $0-104
	TILES(BEGIN4, STEP4, 64, Y15, Y14, PLAIN4, RESIDUAL4, (R14)(R8*4))

// func tiles6AVX2(a args)
TEXT ·tiles6AVX2(SB), NOSPLIT, $0-104
	TILES(BEGIN6, STEP6, 64, Y15, Y14, PLAIN6, RESIDUAL6, (R14)(R9*2))

// AVX-512: two registers of sixteen results for every window.

#undef WIDTH
#define WIDTH 64
#undef ROW2
#define ROW2(address, a, b) \
	VBROADCASTSS address, Z30; \
	VFMADD231PS  Z28, Z30, a; \
	VFMADD231PS  Z29, Z30, b

#undef COPY2
#define COPY2(a, b) \
	VMOVAPS Z0, a; \
	VMOVAPS Z1, b

#define BIAS7 \
	VMOVUPS (DI), Z0; \
	VMOVUPS 64(DI), Z1; \
	COPY2(Z2, Z3); COPY2(Z4, Z5); COPY2(Z6, Z7); COPY2(Z8, Z9); COPY2(Z10, Z11); COPY2(Z12, Z13)

#define BIAS14 \
	BIAS7; \
	COPY2(Z14, Z15); COPY2(Z16, Z17); COPY2(Z18, Z19); COPY2(Z20, Z21); COPY2(Z22, Z23); COPY2(Z24, Z25); COPY2(Z26, Z27)

#define STEP7 \
	PREFETCHT1 (DX); \
	ADDQ R15, DX; \
	VMOVUPS (DI), Z28; \
	VMOVUPS 64(DI), Z29; \
	ROW2((SI), Z0, Z1); \
	ROW2((SI)(R8*1), Z2, Z3); \
	ROW2((SI)(R8*2), Z4, Z5); \
	ROW2((SI)(R9*1), Z6, Z7); \
	ROW2((SI)(R8*4), Z8, Z9); \
	ROW2((SI)(R10*1), Z10, Z11); \
	ROW2((SI)(R9*2), Z12, Z13)

#define STEP14 \
	STEP7; \
	ROW2((SI)(R11*1), Z14, Z15); \
	ROW2((SI)(R8*8), Z16, Z17); \
	ROW2((SI)(R12*1), Z18, Z19); \
	ROW2((SI)(R10*2), Z20, Z21); \
	ROW2((SI)(R13*1), Z22, Z23); \
	ROW2((SI)(R9*4), Z24, Z25); \
	ROW2((SI)(BX*1), Z26, Z27)

#define PLAIN7 \
	PLAIN2(Z31, Z30, Z0, Z1); PLAIN2(Z31, Z30, Z2, Z3); PLAIN2(Z31, Z30, Z4, Z5); PLAIN2(Z31, Z30, Z6, Z7); \
	PLAIN2(Z31, Z30, Z8, Z9); PLAIN2(Z31, Z30, Z10, Z11); PLAIN2(Z31, Z30, Z12, Z13)

#define PLAIN14 \
	PLAIN7; \
	PLAIN2(Z31, Z30, Z14, Z15); PLAIN2(Z31, Z30, Z16, Z17); PLAIN2(Z31, Z30, Z18, Z19); PLAIN2(Z31, Z30, Z20, Z21); \
	PLAIN2(Z31, Z30, Z22, Z23); PLAIN2(Z31, Z30, Z24, Z25); PLAIN2(Z31, Z30, Z26, Z27)

#define RESIDUAL7 \
	RESIDUAL2(Z31, Z30, Z0, Z1); RESIDUAL2(Z31, Z30, Z2, Z3); RESIDUAL2(Z31, Z30, Z4, Z5); RESIDUAL2(Z31, Z30, Z6, Z7); \
	RESIDUAL2(Z31, Z30, Z8, Z9); RESIDUAL2(Z31, Z30, Z10, Z11); RESIDUAL2(Z31, Z30, Z12, Z13)

#define RESIDUAL14 \
	RESIDUAL7; \
	RESIDUAL2(Z31, Z30, Z14, Z15); RESIDUAL2(Z31, Z30, Z16, Z17); RESIDUAL2(Z31, Z30, Z18, Z19); RESIDUAL2(Z31, Z30, Z20, Z21); \
	RESIDUAL2(Z31, Z30, Z22, Z23); RESIDUAL2(Z31, Z30, Z24, Z25); RESIDUAL2(Z31, Z30, Z26, Z27)

// func tiles7AVX512(a args)
TEXT ·tiles7AVX512(SB), NOSPLIT, $0-104
	TILES(BIAS7, STEP7, 128, Z31, Z30, PLAIN7, RESIDUAL7, (R14)(R11*1))

// func tiles14AVX512(a args)
TEXT ·tiles14AVX512(SB), NOSPLIT, $0-104
	TILES(BIAS14, STEP14, 128, Z31, Z30, PLAIN14, RESIDUAL14, (R14)(R11*2))
