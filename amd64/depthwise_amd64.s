//go:build !purego

#include "textflag.h"
#include "requantize_amd64.h"

// Depthwise convolutions, 16 channels at a time. Two taps of each channel are brought
// together in 16 bits and multiplied by their weights at once (VPMADDWD). Taps that are
// pairs lie below each other, two rows after the other, and of a last odd row side by
// side; a last tap is the second of a pair whose first weight is 0. Channels are in the
// order in which VPUNPCKLWD and VPUNPCKHWD take them, which VPACKSSDW reverses.

DATA depthwiseSigns<>+0(SB)/8, $0x8080808080808080
DATA depthwiseSigns<>+8(SB)/8, $0x8080808080808080
GLOBL depthwiseSigns<>(SB), RODATA|NOPTR, $16

// Of requantize_amd64.h. Merged sums stay in low and high.

#define WIDTH 32
#define DST   BX
#define ODD0  Y10
#define ODD1  Y11
#define RATIO ratio-32(SP)
#define HALF  Y15

#define ODD_PLACES(from, to) VPSRLQ $32, from, to

#define MERGE(low, high) \
	VPBLENDD $0xaa, ODD0, low, low; \
	VPBLENDD $0xaa, ODD1, high, high

#define MERGE_UPPER(low, high) \
	VPSRLQ $32, low, low; \
	VPSRLQ $32, high, high; \
	MERGE(low, high)

#define MULTIPLY_ADD(r0, r1, s0, s1) \
	VPMADDWD RATIO, r0, r0; \
	VPMADDWD RATIO, r1, r1; \
	VPADDD   r0, s0, s0; \
	VPADDD   r1, s1, s1

#define SATURATE_STORE(s0, s1) \
	VPACKSSDW    s1, s0, Y10; \
	VEXTRACTI128 $1, Y10, X11; \
	VPACKSSWB    X11, X10, X10; \
	VPXOR        depthwiseSigns<>(SB), X10, X10; \
	VMOVDQU      X10, (DST); \
	ADDQ         AX, DST

// REQUANTIZE ends a pixel, whose output is at BX and whose residual is at CX.
#define REQUANTIZE_PIXEL(low, high, shifted, residual, stored) \
	CMPQ a_Shift+128(FP), $0; \
	JEQ  shifted; \
	VPSLLD shift-48(SP), low, low; \
	VPSLLD shift-48(SP), high, high; \
shifted: \
	TESTQ CX, CX; \
	JNZ   residual; \
	ROUND(low, high, low, high); \
	JMP   stored; \
residual: \
	ADD_RESIDUAL(low, high, low, high, Y12, Y13); \
stored:

// BIAS begins a pixel.
#define BIAS(low, high) \
	VMOVDQU (DX), low; \
	VMOVDQU 32(DX), high

// PAIR brings taps together into Y12 and Y13.
#define PAIR(a, b) \
	VPMOVZXBW  a, Y10; \
	VPMOVZXBW  b, Y11; \
	VPUNPCKLWD Y11, Y10, Y12; \
	VPUNPCKHWD Y11, Y10, Y13

// ADD multiplies a pair by weights and adds the products to a pixel's sums.
#define ADD(weights0, weights1, low, high) \
	VPMADDWD weights0, Y12, Y12; \
	VPMADDWD weights1, Y13, Y13; \
	VPADDD   Y12, low, low; \
	VPADDD   Y13, high, high

// Any window, by two pixels or one. R8 is a pixel's window, R9 the step to the next,
// R10 and R11 a pair's taps, R12 the step to the next tap, R13 the weights, R15 pixels left, SI rows and
// DI taps of the window, R14 the bytes from the end of a pair of rows to the next pair.

#define STEP2 \
	VMOVDQU (R13), Y8; \
	VMOVDQU 32(R13), Y9; \
	PAIR((R10), (R11)); \
	ADD(Y8, Y9, Y0, Y1); \
	PAIR((R10)(R9*1), (R11)(R9*1)); \
	ADD(Y8, Y9, Y2, Y3)

#define STEP1 \
	PAIR((R10), (R11)); \
	ADD((R13), 32(R13), Y0, Y1)

