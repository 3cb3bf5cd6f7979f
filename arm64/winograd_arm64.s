//go:build !purego

#include "textflag.h"
#include "encode_arm64.h"
#include "requantize_arm64.h"

// Winograd's F(4x4, 3x3) for cores without dot product: see tile.Winograd. All
// transforms are integers. Where two of them are interleaved, nothing waits on a
// core that works in order.

// PRODUCT adds a tile's inputs in a lane, times the weights w of eight channels.
#define PRODUCT(lane, w, v, s) \
	SMLAL_4S_LANE(v, lane, w, s); \
	SMLAL2_4S_LANE(v, lane, w, s+1)

// PRODUCTS does so for all tiles, and loads weights or inputs that are needed next. A
// vector has one name to load and another one to complete, see LOAD_A53.
#define PRODUCTS(load, lane, w, next, earlier) \
	PRODUCT(lane, w, 0, 16); \
	load(32+16*lane, R1, next, earlier); \
	PRODUCT(lane, w, 1, 18); \
	PRODUCT(lane, w, 2, 20); \
	PRODUCT(lane, w, 3, 22); \
	PRODUCT(lane, w, 4, 24); \
	PRODUCT(lane, w, 5, 26); \
	PRODUCT(lane, w, 6, 28)

#define LAST_PRODUCTS(load) \
	PRODUCT(7, 10, 0, 16); \
	load(0, R0, F0, V7); \
	PRODUCT(7, 10, 1, 18); \
	load(16, R0, F1, V0); \
	PRODUCT(7, 10, 2, 20); \
	load(32, R0, F2, V1); \
	PRODUCT(7, 10, 3, 22); \
	load(48, R0, F3, V2); \
	PRODUCT(7, 10, 4, 24); \
	load(64, R0, F4, V3); \
	PRODUCT(7, 10, 5, 26); \
	load(80, R0, F5, V4); \
	PRODUCT(7, 10, 6, 28); \
	load(96, R0, F6, V5); \
	load(144, R1, F8, V6)

#define LOAD(at, base, vector, earlier) FMOVQ at(base), vector

// LOAD_A53 begins to load a vector and completes an earlier one: see neon_a53_arm64.s.
#define LOAD_A53(at, base, vector, earlier) \
	FMOVD at(base), vector; \
	VMOV  R10, earlier.D[1]; \
	MOVD  at+8(base), R10

#define STORE_SUMS(tile, lower, upper) \
	FMOVQ lower, tile*36*32(R9); \
	FMOVQ upper, tile*36*32+16(R9)

// MULTIPLY is the loops over elements, groups of tiles and eight inputs at a time. The
// weights of two inputs and the tiles' next inputs are loaded ahead: 32 bytes beyond
// the weights, 112 beyond the inputs.
//
//   R0 R1   inputs, weights      R2 R9 sums of the element, of the group
//   R3 R6   groups, and left     R4 R7 steps of eight inputs, and left
//   R5      elements left        R8    the element's weights
//   R10     upper half of V8 on its way
//   V0-V6   inputs of the group's tiles
//   V7-V10  weights of four inputs for eight channels
//   V16-V29 sums, two vectors for each tile
#define MULTIPLY(load) \
	MOVD a_Src+0(FP), R0; \
	MOVD a_Weights+8(FP), R8; \
	MOVD a_Dst+16(FP), R2; \
	MOVD a_Groups+24(FP), R3; \
	MOVD a_Steps+32(FP), R4; \
	MOVD $36, R5; \
	FLDPQ (R0), (F0, F1); \
	FLDPQ 32(R0), (F2, F3); \
	FLDPQ 64(R0), (F4, F5); \
	FMOVQ 96(R0), F6; \
	ADD  $112, R0; \
element: \
	MOVD R3, R6; \
	MOVD R2, R9; \
