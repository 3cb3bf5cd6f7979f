//go:build !purego

#include "textflag.h"
#include "encode_arm64.h"
#include "requantize_arm64.h"

// Tiles of 4 or 2 pixels by 16 output channels. SMMLA multiplies eight bytes of
// two pixels by eight bytes of two channels, so that the values of two pixels
// have to be brought together in registers: once for all 16 channels, which is
// why tiles are wider than those of other kernels. Registers beside vectors: see
// ARGUMENTS_DOT. A block has two steps.
//
//   V0-V3   values of each pixel
//   V4 V5   a block's two steps of pixels 0 and 1; V6 V7 of pixels 2 and 3
//   V8-V15  weights of a step, two channels in each
//   V16-V23 sums of pixels 0 and 1, two channels in each: the first pixel's,
//           then the second's
//   V24-V31 sums of pixels 2 and 3
//
// Behind the products sums are brought in order, four channels in each: V16 V18
// V20 V22 of pixel 0, V17 V19 V21 V23 of pixel 1, and so on. V0-V3 are
// multipliers, V4 the shift or ratio, V5 what is being ordered, V6 V7 output,
// V8 V9 V10 residual.

#define WINDOWS2(op) \
	op(R1, F0); \
	op(R2, F1)

#define WINDOWS4(op) \
	WINDOWS2(op); \
	op(R3, F2); \
	op(R4, F3)

#define LOAD16(window, values) FMOVQ.P 16(window), values
#define LOAD8(window, values)  FMOVD.P 8(window), values
#define ADVANCE(window, values) ADD R9, window

// BIAS puts the biases of two channels at each pixel's place.
#define BIAS2 \
	MOVD    R14, R0; \
	VLD1R.P 8(R0), [V16.D2]; \
	VLD1R.P 8(R0), [V17.D2]; \
	VLD1R.P 8(R0), [V18.D2]; \
	VLD1R.P 8(R0), [V19.D2]; \
	VLD1R.P 8(R0), [V20.D2]; \
	VLD1R.P 8(R0), [V21.D2]; \
	VLD1R.P 8(R0), [V22.D2]; \
	VLD1R.P 8(R0), [V23.D2]

#define BIAS4 \
	BIAS2; \
	VMOV V16.B16, V24.B16; \
	VMOV V17.B16, V25.B16; \
	VMOV V18.B16, V26.B16; \
	VMOV V19.B16, V27.B16; \
	VMOV V20.B16, V28.B16; \
	VMOV V21.B16, V29.B16; \
	VMOV V22.B16, V30.B16; \
	VMOV V23.B16, V31.B16

#define FIRST_STEP2 VZIP1 V1.D2, V0.D2, V4.D2
#define FIRST_STEP4 FIRST_STEP2; VZIP1 V3.D2, V2.D2, V6.D2
#define SECOND_STEP2 VZIP2 V1.D2, V0.D2, V5.D2
#define SECOND_STEP4 SECOND_STEP2; VZIP2 V3.D2, V2.D2, V7.D2

// Weights of the low and the high eight channels. In a block, those of the
// second step are loaded while the others of the first step are multiplied.
#define WEIGHTS_LOW  VLD1.P 64(R0), [V8.B16, V9.B16, V10.B16, V11.B16]
#define WEIGHTS_HIGH VLD1.P 64(R0), [V12.B16, V13.B16, V14.B16, V15.B16]

#define LOW2(values01, values23) \
	SMMLA_4S(8, values01, 16); \
	SMMLA_4S(9, values01, 17); \
	SMMLA_4S(10, values01, 18); \
	SMMLA_4S(11, values01, 19)

#define HIGH2(values01, values23) \
	SMMLA_4S(12, values01, 20); \
	SMMLA_4S(13, values01, 21); \
	SMMLA_4S(14, values01, 22); \
	SMMLA_4S(15, values01, 23)

#define LOW4(values01, values23) \
	LOW2(values01, values23); \
	SMMLA_4S(8, values23, 24); \
	SMMLA_4S(9, values23, 25); \
	SMMLA_4S(10, values23, 26); \
	SMMLA_4S(11, values23, 27)

#define HIGH4(values01, values23) \
	HIGH2(values01, values23); \
	SMMLA_4S(12, values23, 28); \
	SMMLA_4S(13, values23, 29); \
	SMMLA_4S(14, values23, 30); \
	SMMLA_4S(15, values23, 31)

