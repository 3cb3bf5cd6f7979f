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

// QUAD reads four neighbours of the fifth row, ONE a single value.
#define QUAD \
	FMOVD (R21)(R5), F0; \
	FMOVD (R22)(R5), F1; \
	FMOVD (R23)(R5), F2; \
	FMOVD (R24)(R5), F3; \
	LANES(V0, V1, V2, V3)

#define ONE \
	FMOVD (R4)(R5), F0; \
	VZIP1 V0.B16, V0.B16, V0.B16; \
	VZIP1 V0.H8, V0.H8, V2.H8; \
	VZIP2 V0.H8, V0.H8, V3.H8

// FIFTH puts the fifth row's weights of a column beside others, as those of tap i.
#define FIFTH(column, i) \
	FLDPQ (224+32*column)(R12), (F0, F1); \
	VSHL  $(8*i), V0.S4, V0.S4; \
	VSHL  $(8*i), V1.S4, V1.S4; \
	VORR  V0.B16, V16.B16, V16.B16; \
	VORR  V1.B16, V17.B16, V17.B16

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

// PIXEL5 and PIXEL5S2 are of 5x5 windows. Four neighbours of the fifth row are at taps 1 to
// 4 of a pixel; where columns step by 1, they are at taps 0 to 3 of the next one, and only
// the last counts for the first.
#define PIXEL5(s, f0, f1, n, m, k, l, shifted, plain, last) \
	COLUMN4; \
	TAPS(14, s); \
	TAPS(12, n); \
	TAPS(10, m); \
	TAPS(8, k); \
	TAPS(6, l); \
	QUAD; \
	TAPS(18, s); \
	TAPS(16, n); \
	ADD  R9, R5; \
	FINISH(s, f0, f1, shifted, plain); \
	SUBS $1, R6; \
	BEQ  last

#define PIXEL5S2(s, f0, f1, n, m, shifted, plain, last) \
	COLUMN4; \
	TAPS(12, s); \
	TAPS(8, n); \
	QUAD; \
	TAPS(16, s); \
	ONE; \
	TAPS(18, s); \
	ADD  R9, R5; \
	COLUMN4; \
	TAPS(14, s); \
	TAPS(10, n); \
	TAPS(6, m); \
	ADD  R9, R5; \
	FINISH(s, f0, f1, shifted, plain); \
	SUBS $1, R6; \
	BEQ  last

// ROWS5 begins a row of 5x5 windows, whose column of the offset 0 is the given number of
// taps from the first; neighbours of the fifth row begin with the second tap.
#define ROWS5(taps) \
	ROW; \
	MOVD $(taps), R5; \
	ADD  R14<<2, R0, R4; \
	MUL  R9, R5; \
	ADD  R9, R4, R21; \
	ADD  R9, R21, R22; \
	ADD  R9, R22, R23; \
	ADD  R9, R23, R24; \
	ADD  R5, R0; \
	NEG  R5, R5; \
	ADD  R14, R0, R1; \
	ADD  R14, R1, R2; \
	ADD  R14, R2, R3; \
	BEGIN(F22, F23); \
	BEGIN(F24, F25); \
	BEGIN(F26, F27)

// func depthwiseDot(a tile.DepthwiseArgs)
TEXT ·depthwiseDot(SB), NOSPLIT, $0-144
	ARGUMENTS
	MOVD  a_KH+48(FP), R0
	MOVD  a_KW+56(FP), R1
	CMP   R0, R1
	BNE   any
	CMP   $5, R0
	BEQ   five
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

five:
	FLDPQ 64(R12), (F6, F7)
	FLDPQ 96(R12), (F8, F9)
	FLDPQ 128(R12), (F10, F11)
	FLDPQ 160(R12), (F12, F13)
	FLDPQ 192(R12), (F14, F15)
	CMP   R9<<1, R13
	BEQ   five2
	CMP   R9, R13
	BNE   any
	FLDPQ 224(R12), (F16, F17)
	FIFTH(1, 1)
	FIFTH(2, 2)
	FIFTH(3, 3)
	FLDPQ 352(R12), (F0, F1)
	VSHL  $24, V0.S4, V18.S4
	VSHL  $24, V1.S4, V19.S4

row5:
	ROWS5(4)
	BEGIN(F28, F29)
	BEGIN(F30, F31)
	COLUMN4
	TAPS(6, 22)
	ADD   R9, R5
	COLUMN4
	TAPS(8, 22)
	TAPS(6, 24)
	ADD   R9, R5
	COLUMN4
	TAPS(10, 22)
	TAPS(8, 24)
	TAPS(6, 26)
	ADD   R9, R5
	COLUMN4
	TAPS(12, 22)
	TAPS(10, 24)
	TAPS(8, 26)
	TAPS(6, 28)
	QUAD
	TAPS(16, 22)
	ADD   R9, R5

pixel5:
	PIXEL5(22, F22, F23, 24, 26, 28, 30, shifted5, plain5, next5)
	PIXEL5(24, F24, F25, 26, 28, 30, 22, shifted6, plain6, next5)
	PIXEL5(26, F26, F27, 28, 30, 22, 24, shifted7, plain7, next5)
	PIXEL5(28, F28, F29, 30, 22, 24, 26, shifted8, plain8, next5)
	PIXEL5(30, F30, F31, 22, 24, 26, 28, shifted9, plain9, next5)
	B     pixel5

next5:
	NEXT_ROW(row5, done5)

five2:
	FLDPQ 224(R12), (F18, F19)
	FLDPQ 256(R12), (F16, F17)
	FIFTH(2, 1)
	FIFTH(3, 2)
	FIFTH(4, 3)

row5s2:
	ROWS5(3)
	COLUMN4
	TAPS(6, 22)
	ADD   R9, R5
	COLUMN4
	TAPS(8, 22)
	ADD   R9, R5
	COLUMN4
	TAPS(10, 22)
	TAPS(6, 24)
	ADD   R9, R5

pixel5s2:
	PIXEL5S2(22, F22, F23, 24, 26, shifted10, plain10, next5s2)
	PIXEL5S2(24, F24, F25, 26, 22, shifted11, plain11, next5s2)
	PIXEL5S2(26, F26, F27, 22, 24, shifted12, plain12, next5s2)
	B     pixel5s2

next5s2:
	NEXT_ROW(row5s2, done5s2)

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