group: \
	MOVD R8, R1; \
	FLDPQ (R1), (F7, F8); \
	MOVD 24(R1), R10; \
	MOVD R4, R7; \
	VMOVI $0, V16.B16; \
	VMOVI $0, V17.B16; \
	VMOVI $0, V18.B16; \
	VMOVI $0, V19.B16; \
	VMOVI $0, V20.B16; \
	VMOVI $0, V21.B16; \
	VMOVI $0, V22.B16; \
	VMOVI $0, V23.B16; \
	VMOVI $0, V24.B16; \
	VMOVI $0, V25.B16; \
	VMOVI $0, V26.B16; \
	VMOVI $0, V27.B16; \
	VMOVI $0, V28.B16; \
	VMOVI $0, V29.B16; \
step: \
	PRFM 512(R1), PLDL1KEEP; \
	PRODUCTS(load, 0, 7, F9, V8); \
	PRFM 576(R1), PLDL1KEEP; \
	PRODUCTS(load, 1, 8, F10, V9); \
	PRFM 448(R0), PLDL1KEEP; \
	PRODUCTS(load, 2, 9, F7, V10); \
	PRFM 512(R0), PLDL1KEEP; \
	PRODUCTS(load, 3, 10, F8, V7); \
	SUBS $1, R7; \
	PRODUCTS(load, 4, 7, F9, V8); \
	PRODUCTS(load, 5, 8, F10, V9); \
	PRODUCTS(load, 6, 9, F7, V10); \
	LAST_PRODUCTS(load); \
	ADD  $112, R0; \
	ADD  $128, R1; \
	BNE  step; \
	STORE_SUMS(0, F16, F17); \
	STORE_SUMS(1, F18, F19); \
	STORE_SUMS(2, F20, F21); \
	STORE_SUMS(3, F22, F23); \
	STORE_SUMS(4, F24, F25); \
	STORE_SUMS(5, F26, F27); \
	STORE_SUMS(6, F28, F29); \
	ADD  $(7*36*32), R9; \
	SUBS $1, R6; \
	BNE  group; \
	MOVD R1, R8; \
	ADD  $32, R2; \
	SUBS $1, R5; \
	BNE  element; \
	RET

// func winogradMultiply(a tile.WinogradMultiply)
TEXT ·winogradMultiply(SB), NOSPLIT, $0-40
	MULTIPLY(LOAD)

// func winogradMultiplyA53(a tile.WinogradMultiply)
TEXT ·winogradMultiplyA53(SB), NOSPLIT, $0-40
	MULTIPLY(LOAD_A53)

// INPUT2 transforms six vectors a and six b, each in place; t and u are temporary.
//
//	 4  0 -5  0  1  0
//	 0  4  4 -1 -1  0
//	 0  4 -4 -1  1  0
//	 0 -2 -1  2  1  0
//	 0  2 -1 -2  1  0
//	 0  4  0 -5  0  1
#define INPUT2(a0, a1, a2, a3, a4, a5, t0, t1, t2, b0, b1, b2, b3, b4, b5, u0, u1, u2) \
	VSUB a1.H8, a3.H8, t0.H8; \
	VSUB b1.H8, b3.H8, u0.H8; \
	VSUB a2.H8, a4.H8, t1.H8; \
	VSUB b2.H8, b4.H8, u1.H8; \
	VSUB a2.H8, a0.H8, a0.H8; \
	VSUB b2.H8, b0.H8, b0.H8; \
	VSHL $2, t0.H8, t2.H8; \
	VSHL $2, u0.H8, u2.H8; \
	VSUB a3.H8, a5.H8, a5.H8; \
	VSUB b3.H8, b5.H8, b5.H8; \
	VSHL $2, a0.H8, a0.H8; \
	VSHL $2, b0.H8, b0.H8; \
	VADD t0.H8, t0.H8, t0.H8; \
	VADD u0.H8, u0.H8, u0.H8; \
	VSHL $2, a2.H8, a2.H8; \
	VSHL $2, b2.H8, b2.H8; \
	VSHL $2, a1.H8, a1.H8; \
	VSHL $2, b1.H8, b1.H8; \
	VSUB t2.H8, a5.H8, a5.H8; \
	VSUB u2.H8, b5.H8, b5.H8; \
	VADD t1.H8, a0.H8, a0.H8; \
	VADD u1.H8, b0.H8, b0.H8; \
	VSUB a4.H8, a2.H8, t2.H8; \
	VSUB b4.H8, b2.H8, u2.H8; \
	VSUB a3.H8, a1.H8, a2.H8; \
	VSUB b3.H8, b1.H8, b2.H8; \
	VADD t0.H8, t1.H8, a3.H8; \
	VADD u0.H8, u1.H8, b3.H8; \
	VSUB t0.H8, t1.H8, a4.H8; \
	VSUB u0.H8, u1.H8, b4.H8; \
	VADD a2.H8, t2.H8, a1.H8; \
	VADD b2.H8, u2.H8, b1.H8; \
	VSUB t2.H8, a2.H8, a2.H8; \
	VSUB u2.H8, b2.H8, b2.H8

