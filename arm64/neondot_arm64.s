//go:build !purego

#include "textflag.h"
#include "encode_arm64.h"
#include "requantize_arm64.h"

// Tiles of 7 or 8 pixels by 8 output channels. A step multiplies four bytes of
// a pixel by four bytes of each channel: SDOT by element, so that rows of the
// image are read as they lie in memory. With 7 pixels there are registers for
// 32 values of each, which takes half as many loads as the 16 that 8 pixels
// leave room for. The loop over 7 pixels loads ahead of use: the queues in which
// processors reorder instructions fill up with products that wait for a load.
// Registers beside vectors: see ARGUMENTS_DOT.
//
// Of 7 pixels, V0-V11 V16 V17 are values and V18-V31 sums of each; of 8,
// V0-V7 are values and V16-V31 sums. V12-V15 are weights of two steps.
// Behind the products: V0 V1 multipliers, V2 output, V3 residual, V4 shift or
// ratio.

// WINDOWS applies a macro to each pixel's window and registers of values.
#define WINDOWS7(op) \
	op(R1, F0, V0, V1); \
	op(R2, F2, V2, V3); \
	op(R3, F4, V4, V5); \
	op(R4, F6, V6, V7); \
	op(R5, F8, V8, V9); \
	op(R6, F10, V10, V11); \
	op(R7, F16, V16, V17)

#define WINDOWS8(op) \
	op(R1, F0, V0, V0); \
	op(R2, F1, V1, V1); \
	op(R3, F2, V2, V2); \
	op(R4, F3, V3, V3); \
	op(R5, F4, V4, V4); \
	op(R6, F5, V5, V5); \
	op(R7, F6, V6, V6); \
	op(R8, F7, V7, V7)

#define LOAD32(window, f, first, second) VLD1.P 32(window), [first.B16, second.B16]
#define LOAD16(window, f, first, second) FMOVQ.P 16(window), f
#define LOAD8(window, f, first, second)  FMOVD.P 8(window), f
#define LOAD4(window, f, first, second)  FMOVS.P 4(window), f
#define ADVANCE(window, f, first, second) ADD R9, window

// SUMS applies a macro to each pixel's values and its sums of the low and the
// high four channels.
#define SUMS7(op) \
	op(0, 1, 18, 19); \
	op(2, 3, 20, 21); \
	op(4, 5, 22, 23); \
	op(6, 7, 24, 25); \
	op(8, 9, 26, 27); \
	op(10, 11, 28, 29); \
	op(16, 17, 30, 31)

#define SUMS8(op) \
	op(0, 0, 16, 17); \
	op(1, 1, 18, 19); \
	op(2, 2, 20, 21); \
	op(3, 3, 22, 23); \
	op(4, 4, 24, 25); \
	op(5, 5, 26, 27); \
	op(6, 6, 28, 29); \
	op(7, 7, 30, 31)

#define BIAS7 \
	FLDPQ (R14), (F18, F19); \
	FLDPQ (R14), (F20, F21); \
	FLDPQ (R14), (F22, F23); \
	FLDPQ (R14), (F24, F25); \
	FLDPQ (R14), (F26, F27); \
	FLDPQ (R14), (F28, F29); \
	FLDPQ (R14), (F30, F31)

#define BIAS8 \
	FLDPQ (R14), (F16, F17); \
	BIAS7

#define EVEN(values, lane, low, high) \
	SDOT_4S_LANE(values, lane, 12, low); \
	SDOT_4S_LANE(values, lane, 13, high)

#define ODD(values, lane, low, high) \
	SDOT_4S_LANE(values, lane, 14, low); \
	SDOT_4S_LANE(values, lane, 15, high)

#define STEP0(first, second, low, high) EVEN(first, 0, low, high)
#define STEP1(first, second, low, high) ODD(first, 1, low, high)
#define STEP2(first, second, low, high) EVEN(first, 2, low, high)
#define STEP3(first, second, low, high) ODD(first, 3, low, high)
#define STEP4(first, second, low, high) EVEN(second, 0, low, high)
#define STEP5(first, second, low, high) ODD(second, 1, low, high)
#define STEP6(first, second, low, high) EVEN(second, 2, low, high)
#define STEP7(first, second, low, high) ODD(second, 3, low, high)

#define STEPS(sums, even, odd) \
	VLD1.P 64(R0), [V12.B16, V13.B16, V14.B16, V15.B16]; \
	sums(even); \
	sums(odd)

#define MULTIPLY16(sums) \
	STEPS(sums, STEP0, STEP1); \
	STEPS(sums, STEP2, STEP3)

#define WEIGHTS_EVEN VLD1.P 32(R0), [V12.B16, V13.B16]
#define WEIGHTS_ODD  VLD1.P 32(R0), [V14.B16, V15.B16]

// FIRST_STEPS7 is steps 0 to 6 of a block. A step's weights are loaded a step
// before their use, except once: all four registers at a time take one
// instruction less.
#define FIRST_STEPS7 \
	SUMS7(STEP0); \
	WEIGHTS_EVEN; \
	PRFM_L2(21, 0); \
	SUMS7(STEP1); \
	WEIGHTS_ODD; \
	SUMS7(STEP2); \
	WEIGHTS_EVEN; \
	SUMS7(STEP3); \
	WEIGHTS_ODD; \
	SUMS7(STEP4); \
	SUMS7(STEP5); \
	VLD1.P 64(R0), [V12.B16, V13.B16, V14.B16, V15.B16]; \
	SUMS7(STEP6)

