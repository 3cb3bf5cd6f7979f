//go:build !purego

#include "textflag.h"
#include "encode_arm64.h"
#include "requantize_arm64.h"
#include "depthwise_arm64.h"

// Depthwise convolutions of 16 channels on cores without dot product: two products are
// added in 16-bit lanes, where they always fit (2*128*127 < 1<<15), and then to the sums.
// 3x3 windows of any stride and dilation have their weights in registers. The order is
// that of the A53, see neon_a53_arm64.s, which loads a vector's lower half beside the
// insertion of an earlier one's upper half; the A72, which reorders what it likes, loads
// whole vectors. Both have one multiplying unit.
//
//   R15 R16 upper halves on their way       R17     from pixel to pixel, then 0
//   R21     weights                         R22 R23 rows and columns left
//   R25     next window
//   V0-V3   values                          V4-V7   products
//   V8-V16  weights                         V17-V20 sums
//   V21-V24 biases                          V25-V28 multipliers
//   V29     shift                           V30     ratio

#define LOWER_A53(address, f) FMOVD address, f
#define UPPER_A53(address, x) MOVD address, x
#define INSERT_A53(x, v)      VMOV x, v.D[1]

#define LOWER_A72(address, f) FMOVQ address, f
#define UPPER_A72(address, x)
#define INSERT_A72(x, v)

// FIRST and SECOND are the products of a pair of taps, 8 channels in p and 8 in p+1.
#define FIRST(w, v, p) \
	SMULL_8H(w, v, p); \
	SMULL2_8H(w, v, p+1)

#define SECOND(w, v, p) \
	SMLAL_8H(w, v, p); \
	SMLAL2_8H(w, v, p+1)

// SUM1 to SUM4 add products to sums, which are biases from b = 21 on before, later b = 17.
#define SUM1(p, b) SADDW_4S(p, b, 17)
#define SUM2(p, b) SADDW2_4S(p, b+1, 18)
#define SUM3(p, b) SADDW_4S(p+1, b+2, 19)
#define SUM4(p, b) SADDW2_4S(p+1, b+3, 20)

#define SUMS(p, b) \
	SUM1(p, b); \
	SUM2(p, b); \
	SUM3(p, b); \
	SUM4(p, b)

#define SETUP \
	ARGUMENTS; \
	VDUP  R19, V29.S4; \
	VDUP  R20, V30.H8; \
	FLDPQ (R12), (F21, F22); \
	FLDPQ 32(R12), (F23, F24); \
	FLDPQ 64(R12), (F25, F26); \
	FLDPQ 96(R12), (F27, F28); \
	ADD   $128, R12

// SCALE multiplies the sums and adds the residual.
#define SCALE(shifted, plain) \
	CBZ   R19, shifted; \
	SSHL_4S(29, 17, 17); \
	SSHL_4S(29, 18, 18); \
	SSHL_4S(29, 19, 19); \
	SSHL_4S(29, 20, 20); \
shifted: \
	SQRDMULH_4S(25, 17, 17); \
	SQRDMULH_4S(26, 18, 18); \
	SQRDMULH_4S(27, 19, 19); \
	SQRDMULH_4S(28, 20, 20); \
	CBZ   R10, plain; \
	FMOVD (R10), F4; \
	FMOVD 8(R10), F5; \
	ADD   R11, R10; \
	SXTL_8H(4, 4); \
	SXTL_8H(5, 5); \
	SMLAL_4S(30, 4, 17); \
	SMLAL2_4S(30, 4, 18); \
	SMLAL_4S(30, 5, 19); \
	SMLAL2_4S(30, 5, 20); \
plain:

#define FINISH(shifted, plain) \
	SCALE(shifted, plain); \
	ROUND_LOW(17, 17); \
	ROUND_LOW(19, 19); \
	ROUND_HIGH(18, 17); \
	ROUND_HIGH(20, 19); \
	SQXTN_8B(17, 17); \
	SQXTN_8B(19, 19); \
	FMOVD F17, (R7); \
	FMOVD F19, 8(R7); \
	ADD   R8, R7; \
	SUBS  $1, R6

// The address of a tap: the one beside the last, the first or the second of a row.
#define BESIDE       ADD R9, R5
#define FIRST_OF(r)  MOVD r, R5
#define SECOND_OF(r) ADD R9, r, R5

// MOVE is how far the next pixel is: nowhere from the last one. COUNT is of pixels.
#define MOVE  CSEL EQ, ZR, R13, R17
#define COUNT SUBS $1, R6