// The same of bytes, along two rows r and s of eight channels of six pixels, for two
// elements at a time: a and b of row r, c and d of row s.
#define LOAD4(r, s) \
	FMOVD (r)(R7), F12; \
	FMOVD (r)(R8), F13; \
	FMOVD (s)(R7), F16; \
	FMOVD (s)(R8), F17; \
	FMOVD (r)(R9), F14; \
	FMOVD (r)(R10), F15; \
	FMOVD (s)(R9), F18; \
	FMOVD (s)(R10), F19

#define ELEMENTS12(r, s, a, b, c, d) \
	LOAD4(r, s); \
	SSHLL_8H(2, 13, 20); \
	SSHLL_8H(2, 17, 22); \
	SSHLL_8H(2, 12, 21); \
	SSHLL_8H(2, 16, 23); \
	SSUBW_8H(15, 20, 20); \
	SSUBW_8H(19, 22, 22); \
	SSUBW_8H(14, 21, 21); \
	SSUBW_8H(18, 23, 23); \
	VADD V21.H8, V20.H8, a.H8; \
	VADD V23.H8, V22.H8, c.H8; \
	VSUB V20.H8, V21.H8, b.H8; \
	VSUB V22.H8, V23.H8, d.H8

#define ELEMENTS34(r, s, a, b, c, d) \
	LOAD4(r, s); \
	SSUBL_8H(12, 14, 20); \
	SSUBL_8H(16, 18, 22); \
	SSUBL_8H(13, 15, 21); \
	SSUBL_8H(17, 19, 23); \
	VADD V20.H8, V20.H8, V20.H8; \
	VADD V22.H8, V22.H8, V22.H8; \
	VADD V20.H8, V21.H8, a.H8; \
	VADD V22.H8, V23.H8, c.H8; \
	VSUB V20.H8, V21.H8, b.H8; \
	VSUB V22.H8, V23.H8, d.H8

#define ELEMENTS05(r, s, a, b, c, d) \
	LOAD4(r, s); \
	FMOVD (r), F24; \
	FMOVD (r)(R19), F25; \
	FMOVD (s), F26; \
	FMOVD (s)(R19), F27; \
	SSUBL_8H(13, 24, 21); \
	SSUBL_8H(17, 26, 23); \
	SSUBL_8H(12, 14, 20); \
	SSUBL_8H(16, 18, 22); \
	SSUBL_8H(13, 15, 13); \
	SSUBL_8H(17, 19, 17); \
	VSHL $2, V21.H8, V21.H8; \
	VSHL $2, V23.H8, V23.H8; \
	SSUBL_8H(14, 25, 14); \
	SSUBL_8H(18, 27, 18); \
	VSHL $2, V20.H8, V20.H8; \
	VSHL $2, V22.H8, V22.H8; \
	VADD V21.H8, V13.H8, a.H8; \
	VADD V23.H8, V17.H8, c.H8; \
	VSUB V20.H8, V14.H8, b.H8; \
	VSUB V22.H8, V18.H8, d.H8