// WINDOW multiplies all taps.
#define WINDOW(step, pair, tap, last, beside, single, end) \
	LEAQ 128(DX), R13; \
	MOVQ R8, R10; \
	MOVQ a_KH+48(FP), SI; \
	SHRQ $1, SI; \
	JZ   last; \
pair: \
	MOVQ a_KW+56(FP), DI; \
	MOVQ a_SrcRow+72(FP), R11; \
	ADDQ R10, R11; \
tap: \
	step; \
	ADDQ R12, R10; \
	ADDQ R12, R11; \
	ADDQ $64, R13; \
	DECQ DI; \
	JNZ  tap; \
	ADDQ R14, R10; \
	DECQ SI; \
	JNZ  pair; \
last: \
	TESTQ $1, a_KH+48(FP); \
	JZ   end; \
	MOVQ a_KW+56(FP), DI; \
	SHRQ $1, DI; \
	JZ   single; \
beside: \
	LEAQ (R10)(R12*1), R11; \
	step; \
	LEAQ (R11)(R12*1), R10; \
	ADDQ $64, R13; \
	DECQ DI; \
	JNZ  beside; \
single: \
	TESTQ $1, a_KW+56(FP); \
	JZ   end; \
	MOVQ R10, R11; \
	step; \
end:

// Windows of 3x3 and 5x5 go along a row by columns: what is made of a column's inputs is
// multiplied for all pixels whose windows hold it. Their sums change places with each pixel. R8
// is the column, R9 the step to the next, R10 and R11 one and three times SrcRow. The
// first columns, which end no pixel, add to sums that are not used, too.

// TIMES multiplies a pair in p0 and p1 by weights, into Y12 and Y13.
#define TIMES(p0, p1, weights) \
	VPMADDWD (weights)(DX), p0, Y12; \
	VPMADDWD (weights+32)(DX), p1, Y13

#define ADD_TIMES(p0, p1, weights, low, high) \
	TIMES(p0, p1, weights); \
	VPADDD Y12, low, low; \
	VPADDD Y13, high, high

// BEGIN_TIMES is ADD_TIMES of a pixel's first product.
#define BEGIN_TIMES(p0, p1, weights, low, high) \
	TIMES(p0, p1, weights); \
	VPADDD (DX), Y12, low; \
	VPADDD 32(DX), Y13, high

// BELOW brings two taps below each other together.
#define BELOW(a, b, p0, p1) \
	VPMOVZXBW  a, Y12; \
	VPMOVZXBW  b, Y13; \
	VPUNPCKLWD Y13, Y12, p0; \
	VPUNPCKHWD Y13, Y12, p1

// BESIDE does so with a tap of the last row and that of the column before, which is kept.
#define BESIDE(a, before, p0, p1) \
	VPMOVZXBW  a, Y12; \
	VPUNPCKLWD Y12, before, p0; \
	VPUNPCKHWD Y12, before, p1; \
	VMOVDQA    Y12, before

// COLUMN3 adds a column to the sums of three pixels, in the order of their places.
#define COLUMN3(a0, a1, b0, b1, c0, c1) \
	BELOW((R8), (R8)(R10*1), Y8, Y9); \
	ADD_TIMES(Y8, Y9, 256, a0, a1); \
	ADD_TIMES(Y8, Y9, 192, b0, b1); \
	BEGIN_TIMES(Y8, Y9, 128, c0, c1); \
	BESIDE((R8)(R10*2), Y6, Y8, Y9); \
	ADD_TIMES(Y8, Y9, 384, a0, a1); \
	ADD_TIMES(Y8, Y9, 320, b0, b1); \
	ADDQ R9, R8