// STEP is the products of a tap while it loads the values of another: into a vector f and
// a register, from where those before are inserted into earlier. Beside arithmetic of
// vectors goes that of addresses, next.
#define STEP(lower, upper, insert, a, f, earlier, sum1, products, next, sum2) \
	lower((a), f); \
	insert(R15, earlier); \
	sum1; \
	upper(8(a), R15); \
	products; \
	next; \
	sum2

// PIXEL3 is a pixel of a 3x3 window, whose first pair of products and next two values are
// on their way; it begins those of the next pixel, or of the same one behind the last.
#define PIXEL3(lower, upper, insert, shifted, plain) \
	STEP(lower, upper, insert, R5, F0, V3, SUM1(4, 21), FIRST(10, 2, 6), BESIDE, SUM2(4, 21)); \
	STEP(lower, upper, insert, R5, F1, V0, SUM3(4, 21), SECOND(11, 3, 6), SECOND_OF(R2), SUM4(4, 21)); \
	CMP $1, R6; \
	STEP(lower, upper, insert, R2, F2, V1, SUM1(6, 17), FIRST(12, 0, 4), MOVE, SUM2(6, 17)); \
	ADD R17, R0; \
	STEP(lower, upper, insert, R5, F3, V2, SUM3(6, 17), SECOND(13, 1, 4), BESIDE, SUM4(6, 17)); \
	ADD R17, R1; \
	STEP(lower, upper, insert, R5, F31, V3, SUM1(4, 17), FIRST(14, 2, 6), SECOND_OF(R0), SUM2(4, 17)); \
	ADD R17, R2; \
	STEP(lower, upper, insert, R0, F0, V31, SUM3(4, 17), SECOND(15, 3, 6), COUNT, SUM4(4, 17)); \
	STEP(lower, upper, insert, R5, F1, V0, SUM1(6, 17), FIRST(16, 31, 4), BESIDE, SUM2(6, 17)); \
	STEP(lower, upper, insert, R5, F2, V1, SUM3(6, 17), SUM4(6, 17), SECOND_OF(R1), SUMS(4, 17)); \
	SCALE(shifted, plain); \
	ROUND_LOW(17, 17); \
	SMULL_8H(8, 0, 4); \
	ROUND_LOW(19, 19); \
	SMULL2_8H(8, 0, 5); \
	ROUND_HIGH(18, 17); \
	lower((R1), F3); \
	insert(R15, V2); \
	ROUND_HIGH(20, 19); \
	upper(8(R1), R15); \
	SMLAL_8H(9, 1, 4); \
	SQXTN_8B(17, 17); \
	SMLAL2_8H(9, 1, 5); \
	SQXTN_8B(19, 19); \
	FMOVD F17, (R7); \
	FMOVD F19, 8(R7); \
	ADD   R8, R7

// FIRST5 and SECOND5 are the products p of a tap of a 5x5 window with weights that lie
// behind the panel's: values V(i), weights V(8+i). They load those of the tap after the next
// one, whose address next makes, and add the other pair's products, 10-p. LOADS5 is the
// loads, each beside other operations.
#define FIRST5(lower, upper, insert, next, at, f, g, v, w, i, p, b) \
	LOADS5(lower, upper, insert, next, at, f, g, v, w, SUM1(10-p, b), SMULL_8H(8+i, i, p), SMULL2_8H(8+i, i, p+1), SUM2(10-p, b))

#define SECOND5(lower, upper, insert, next, at, f, g, v, w, i, p, b) \
	LOADS5(lower, upper, insert, next, at, f, g, v, w, SUM3(10-p, b), SMLAL_8H(8+i, i, p), SMLAL2_8H(8+i, i, p+1), SUM4(10-p, b))

#define LOADS5(lower, upper, insert, next, at, f, g, v, w, op1, op2, op3, op4) \
	lower((R5), f); \
	insert(R15, v); \
	op1; \
	upper(8(R5), R15); \
	op2; \
	next; \
	lower(at(R12), g); \
	insert(R16, w); \
	op3; \
	upper((at+8)(R12), R16); \
	op4