// COLUMNS makes two columns of elements of all rows.
#define COLUMNS(elements) \
	elements(R1, R2, V0, V6, V1, V7); \
	elements(R3, R4, V2, V8, V3, V9); \
	elements(R5, R6, V4, V10, V5, V11); \
	INPUT2(V0, V1, V2, V3, V4, V5, V12, V13, V14, V6, V7, V8, V9, V10, V11, V15, V16, V17); \
	VST1.P [V0.H8], (R12)(R13); \
	VST1.P [V6.H8], (R14)(R13); \
	VST1.P [V1.H8], (R12)(R13); \
	VST1.P [V7.H8], (R14)(R13); \
	VST1.P [V2.H8], (R12)(R13); \
	VST1.P [V8.H8], (R14)(R13); \
	VST1.P [V3.H8], (R12)(R13); \
	VST1.P [V9.H8], (R14)(R13); \
	VST1.P [V4.H8], (R12)(R13); \
	VST1.P [V10.H8], (R14)(R13); \
	VST1   [V5.H8], (R12); \
	VST1   [V11.H8], (R14)

// func winogradInput(a tile.WinogradInput)
//
//   R0      window of the tile               R1-R6 its rows, next channels
//   R7-R10 R19  1 to 5 pixels                R11 blocks of channels left
//   R12 R14 next elements of two columns     R13 R22 from one row of elements, one element to the next
//   R15     tiles left                       R16 from one row to the next
//   R17     elements of the tile             R20 those of the block
//   R21     blocks of channels
TEXT ·winogradInput(SB), NOSPLIT, $0-56
	MOVD a_Src+0(FP), R0
	MOVD a_Dst+8(FP), R17
	MOVD a_Tiles+16(FP), R15
	MOVD a_Blocks+24(FP), R21
	MOVD a_SrcRow+32(FP), R16
	MOVD a_SrcStep+40(FP), R7
	MOVD a_DstStep+48(FP), R22
	LSL  $1, R7, R8
	ADD  R7, R8, R9
	LSL  $2, R7, R10
	ADD  R7, R10, R19
	ADD  R22<<1, R22, R13
	LSL  $1, R13

tile:
	MOVD R0, R1
	ADD  R16, R1, R2
	ADD  R16, R2, R3
	ADD  R16, R3, R4
	ADD  R16, R4, R5
	ADD  R16, R5, R6
	MOVD R17, R20
	MOVD R21, R11

block:
	ADD  R22, R20, R12
	ADD  R22, R12, R14
	COLUMNS(ELEMENTS12)
	ADD  R22<<1, R20, R12
	ADD  R22, R12
	ADD  R22, R12, R14
	COLUMNS(ELEMENTS34)
	MOVD R20, R12
	ADD  R22<<2, R20, R14
	ADD  R22, R14
	COLUMNS(ELEMENTS05)
	ADD  $8, R1
	ADD  $8, R2
	ADD  $8, R3
	ADD  $8, R4
	ADD  $8, R5
	ADD  $8, R6
	ADD  $112, R20
	SUBS $1, R11
	BNE  block
	ADD  R7<<2, R0
	ADD  $16, R17
	SUBS $1, R15
	BNE  tile
	RET