#define COLUMN5(a0, a1, b0, b1, c0, c1, d0, d1, e0, e1) \
	BELOW((R8), (R8)(R10*1), Y10, Y11); \
	ADD_TIMES(Y10, Y11, 384, a0, a1); \
	ADD_TIMES(Y10, Y11, 320, b0, b1); \
	ADD_TIMES(Y10, Y11, 256, c0, c1); \
	ADD_TIMES(Y10, Y11, 192, d0, d1); \
	BEGIN_TIMES(Y10, Y11, 128, e0, e1); \
	BELOW((R8)(R10*2), (R8)(R11*1), Y10, Y11); \
	ADD_TIMES(Y10, Y11, 704, a0, a1); \
	ADD_TIMES(Y10, Y11, 640, b0, b1); \
	ADD_TIMES(Y10, Y11, 576, c0, c1); \
	ADD_TIMES(Y10, Y11, 512, d0, d1); \
	ADD_TIMES(Y10, Y11, 448, e0, e1); \
	BESIDE((R8)(R10*4), Y14, Y10, Y11); \
	ADD_TIMES(Y10, Y11, 896, a0, a1); \
	ADD_TIMES(Y10, Y11, 832, b0, b1); \
	ADD_TIMES(Y10, Y11, 768, d0, d1); \
	ADDQ R9, R8

// With a step of two taps, R12 each, one pixel follows the other: FIRST_COLUMN begins one,
// and COLUMNS ends it and begins the next.
#define FIRST_COLUMN(low, high) \
	BELOW((R8), (R8)(R10*1), Y8, Y9); \
	BEGIN_TIMES(Y8, Y9, 128, low, high); \
	VPMOVZXBW (R8)(R10*2), Y6; \
	ADDQ R12, R8

#define COLUMNS(low, high, next0, next1) \
	BELOW((R8), (R8)(R10*1), Y8, Y9); \
	ADD_TIMES(Y8, Y9, 192, low, high); \
	BESIDE((R8)(R10*2), Y6, Y8, Y9); \
	ADD_TIMES(Y8, Y9, 320, low, high); \
	ADDQ R12, R8; \
	BELOW((R8), (R8)(R10*1), Y8, Y9); \
	ADD_TIMES(Y8, Y9, 256, low, high); \
	BEGIN_TIMES(Y8, Y9, 128, next0, next1); \
	BESIDE((R8)(R10*2), Y6, Y8, Y9); \
	ADD_TIMES(Y8, Y9, 384, low, high); \
	ADDQ R12, R8

// func depthwiseAVX2(a tile.DepthwiseArgs)
TEXT ·depthwiseAVX2(SB), NOSPLIT, $48-144
	MOVQ  a_Panel+24(FP), DX
	VMOVQ a_Shift+128(FP), X0
	VMOVDQU X0, shift-48(SP)
	MOVQ  $32, SI
	MOVQ  a_Ratio+136(FP), DI
	VMOVQ DI, X0
	VPBROADCASTD X0, Y0
	VMOVDQU Y0, ratio-32(SP)
	SHLQ  $7, DI
	SUBQ  DI, SI // residuals are stored as q + 128
	SHLQ  $31, SI
	MOVQ  $0x40000000, DI
	ADDQ  DI, SI
	VMOVQ SI, X15
	VPBROADCASTQ X15, HALF

	MOVQ  a_SrcStep+80(FP), R9
	MOVQ  a_SrcTap+64(FP), R12
	MOVQ  a_SrcRow+72(FP), R14
	SHLQ  $1, R14
	MOVQ  a_KW+56(FP), AX
	IMULQ R12, AX
	SUBQ  AX, R14

	MOVQ  a_SrcRow+72(FP), R10
	LEAQ  (R10)(R10*2), R11

row:
	MOVQ a_Src+0(FP), R8
	MOVQ a_Dst+8(FP), BX
	MOVQ a_Res+16(FP), CX
	MOVQ a_Pixels+40(FP), R15
	MOVQ a_DstStep+96(FP), AX
	MOVQ a_ResStep+112(FP), DI
	CMPQ a_KW+56(FP), $3
	JEQ  three
	CMPQ a_KW+56(FP), $5
	JEQ  five

any:
	SUBQ $2, R15
	JLT  odd

two:
	BIAS(Y0, Y1)
	BIAS(Y2, Y3)
	WINDOW(STEP2, pair2, tap2, last2, beside2, single2, end2)
	MOVQ a_DstStep+96(FP), AX
	MOVQ a_ResStep+112(FP), DI
	REQUANTIZE_PIXEL(Y0, Y1, shifted20, residual20, stored20)
	REQUANTIZE_PIXEL(Y2, Y3, shifted21, residual21, stored21)
	LEAQ (R8)(R9*2), R8
	SUBQ $2, R15
	JGE  two