// PIXEL5 is PIXEL3 for a 5x5 window: the first two products and the next two taps are on
// their way.
#define PIXEL5(lower, upper, insert, shifted, plain) \
	FIRST5(lower, upper, insert, FIRST_OF(R1), 64, F1, F9, V0, V8, 2, 6, 21); \
	SECOND5(lower, upper, insert, BESIDE, 80, F2, F10, V1, V9, 0, 6, 21); \
	FIRST5(lower, upper, insert, BESIDE, 96, F0, F8, V2, V10, 1, 4, 17); \
	SECOND5(lower, upper, insert, BESIDE, 112, F1, F9, V0, V8, 2, 4, 17); \
	FIRST5(lower, upper, insert, BESIDE, 128, F2, F10, V1, V9, 0, 6, 17); \
	SECOND5(lower, upper, insert, FIRST_OF(R2), 144, F0, F8, V2, V10, 1, 6, 17); \
	FIRST5(lower, upper, insert, BESIDE, 160, F1, F9, V0, V8, 2, 4, 17); \
	SECOND5(lower, upper, insert, BESIDE, 176, F2, F10, V1, V9, 0, 4, 17); \
	FIRST5(lower, upper, insert, BESIDE, 192, F0, F8, V2, V10, 1, 6, 17); \
	SECOND5(lower, upper, insert, BESIDE, 208, F1, F9, V0, V8, 2, 6, 17); \
	FIRST5(lower, upper, insert, FIRST_OF(R3), 224, F2, F10, V1, V9, 0, 4, 17); \
	SECOND5(lower, upper, insert, BESIDE, 240, F0, F8, V2, V10, 1, 4, 17); \
	FIRST5(lower, upper, insert, BESIDE, 256, F1, F9, V0, V8, 2, 6, 17); \
	SECOND5(lower, upper, insert, BESIDE, 272, F2, F10, V1, V9, 0, 6, 17); \
	FIRST5(lower, upper, insert, BESIDE, 288, F0, F8, V2, V10, 1, 4, 17); \
	SECOND5(lower, upper, insert, FIRST_OF(R4), 304, F1, F9, V0, V8, 2, 4, 17); \
	FIRST5(lower, upper, insert, BESIDE, 320, F2, F10, V1, V9, 0, 6, 17); \
	SECOND5(lower, upper, insert, BESIDE, 336, F0, F8, V2, V10, 1, 6, 17); \
	FIRST5(lower, upper, insert, BESIDE, 352, F1, F9, V0, V8, 2, 4, 17); \
	CMP $1, R6; \
	SECOND5(lower, upper, insert, BESIDE, 368, F2, F10, V1, V9, 0, 4, 17); \
	MOVE; \
	ADD R17, R0; \
	FIRST5(lower, upper, insert, FIRST_OF(R0), 384, F3, F11, V2, V10, 1, 6, 17); \
	ADD R17, R1; \
	SECOND5(lower, upper, insert, BESIDE, 0, F0, F8, V3, V11, 2, 6, 17); \
	ADD R17, R2; \
	ADD R17, R3; \
	FIRST5(lower, upper, insert, BESIDE, 16, F1, F9, V0, V8, 3, 4, 17); \
	ADD R17, R4; \
	SUM3(6, 17); \
	COUNT; \
	SUM4(6, 17); \
	SUMS(4, 17); \
	SCALE(shifted, plain); \
	LOADS5(lower, upper, insert, BESIDE, 32, F2, F10, V1, V9, ROUND_LOW(17, 17), SMULL_8H(8, 0, 4), SMULL2_8H(8, 0, 5), ROUND_LOW(19, 19)); \
	LOADS5(lower, upper, insert, BESIDE, 48, F0, F8, V2, V10, ROUND_HIGH(18, 17), SMLAL_8H(9, 1, 4), SMLAL2_8H(9, 1, 5), ROUND_HIGH(20, 19)); \
	SQXTN_8B(17, 17); \
	SQXTN_8B(19, 19); \
	FMOVD F17, (R7); \
	FMOVD F19, 8(R7); \
	ADD   R8, R7

#define TAP(lower, upper, insert) \
	lower((R5), F0); \
	SUM1(4, 17); \
	upper(8(R5), R15); \
	SUM2(4, 17); \
	lower((R21), F1); \
	ADD   R9, R5; \
	SUM3(4, 17); \
	upper(8(R21), R16); \
	ADD   $16, R21; \
	SUM4(4, 17)