// OUTPUT2 transforms six vectors a to the first four of them, and six b; t and u
// are temporary.
//
//	1  1  1  1  1  0
//	0  1 -1  2 -2  0
//	0  1  1  4  4  0
//	0  1 -1  8 -8  2
#define OUTPUT2(a0, a1, a2, a3, a4, a5, t, b0, b1, b2, b3, b4, b5, u) \
	VADD a2.S4, a1.S4, t.S4; \
	VADD b2.S4, b1.S4, u.S4; \
	VSUB a2.S4, a1.S4, a1.S4; \
	VSUB b2.S4, b1.S4, b1.S4; \
	VADD a4.S4, a3.S4, a2.S4; \
	VADD b4.S4, b3.S4, b2.S4; \
	VSUB a4.S4, a3.S4, a3.S4; \
	VSUB b4.S4, b3.S4, b3.S4; \
	VADD t.S4, a0.S4, a0.S4; \
	VADD u.S4, b0.S4, b0.S4; \
	VADD a3.S4, a3.S4, a4.S4; \
	VADD b3.S4, b3.S4, b4.S4; \
	VADD a2.S4, a0.S4, a0.S4; \
	VADD b2.S4, b0.S4, b0.S4; \
	VSHL $2, a2.S4, a2.S4; \
	VSHL $2, b2.S4, b2.S4; \
	VADD a4.S4, a4.S4, a3.S4; \
	VADD b4.S4, b4.S4, b3.S4; \
	VADD t.S4, a2.S4, a2.S4; \
	VADD u.S4, b2.S4, b2.S4; \
	VADD a5.S4, a3.S4, a3.S4; \
	VADD b5.S4, b3.S4, b3.S4; \
	VADD a3.S4, a3.S4, a3.S4; \
	VADD b3.S4, b3.S4, b3.S4; \
	VADD a1.S4, a3.S4, a3.S4; \
	VADD b1.S4, b3.S4, b3.S4; \
	VADD a4.S4, a1.S4, a1.S4; \
	VADD b4.S4, b1.S4, b1.S4

// COLUMN loads the six elements of a column.
#define COLUMN(x, m0, m1, m2, m3, m4, m5) \
	FMOVQ (x+0)*32(R0), m0; \
	FMOVQ (x+6)*32(R0), m1; \
	FMOVQ (x+12)*32(R0), m2; \
	FMOVQ (x+18)*32(R0), m3; \
	FMOVQ (x+24)*32(R0), m4; \
	FMOVQ (x+30)*32(R0), m5

#define DIVIDE_BY_9(s) MUL_4S(26, s, s)
#define UNSCALE(s)     SSHR_4S(6, s, s)
#define SHIFT(s)       SSHL_4S(27, s, s)
#define REQUANTIZE(s)    SQRDMULH_4S(28, s, s)

#define EIGHT(op, s, t) \
	op(s); \
	op(t); \
	op(s+4); \
	op(t+4); \
	op(s+8); \
	op(t+8); \
	op(s+12); \
	op(t+12)

// RESIDUAL adds the residuals of a row's four pixels.
#define RESIDUAL(s) \
	MOVD R5, R9; \
	VLD1.P (R9)(R7), V31.S[0]; \
	VLD1.P (R9)(R7), V31.S[1]; \
	VLD1.P (R9)(R7), V31.S[2]; \
	VLD1   (R9), V31.S[3]; \
	ADD  R6, R5; \
	SXTL_8H(31, 24); \
	SXTL2_8H(31, 25); \
	SMLAL_4S(29, 24, s); \
	SMLAL2_4S(29, 24, s+4); \
	SMLAL_4S(29, 25, s+8); \
	SMLAL2_4S(29, 25, s+12)

#define STORE(v) \
	MOVD R3, R9; \
	VST1.P v.S[0], (R9)(R8); \
	VST1.P v.S[1], (R9)(R8); \
	VST1.P v.S[2], (R9)(R8); \
	VST1   v.S[3], (R9); \
	ADD  R4, R3

// OUTPUT_ROWS makes the outputs of rows s and t.
#define OUTPUT_ROWS(s, t, shifted, residual) \
	EIGHT(DIVIDE_BY_9, s, t); \
	EIGHT(UNSCALE, s, t); \
	CBZ  R15, shifted; \
	EIGHT(SHIFT, s, t); \