// LAST_STEP7 loads a pixel's values of the next block as soon as those of this
// one are used.
#define LAST_STEP7 \
	STEP7(0, 1, 18, 19); \
	LOAD32(R1, F0, V0, V1); \
	STEP7(2, 3, 20, 21); \
	LOAD32(R2, F2, V2, V3); \
	STEP7(4, 5, 22, 23); \
	LOAD32(R3, F4, V4, V5); \
	STEP7(6, 7, 24, 25); \
	LOAD32(R4, F6, V6, V7); \
	STEP7(8, 9, 26, 27); \
	LOAD32(R5, F8, V8, V9); \
	STEP7(10, 11, 28, 29); \
	LOAD32(R6, F10, V10, V11); \
	STEP7(16, 17, 30, 31); \
	LOAD32(R7, F16, V16, V17)

// BLOCKS multiplies all but the last few steps of a row.
#define BLOCKS7 \
	CBZ  R19, half; \
	WINDOWS7(LOAD32); \
	WEIGHTS_EVEN; \
	WEIGHTS_ODD; \
	SUBS $1, R19, R10; \
	BEQ  last; \
block: \
	FIRST_STEPS7; \
	WEIGHTS_EVEN; \
	LAST_STEP7; \
	WEIGHTS_ODD; \
	SUBS $1, R10; \
	BNE  block; \
last: \
	FIRST_STEPS7; \
	SUMS7(STEP7); \
half: \
	TBZ  $2, R20, rest; \
	WINDOWS7(LOAD16); \
	MULTIPLY16(SUMS7)

#define BLOCKS8 \
	CBZ  R19, rest; \
	MOVD R19, R10; \
block: \
	WINDOWS8(LOAD16); \
	MULTIPLY16(SUMS8); \
	SUBS $1, R10; \
	BNE  block

#define SHIFT(first, second, low, high) \
	SSHL_4S(4, low, low); \
	SSHL_4S(4, high, high)

#define MULTIPLIERS FLDPQ 32(R14), (F0, F1)

#define MULTIPLY(low, high) \
	SQRDMULH_4S(0, low, low); \
	SQRDMULH_4S(1, high, high)

#define SATURATE_STORE(low, high) \
	ROUND(low, high, low); \
	SQXTN_8B(low, 2); \
	VST1.P [V2.B8], (R12)(R22)

#define PLAIN(first, second, low, high) \
	MULTIPLY(low, high); \
	SATURATE_STORE(low, high)

#define RESIDUAL(first, second, low, high) \
	VLD1.P (R13)(R23), [V3.B8]; \
	MULTIPLY(low, high); \
	SXTL_8H(3, 3); \
	ADD_RESIDUAL(4, 3, low, high); \
	SATURATE_STORE(low, high)

// SUM stores the sums of a pixel.
#define SUM(first, second, low, high) \
	STP_Q(12, high, low); \
	ADD R22, R12

// TILES is the loops over panels and tiles. A block has 1<<log steps.
#define TILES(pixels, windows, sums, bias, blocks, log, plain, residual) \
	GAPS(pixels); \
panel: \
	ARGUMENTS_DOT; \
	ADD  R9, R1, R2; \
	ADD  R9, R2, R3; \
	ADD  R9, R3, R4; \
	ADD  R9, R4, R5; \
	ADD  R9, R5, R6; \
	ADD  R9, R6, R7; \
	ADD  R9, R7, R8; \
	MSUB R24, R17, R15, R17; \
	SUB  R20<<2, R15; \
	ADD  R15, R17; \
	LSR  $(log), R20, R19; \
tile: \
	AHEAD_DOT(R10); \
	bias; \
	ADD  $64, R14, R0; \
	MOVD R24, R11; \
row: \
	blocks; \
rest: \
	TBZ  $1, R20, odd; \
	windows(LOAD8); \
	STEPS(sums, STEP0, STEP1); \
odd: \
	TBZ  $0, R20, next; \
	windows(LOAD4); \
	FLDPQ.P 32(R0), (F12, F13); \
	sums(STEP0); \
next: \
	SUBS $1, R11; \
	CSEL EQ, R17, R15, R9; \
	windows(ADVANCE); \
	BNE  row; \
	REQUANTIZE_DOT(sums, MULTIPLIERS, sums, plain, residual); \
	SUBS $1, R16; \
	BNE  tile; \
	NEXT_PANEL(8, panel, R10, R11)

// func conv7NeonDot(a tile.Args)
TEXT ·conv7NeonDot(SB), NOSPLIT, $0-160
	TILES(7, WINDOWS7, SUMS7, BIAS7, BLOCKS7, 3, PLAIN, RESIDUAL)

// func conv8NeonDot(a tile.Args)
TEXT ·conv8NeonDot(SB), NOSPLIT, $0-160
	TILES(8, WINDOWS8, SUMS8, BIAS8, BLOCKS8, 2, PLAIN, RESIDUAL)

// func sums7NeonDot(a tile.Args)
TEXT ·sums7NeonDot(SB), NOSPLIT, $0-160
	TILES(7, WINDOWS7, SUMS7, BIAS7, BLOCKS7, 3, SUM, SUM)