odd:
	ADDQ $2, R15
	JZ   next
	BIAS(Y0, Y1)
	WINDOW(STEP1, pair1, tap1, last1, beside1, single1, end1)
	MOVQ a_DstStep+96(FP), AX
	MOVQ a_ResStep+112(FP), DI
	REQUANTIZE_PIXEL(Y0, Y1, shifted1, residual1, stored1)

next:
	MOVQ a_SrcNext+88(FP), AX
	ADDQ AX, a_Src+0(FP)
	MOVQ a_DstNext+104(FP), AX
	ADDQ AX, a_Dst+8(FP)
	MOVQ a_ResNext+120(FP), AX
	ADDQ AX, a_Res+16(FP)
	DECQ a_Rows+32(FP)
	JNZ  row
	VZEROUPPER
	RET

three:
	CMPQ a_KH+48(FP), $3
	JNE  any
	CMPQ R9, R12
	JEQ  three1
	LEAQ (R12)(R12*1), SI
	CMPQ R9, SI
	JNE  any
	FIRST_COLUMN(Y0, Y1)

columns:
	COLUMNS(Y0, Y1, Y2, Y3)
	REQUANTIZE_PIXEL(Y0, Y1, shifted60, residual60, stored60)
	DECQ R15
	JZ   next
	COLUMNS(Y2, Y3, Y0, Y1)
	REQUANTIZE_PIXEL(Y2, Y3, shifted61, residual61, stored61)
	DECQ R15
	JNZ  columns
	JMP  next

three1:
	COLUMN3(Y0, Y1, Y2, Y3, Y4, Y5)
	COLUMN3(Y2, Y3, Y4, Y5, Y0, Y1)

column3:
	COLUMN3(Y4, Y5, Y0, Y1, Y2, Y3)
	REQUANTIZE_PIXEL(Y4, Y5, shifted30, residual30, stored30)
	DECQ R15
	JZ   next
	COLUMN3(Y0, Y1, Y2, Y3, Y4, Y5)
	REQUANTIZE_PIXEL(Y0, Y1, shifted31, residual31, stored31)
	DECQ R15
	JZ   next
	COLUMN3(Y2, Y3, Y4, Y5, Y0, Y1)
	REQUANTIZE_PIXEL(Y2, Y3, shifted32, residual32, stored32)
	DECQ R15
	JNZ  column3
	JMP  next

five:
	CMPQ a_KH+48(FP), $5
	JNE  any
	CMPQ R9, R12
	JNE  any
	COLUMN5(Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y0, Y1)
	COLUMN5(Y4, Y5, Y6, Y7, Y8, Y9, Y0, Y1, Y2, Y3)
	COLUMN5(Y6, Y7, Y8, Y9, Y0, Y1, Y2, Y3, Y4, Y5)
	COLUMN5(Y8, Y9, Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7)

column5:
	COLUMN5(Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9)
	REQUANTIZE_PIXEL(Y0, Y1, shifted50, residual50, stored50)
	DECQ R15
	JZ   next
	COLUMN5(Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y0, Y1)
	REQUANTIZE_PIXEL(Y2, Y3, shifted51, residual51, stored51)
	DECQ R15
	JZ   next
	COLUMN5(Y4, Y5, Y6, Y7, Y8, Y9, Y0, Y1, Y2, Y3)
	REQUANTIZE_PIXEL(Y4, Y5, shifted52, residual52, stored52)
	DECQ R15
	JZ   next
	COLUMN5(Y6, Y7, Y8, Y9, Y0, Y1, Y2, Y3, Y4, Y5)
	REQUANTIZE_PIXEL(Y6, Y7, shifted53, residual53, stored53)
	DECQ R15
	JZ   next
	COLUMN5(Y8, Y9, Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7)
	REQUANTIZE_PIXEL(Y8, Y9, shifted54, residual54, stored54)
	DECQ R15
	JNZ  column5
	JMP  next