shifted: \
	EIGHT(REQUANTIZE, s, t); \
	CBZ  R5, residual; \
	RESIDUAL(s); \
	RESIDUAL(t); \
residual: \
	ROUND_LOW(s, 24); \
	ROUND_LOW(s+8, 25); \
	ROUND_LOW(t, 31); \
	ROUND_LOW(t+8, s); \
	ROUND_HIGH(s+4, 24); \
	ROUND_HIGH(s+12, 25); \
	ROUND_HIGH(t+4, 31); \
	ROUND_HIGH(t+12, s); \
	SQXTN_8B(24, 24); \
	SQXTN_8B(31, 31); \
	SQXTN2_16B(25, 24); \
	SQXTN2_16B(s, 31); \
	STORE(V24); \
	STORE(V31)

// func winogradOutput(a tile.WinogradOutput)
//
// The sums are those of the convolution times 576 = 9<<6, modulo 1<<32: times the
// inverse of 9 they are 1<<6 times as large, exactly.
//
//   R0      sums of the tile                         R1     the inverse of 9
//   R3 R4   row of outputs, from one to the next     R5 R6  the same of residuals
//   R7 R8   from pixel to pixel in both              R9     next pixel
//   R11 R12 outputs and residuals of the tile        R13    tiles left
//   R15     shift                                    R16    multipliers
//   R17     ratio
//   V0-V23  four rows of six columns of sums, then outputs; V30 bias
TEXT ·winogradOutput(SB), NOSPLIT, $0-96
	MOVD a_Src+0(FP), R0
	MOVD a_Dst+8(FP), R11
	MOVD a_Res+16(FP), R12
	MOVD a_Bias+24(FP), R1
	MOVD a_Multiplier+32(FP), R16
	MOVD a_Tiles+40(FP), R13
	MOVD a_DstRow+48(FP), R4
	MOVD a_DstStep+56(FP), R8
	MOVD a_ResRow+64(FP), R6
	MOVD a_ResStep+72(FP), R7
	MOVD a_Shift+80(FP), R15
	MOVD a_Ratio+88(FP), R17
	FMOVQ (R1), F30
	MOVD $0x38E38E39, R1

tile:
	COLUMN(0, F0, F1, F2, F3, F24, F25)
	COLUMN(1, F4, F5, F6, F7, F27, F28)
	VADD V30.S4, V5.S4, V5.S4
	OUTPUT2(V0, V1, V2, V3, V24, V25, V26, V4, V5, V6, V7, V27, V28, V29)
	COLUMN(2, F8, F9, F10, F11, F24, F25)
	COLUMN(3, F12, F13, F14, F15, F27, F28)
	OUTPUT2(V8, V9, V10, V11, V24, V25, V26, V12, V13, V14, V15, V27, V28, V29)
	COLUMN(4, F16, F17, F18, F19, F24, F25)
	COLUMN(5, F20, F21, F22, F23, F27, F28)
	OUTPUT2(V16, V17, V18, V19, V24, V25, V26, V20, V21, V22, V23, V27, V28, V29)
	VDUP R1, V26.S4
	VDUP R15, V27.S4
	FMOVQ (R16), F28
	VDUP R17, V29.H8
	MOVD R11, R3
	MOVD R12, R5
	OUTPUT2(V0, V4, V8, V12, V16, V20, V24, V1, V5, V9, V13, V17, V21, V25)
	OUTPUT_ROWS(0, 1, shifted, upper)
	OUTPUT2(V2, V6, V10, V14, V18, V22, V24, V3, V7, V11, V15, V19, V23, V25)
	OUTPUT_ROWS(2, 3, both, lower)
	ADD  $(36*32), R0
	ADD  R8<<2, R11
	CBZ  R12, next
	ADD  R7<<2, R12

next:
	SUBS $1, R13
	BNE  tile
	RET
