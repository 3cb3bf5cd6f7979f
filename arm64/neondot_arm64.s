//go:build !purego

#include "textflag.h"
#include "encode_arm64.h"

// Tiles of 8 or 7 pixels by 8 output channels. A step multiplies four bytes of
// a pixel by four bytes of each channel: SDOT by element, so that rows of the
// image are read as they lie in memory, 16 bytes of a pixel at a time.
//
//   R0      weights
//   R1-R8   the pixels' windows in the first tile
//   R9      offset of the next values from there
//   R10     blocks of four steps left in a row of a window; then steps left
//   R11     rows of the window left
//   R12 R13 next pixel's output and residual
//   R14     panel
//   R15     from the end of a window's row to the next
//   R16     tiles left
//   R17     offset of the tile
//   R19 R20 blocks and further steps in a row of a window
//   R21     from tile to tile
//   R22 R23 from pixel to pixel in output and residual
//   R24     rows of a window
//   R25     shift of sums
//   R26     ratio of residuals
//   V0-V7   16 values of each pixel
//   V8-V15  weights of four steps
//   V16-V31 sums: low and high four channels of each pixel
//
// Behind the products: V0 V1 multipliers, V2 output, V3 residual, V4 shift or
// ratio.

// EACH7 and EACH8 apply a macro to the pixels: values, window and sums.
#define EACH7(op) \
	op(0, 1, 16, 17); \
	op(1, 2, 18, 19); \
	op(2, 3, 20, 21); \
	op(3, 4, 22, 23); \
	op(4, 5, 24, 25); \
	op(5, 6, 26, 27); \
	op(6, 7, 28, 29)

#define EACH8(op) \
	EACH7(op); \
	op(7, 8, 30, 31)

#define BIAS7 \
	FLDPQ (R14), (F16, F17); \
	FLDPQ (R14), (F18, F19); \
	FLDPQ (R14), (F20, F21); \
	FLDPQ (R14), (F22, F23); \
	FLDPQ (R14), (F24, F25); \
	FLDPQ (R14), (F26, F27); \
	FLDPQ (R14), (F28, F29)

#define BIAS8 \
	BIAS7; \
	FLDPQ (R14), (F30, F31)

#define LOAD16(values, window, low, high) LDRQ(9, window, values)
#define LOAD4(values, window, low, high)  LDRS(9, window, values)

#define STEP0(values, window, low, high) \
	SDOT_4S_LANE(values, 0, 8, low); \
	SDOT_4S_LANE(values, 0, 9, high)

#define STEP1(values, window, low, high) \
	SDOT_4S_LANE(values, 1, 10, low); \
	SDOT_4S_LANE(values, 1, 11, high)

#define STEP2(values, window, low, high) \
	SDOT_4S_LANE(values, 2, 12, low); \
	SDOT_4S_LANE(values, 2, 13, high)

#define STEP3(values, window, low, high) \
	SDOT_4S_LANE(values, 3, 14, low); \
	SDOT_4S_LANE(values, 3, 15, high)

// A pixel's next values are loaded as soon as its last ones are used.
#define STEP3_LOAD16(values, window, low, high) \
	STEP3(values, window, low, high); \
	LOAD16(values, window, low, high)

#define SHIFT(values, window, low, high) \
	SSHL_4S(4, low, low); \
	SSHL_4S(4, high, high)

#define MULTIPLY(low, high) \
	SQRDMULH_4S(0, low, low); \
	SQRDMULH_4S(1, high, high)

#define STORE(low, high) \
	SQRSHRN_4H(6, low, low); \
	SQRSHRN2_8H(6, high, low); \
	SQXTN_8B(low, 2); \
	VST1.P [V2.B8], (R12)(R22)

#define PLAIN(values, window, low, high) \
	MULTIPLY(low, high); \
	STORE(low, high)

#define RESIDUAL(values, window, low, high) \
	VLD1.P (R13)(R23), [V3.B8]; \
	MULTIPLY(low, high); \
	SXTL_8H(3, 3); \
	SMLAL_4S(4, 3, low); \
	SMLAL2_4S(4, 3, high); \
	STORE(low, high)

// TILES is the loop over tiles, its loads half a block or more ahead of their
// use.
#define TILES(bias, each) \
	MOVD a_Src+0(FP), R1; \
	MOVD a_Dst+8(FP), R12; \
	MOVD a_Res+16(FP), R13; \
	MOVD a_Panel+24(FP), R14; \
	MOVD a_Tiles+32(FP), R16; \
	MOVD a_Runs+40(FP), R24; \
	MOVD a_Steps+48(FP), R20; \
	MOVD a_SrcRow+56(FP), R15; \
	MOVD a_SrcStep+64(FP), R9; \
	MOVD a_DstStep+72(FP), R22; \
	MOVD a_ResStep+80(FP), R23; \
	MOVD a_SrcNext+88(FP), R21; \
	MOVD a_Shift+112(FP), R25; \
	MOVD a_Ratio+120(FP), R26; \
	SUB  R20<<2, R15; \
	LSR  $2, R20, R19; \
	AND  $3, R20; \
	ADD  R9, R1, R2; \
	ADD  R9, R2, R3; \
	ADD  R9, R3, R4; \
	ADD  R9, R4, R5; \
	ADD  R9, R5, R6; \
	ADD  R9, R6, R7; \
	ADD  R9, R7, R8; \
	MOVD ZR, R17; \
tile: \
	bias; \
	ADD  $64, R14, R0; \
	MOVD R17, R9; \
	MOVD R24, R11; \
row: \
	CBZ  R19, rest; \
	each(LOAD16); \
	ADD  $16, R9; \
	VLD1.P 64(R0), [V8.B16, V9.B16, V10.B16, V11.B16]; \
	SUBS $1, R19, R10; \
	BEQ  last; \
block: \
	VLD1.P 64(R0), [V12.B16, V13.B16, V14.B16, V15.B16]; \
	each(STEP0); \
	each(STEP1); \
	VLD1.P 64(R0), [V8.B16, V9.B16, V10.B16, V11.B16]; \
	each(STEP2); \
	each(STEP3_LOAD16); \
	ADD  $16, R9; \
	SUBS $1, R10; \
	BNE  block; \
last: \
	VLD1.P 64(R0), [V12.B16, V13.B16, V14.B16, V15.B16]; \
	each(STEP0); \
	each(STEP1); \
	each(STEP2); \
	each(STEP3); \
rest: \
	CBZ  R20, next; \
	MOVD R20, R10; \
step: \
	FLDPQ.P 32(R0), (F8, F9); \
	each(LOAD4); \
	each(STEP0); \
	ADD  $4, R9; \
	SUBS $1, R10; \
	BNE  step; \
next: \
	ADD  R15, R9; \
	SUBS $1, R11; \
	BNE  row; \
	CBZ  R25, shifted; \
	VDUP R25, V4.S4; \
	each(SHIFT); \
shifted: \
	FLDPQ 32(R14), (F0, F1); \
	CBNZ R13, residual; \
	each(PLAIN); \
	B    stored; \
residual: \
	VDUP R26, V4.H8; \
	each(RESIDUAL); \
stored: \
	ADD  R21, R17; \
	SUBS $1, R16; \
	BNE  tile; \
	RET

// func conv8NeonDot(a tile.Args)
TEXT ·conv8NeonDot(SB), NOSPLIT, $0-136
	TILES(BIAS8, EACH8)

// func conv7NeonDot(a tile.Args)
TEXT ·conv7NeonDot(SB), NOSPLIT, $0-136
	TILES(BIAS7, EACH7)