// Pairs of taps of one row; an odd one is alone.
#define PAIR(lower, upper, insert) \
	TAP(lower, upper, insert); \
	lower((R5), F2); \
	insert(R15, V0); \
	upper(8(R5), R15); \
	ADD   R9, R5; \
	lower((R21), F3); \
	insert(R16, V1); \
	upper(8(R21), R16); \
	SMULL_8H(1, 0, 4); \
	SMULL2_8H(1, 0, 5); \
	ADD   $16, R21; \
	insert(R15, V2); \
	SUBS  $2, R23; \
	insert(R16, V3); \
	SECOND(3, 2, 4)

#define ODD(lower, upper, insert) \
	TAP(lower, upper, insert); \
	insert(R15, V0); \
	insert(R16, V1); \
	FIRST(1, 0, 4)

#define DEPTHWISE(lower, upper, insert) \
	SETUP; \
	MOVD  a_KH+48(FP), R0; \
	MOVD  a_KW+56(FP), R1; \
	CMP   R0, R1; \
	BNE   any; \
	CMP   $5, R0; \
	BEQ   row5; \
	CMP   $3, R0; \
	BNE   any; \
	FLDPQ (R12), (F8, F9); \
	FLDPQ 32(R12), (F10, F11); \
	FLDPQ 64(R12), (F12, F13); \
	FLDPQ 96(R12), (F14, F15); \
	FMOVQ 128(R12), F16; \
row: \
	ROW; \
	ADD   R14, R0, R1; \
	ADD   R14, R1, R2; \
	ADD   R9, R0, R5; \
	FMOVQ (R0), F0; \
	FMOVQ (R5), F1; \
	ADD   R9, R5; \
	FMOVQ (R5), F2; \
	FMOVQ (R1), F3; \
	MOVD  8(R1), R15; \
	ADD   R9, R1, R5; \
	FIRST(8, 0, 4); \
	SECOND(9, 1, 4); \
pixel: \
	PIXEL3(lower, upper, insert, shifted, plain); \
	BNE   pixel; \
	NEXT_ROW(row, last); \
row5: \
	ROW; \
	ADD   R14, R0, R1; \
	ADD   R14, R1, R2; \
	ADD   R14, R2, R3; \
	ADD   R14, R3, R4; \
	MOVD  R0, R5; \
	FMOVQ (R5), F0; \
	FMOVQ (R12), F8; \
	ADD   R9, R5; \
	FMOVQ (R5), F1; \
	FMOVQ 16(R12), F9; \
	ADD   R9, R5; \
	FMOVQ (R5), F2; \
	FMOVQ 32(R12), F10; \
	FIRST(8, 0, 4); \
	ADD   R9, R5; \
	FMOVQ (R5), F0; \
	MOVD  8(R5), R15; \
	FMOVQ 48(R12), F8; \
	MOVD  56(R12), R16; \
	ADD   R9, R5; \
	SECOND(9, 1, 4); \
pixel5: \
	PIXEL5(lower, upper, insert, shifted5, plain5); \
	BNE   pixel5; \
	NEXT_ROW(row5, last5); \
any: \
	ROW; \
	MOVD  R0, R25; \
pixelAny: \
	MOVD  R25, R0; \
	ADD   R13, R25; \
	MOVD  R12, R21; \
	MOVD  a_KH+48(FP), R22; \
	VMOV  V21.B16, V17.B16; \
	VMOV  V22.B16, V18.B16; \
	VMOV  V23.B16, V19.B16; \
	VMOV  V24.B16, V20.B16; \
	VEOR  V4.B16, V4.B16, V4.B16; \
	VEOR  V5.B16, V5.B16, V5.B16; \
taps: \
	MOVD  a_KW+56(FP), R23; \
	MOVD  R0, R5; \
	ADD   R14, R0; \
	SUBS  $2, R23; \
	BLT   odd; \
pairs: \
	PAIR(lower, upper, insert); \
	BGE   pairs; \
odd: \
	TBZ   $0, R23, even; \
	ODD(lower, upper, insert); \
even: \
	SUBS  $1, R22; \
	BNE   taps; \
	SUMS(4, 17); \
	FINISH(shiftedAny, plainAny); \
	BNE   pixelAny; \
	NEXT_ROW(any, lastAny)

// func depthwiseNEON(a tile.DepthwiseArgs)
TEXT ·depthwiseNEON(SB), NOSPLIT, $0-144
	DEPTHWISE(LOWER_A72, UPPER_A72, INSERT_A72)

// func depthwiseA53(a tile.DepthwiseArgs)
TEXT ·depthwiseA53(SB), NOSPLIT, $0-144
	DEPTHWISE(LOWER_A53, UPPER_A53, INSERT_A53)