// SUMS applies a macro to pairs of registers that hold four channels.
#define SUMS2(op) \
	op(0, 16, V16, 17, V17); \
	op(1, 18, V18, 19, V19); \
	op(2, 20, V20, 21, V21); \
	op(3, 22, V22, 23, V23)

#define SUMS4(op) \
	SUMS2(op); \
	op(0, 24, V24, 25, V25); \
	op(1, 26, V26, 27, V27); \
	op(2, 28, V28, 29, V29); \
	op(3, 30, V30, 31, V31)

#define SHIFT(multiplier, a, va, b, vb) \
	SSHL_4S(4, a, a); \
	SSHL_4S(4, b, b)

#define ORDER_MULTIPLY(multiplier, a, va, b, vb) \
	VZIP1 vb.D2, va.D2, V5.D2; \
	VZIP2 vb.D2, va.D2, vb.D2; \
	SQRDMULH_4S(multiplier, 5, a); \
	SQRDMULH_4S(multiplier, b, b)

// MULTIPLY_SUMS loads multipliers and brings products in order.
#define MULTIPLY_SUMS(sums) \
	ADD  $64, R14, R0; \
	VLD1 (R0), [V0.S4, V1.S4, V2.S4, V3.S4]; \
	sums(ORDER_MULTIPLY)

// PIXELS applies a macro to the ordered sums of each pixel.
#define PIXELS2(op) \
	op(16, 18, 20, 22); \
	op(17, 19, 21, 23)

#define PIXELS4(op) \
	PIXELS2(op); \
	op(24, 26, 28, 30); \
	op(25, 27, 29, 31)

#define SATURATE_STORE(a, b, c, d) \
	ROUND(a, b, 6); \
	ROUND(c, d, 7); \
	SQXTN_8B(6, 6); \
	SQXTN2_16B(7, 6); \
	VST1.P [V6.B16], (R12)(R22)

#define RESIDUAL(a, b, c, d) \
	VLD1.P (R13)(R23), [V8.B16]; \
	SXTL_8H(8, 9); \
	SXTL2_8H(8, 10); \
	ADD_RESIDUAL(4, 9, a, b); \
	ADD_RESIDUAL(4, 10, c, d); \
	SATURATE_STORE(a, b, c, d)

// TILES is the loops over panels and tiles.
#define TILES(count, windows, bias, first, second, low, high, sums, pixels) \
	GAPS(count); \
panel: \
	ARGUMENTS_DOT; \
	ADD  R9, R1, R2; \
	ADD  R9, R2, R3; \
	ADD  R9, R3, R4; \
	MSUB R24, R17, R15, R17; \
	SUB  R20<<3, R15; \
	ADD  R15, R17; \
	LSR  $1, R20, R19; \
tile: \
	bias; \
	ADD  $128, R14, R0; \
	MOVD R24, R11; \
row: \
	CBZ  R19, odd; \
	MOVD R19, R10; \
block: \
	windows(LOAD16); \
	first; \
	second; \
	WEIGHTS_LOW; \
	WEIGHTS_HIGH; \
	low(4, 6); \
	WEIGHTS_LOW; \
	high(4, 6); \
	WEIGHTS_HIGH; \
	low(5, 7); \
	high(5, 7); \
	SUBS $1, R10; \
	BNE  block; \
odd: \
	TBZ  $0, R20, next; \
	windows(LOAD8); \
	first; \
	WEIGHTS_LOW; \
	WEIGHTS_HIGH; \
	low(4, 6); \
	high(4, 6); \
next: \
	SUBS $1, R11; \
	CSEL EQ, R17, R15, R9; \
	windows(ADVANCE); \
	BNE  row; \
	REQUANTIZE_DOT(sums, MULTIPLY_SUMS(sums), pixels, SATURATE_STORE, RESIDUAL); \
	SUBS $1, R16; \
	BNE  tile; \
	NEXT_PANEL(16, panel, R10, R11)

// func conv4I8MM(a tile.Args)
TEXT ·conv4I8MM(SB), NOSPLIT, $0-160
	TILES(4, WINDOWS4, BIAS4, FIRST_STEP4, SECOND_STEP4, LOW4, HIGH4, SUMS4, PIXELS4)

// func conv2I8MM(a tile.Args)
TEXT ·conv2I8MM(SB), NOSPLIT, $0-160
	TILES(2, WINDOWS2, BIAS2, FIRST_STEP2, SECOND_STEP2, LOW2, HIGH2, SUMS2, PIXELS2)
