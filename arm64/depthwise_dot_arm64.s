//go:build !purego

#include "textflag.h"
#include "encode_arm64.h"
#include "requantize_arm64.h"
#include "depthwise_arm64.h"

// Depthwise convolutions of 8 channels by dot products: the bytes of four rows of a
// column are put side by side, a channel to a 32-bit lane, so that SDOT adds up four
// taps. What a column adds to each of the pixels whose windows it is in is added at once:
// the sums of some pixels are in registers, and a column is regrouped once. Where a
// column has no four rows, one is read in place of others: their weights are zero.
//
//   V0-V5  rows of a column, then columns of four taps in V2 V3; requantization
//   V6-V21 weights

// TAPS adds columns' products with the weights from w on to the sums from s on.
#define TAPS(w, s) \
	SDOT_4S(w, 2, s); \
	SDOT_4S(w+1, 3, s+1)

// LANES brings four bytes of each channel side by side.
#define LANES(v0, v1, v2, v3) \
	VZIP1 v1.B16, v0.B16, V0.B16; \
	VZIP1 v3.B16, v2.B16, V1.B16; \
	VZIP1 V1.H8, V0.H8, V2.H8; \
	VZIP2 V1.H8, V0.H8, V3.H8

// COLUMN3 and COLUMN4 read a column.
#define COLUMN3 \
	FMOVD (R0)(R5), F0; \
	FMOVD (R1)(R5), F1; \
	FMOVD (R2)(R5), F2; \
	ADD   R9, R5; \
	LANES(V0, V1, V2, V2)

#define COLUMN4 \
	FMOVD (R0)(R5), F0; \
	FMOVD (R1)(R5), F1; \
	FMOVD (R2)(R5), F2; \
	FMOVD (R3)(R5), F3; \
	LANES(V0, V1, V2, V3)

#define BEGIN(s, t) FLDPQ (R12), (s, t)

// FINISH makes outputs of the sums s and begins others in their place.
#define FINISH(s, f0, f1, shifted, plain) \
	CBZ    R19, shifted; \
	VDUP   R19, V0.S4; \
	SSHL_4S(0, s, s); \
	SSHL_4S(0, s+1, s+1); \
shifted: \
	FLDPQ  32(R12), (F0, F1); \
	SQRDMULH_4S(0, s, s); \
	SQRDMULH_4S(1, s+1, s+1); \
	CBZ    R10, plain; \
	VLD1.P (R10)(R11), [V2.B8]; \
	VDUP   R20, V3.H8; \
	SXTL_8H(2, 2); \
	ADD_RESIDUAL(3, 2, s, s+1); \
plain: \
	ROUND(s, s+1, 2); \
	SQXTN_8B(2, 2); \
	VST1.P [V2.B8], (R7)(R8); \
	BEGIN(f0, f1)

// PIXEL3 is a pixel of a 3x3 window, whose columns step by 1; the sums of the next two
// pixels are n and m. PIXEL3S2 has columns that step by 2.
#define PIXEL3(s, f0, f1, n, m, shifted, plain, last) \
	COLUMN3; \
	TAPS(20, s); \
	TAPS(18, n); \
	TAPS(16, m); \
	FINISH(s, f0, f1, shifted, plain); \
	SUBS $1, R6; \
	BEQ  last

#define PIXEL3S2(s, f0, f1, n, shifted, plain, last) \
	COLUMN3; \
	TAPS(18, s); \
	COLUMN3; \
	TAPS(20, s); \
	TAPS(16, n); \
	FINISH(s, f0, f1, shifted, plain); \
	SUBS $1, R6; \
	BEQ  last

// func depthwiseDot(a tile.DepthwiseArgs)
TEXT ·depthwiseDot(SB), NOSPLIT, $0-144
	ARGUMENTS
	MOVD  a_KH+48(FP), R0
	MOVD  a_KW+56(FP), R1
	CMP   R0, R1
	BNE   any
	CMP   $3, R0
	BNE   any
	CMP   R9, R13
	BEQ   three
	CMP   R9<<1, R13
	BNE   any

three:
	FLDPQ 64(R12), (F16, F17)
	FLDPQ 96(R12), (F18, F19)
	FLDPQ 128(R12), (F20, F21)
	CMP   R9, R13
	BNE   row3s2

row3:
	ROW
	ADD   R14, R0, R1
	ADD   R14, R1, R2
	MOVD  ZR, R5
	BEGIN(F22, F23)
	BEGIN(F24, F25)
	BEGIN(F26, F27)
	COLUMN3
	TAPS(16, 22)
	COLUMN3
	TAPS(18, 22)
	TAPS(16, 24)

pixel3:
	PIXEL3(22, F22, F23, 24, 26, shifted0, plain0, next3)
	PIXEL3(24, F24, F25, 26, 22, shifted1, plain1, next3)
	PIXEL3(26, F26, F27, 22, 24, shifted2, plain2, next3)
	B     pixel3

next3:
	NEXT_ROW(row3, done3)

row3s2:
	ROW
	ADD   R14, R0, R1
	ADD   R14, R1, R2
	MOVD  ZR, R5
	BEGIN(F22, F23)
	BEGIN(F24, F25)
	COLUMN3
	TAPS(16, 22)

pixel3s2:
	PIXEL3S2(22, F22, F23, 24, shifted3, plain3, next3s2)
	PIXEL3S2(24, F24, F25, 22, shifted4, plain4, next3s2)
	B     pixel3s2

next3s2:
	NEXT_ROW(row3s2, done3s2)

// Windows of any size, a pixel at a time: R21 first of four rows, R22 rows left from
// there, R23 weights, R24 columns left, R25 window.
any:
	ROW
	MOVD  R0, R25

pixel:
	MOVD  R25, R0
	ADD   R13, R25
	MOVD  a_KH+48(FP), R22
	ADD   $64, R12, R23
	BEGIN(F22, F23)

rows:
	CMP   $2, R22
	ADD   R14, R0, R1
	CSEL  LT, R0, R1, R1
	CMP   $3, R22
	ADD   R14, R1, R2
	CSEL  LT, R0, R2, R2
	CMP   $4, R22
	ADD   R14, R2, R3
	CSEL  LT, R0, R3, R3
	MOVD  a_KW+56(FP), R24
	MOVD  ZR, R5

column:
	COLUMN4
	ADD   R9, R5
	FLDPQ.P 32(R23), (F20, F21)
	TAPS(20, 22)
	SUBS  $1, R24
	BNE   column
	ADD   R14, R3, R0
	SUBS  $4, R22
	BGT   rows
	FINISH(22, F22, F23, shifted, plain)
	SUBS  $1, R6
	BNE   pixel
	NEXT_ROW(any, done)
