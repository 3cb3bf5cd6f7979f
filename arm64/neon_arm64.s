//go:build !purego

#include "textflag.h"
#include "encode_arm64.h"
#include "requantize_arm64.h"

// Tiles of 4 or 3 pixels by 4 output channels, for out-of-order cores without
// dot product. Each pair of pixel and channel has a vector of four sums. A step
// multiplies 16 values of a pixel with 16 weights of a channel: SMULL the lower
// eight, SMLAL2 the upper eight into the same 16-bit lanes, where two products
// always fit (2*128*127 < 1<<15), and SADALP adds pairs of lanes to the sums.
// A Cortex-A72 multiplies on one of its two vector pipes only, so that SADALP
// costs nothing there.
//
//   R0-R3   windows of the tile's pixels    R4  weights
//   R5      steps left in the row           R6  rows left in the window
//   R7 R10  output and its step             R8 R11 residual and its step
//   R9      panel                           R12 from a row's end to the next row
//   R13     tiles left                      R14 R15 window of the next tile, step
//   R16     steps in a row                  R17 rows in a window
//   R19     ratio of the residual           R20 shift
//   R21     from one tile's windows to the next one's
//   R22 R23 to a line of the next panel, of each two another one in the next tile
//   V0-V7   inputs of the pixels, two steps each
//   V8-V11  weights of the channels, one step
//   V12-V15 products
//   V16-V31 sums: V16-V19 the channels of the first pixel, and so on

// WINDOWS applies a macro to each pixel's window and its registers of values.
#define WINDOWS3(op) \
	op(R0, F0, F4); \
	op(R1, F1, F5); \
	op(R2, F2, F6)

#define WINDOWS4(op) \
	WINDOWS3(op); \
	op(R3, F3, F7)

#define LOAD32(window, first, second)  FLDPQ.P 32(window), (first, second)
#define LOAD16(window, first, second)  FMOVQ.P 16(window), first
#define ADVANCE(window, first, second) ADD R12, window

// PRODUCTS applies a macro to the products p of a channel's weights w with the
// values of each pixel, from a on, and to the channel's sums, from s on. Products
// of all pixels are in flight at a time, which hides the latency.
#define PRODUCTS3(op, w, a, s) \
	op(w, a, 12, s); \
	op(w, a+1, 13, s+4); \
	op(w, a+2, 14, s+8)

#define PRODUCTS4(op, w, a, s) \
	PRODUCTS3(op, w, a, s); \
	op(w, a+3, 15, s+12)

#define LOWER(w, a, p, s) SMULL_8H(w, a, p)
#define UPPER(w, a, p, s) SMLAL2_8H(w, a, p)
#define ADD_PAIRS(w, a, p, s) SADALP_4S(p, s)

#define CHANNEL(products, w, a, s) \
	products(LOWER, w, a, s); \
	products(UPPER, w, a, s); \
	products(ADD_PAIRS, w, a, s)

#define STEP(products, a) \
	FLDPQ.P 32(R4), (F8, F9); \
	FLDPQ.P 32(R4), (F10, F11); \
	CHANNEL(products, 8, a, 16); \
	CHANNEL(products, 9, a, 17); \
	CHANNEL(products, 10, a, 18); \
	CHANNEL(products, 11, a, 19)

// BEGIN sets the windows of a tile's pixels.
#define BEGIN3 \
	MOVD R14, R0; \
	ADD  R15, R0, R1; \
	ADD  R15, R1, R2

#define BEGIN4 \
	BEGIN3; \
	ADD  R15, R2, R3

#define BIAS3 \
	BIAS(F16, F17, F18, F19); \
	BIAS(F20, F21, F22, F23); \
	BIAS(F24, F25, F26, F27)

#define BIAS4 \
	BIAS3; \
	BIAS(F28, F29, F30, F31)

// SUMS applies a macro to each pixel's lane in V2 and V16, and to its sums.
#define SUMS3(op) \
	op(0, 16, V16, V17, V18, V19); \
	op(1, 20, V20, V21, V22, V23); \
	op(2, 24, V24, V25, V26, V27)

#define SUMS4(op) \
	SUMS3(op); \
	op(3, 28, V28, V29, V30, V31)

// ADD_LANES adds up each of four vectors: one lane for each channel, in v0.
#define ADD_LANES(lane, s, v0, v1, v2, v3) \
	VADDP v1.S4, v0.S4, v0.S4; \
	VADDP v3.S4, v2.S4, v2.S4; \
	VADDP v2.S4, v0.S4, v0.S4

#define SHIFT(lane, s, v0, v1, v2, v3)    SSHL_4S(1, s, s)
#define MULTIPLY(lane, s, v0, v1, v2, v3) SQRDMULH_4S(0, s, s)
#define LOAD_RESIDUAL(lane, s, v0, v1, v2, v3) VLD1.P (R8)(R11), V2.S[lane]
#define STORE(lane, s, v0, v1, v2, v3)         VST1.P V16.S[lane], (R7)(R10)
#define STORE_SUMS(lane, s, v0, v1, v2, v3)    VST1.P [v0.S4], (R7)(R10)

#define ADD_RESIDUAL3 \
	SMLAL_4S_LANE(1, 0, 3, 16); \
	SMLAL2_4S_LANE(1, 0, 3, 20); \
	SMLAL_4S_LANE(1, 0, 4, 24)

#define ADD_RESIDUAL4 \
	ADD_RESIDUAL3; \
	SMLAL2_4S_LANE(1, 0, 4, 28)

#define ROUND3 \
	ROUND_LOW(16, 16); \
	ROUND_LOW(24, 24); \
	ROUND_HIGH(20, 16)

#define ROUND4 \
	ROUND3; \
	ROUND_HIGH(28, 24)

// REQUANTIZE ends a tile. V0 are the multipliers.
#define REQUANTIZE(sums, residual, round) \
	SHIFT_SUMS(R20, V1, sums); \
	sums(MULTIPLY); \
	CBZ  R8, narrow; \
	VDUP R19, V1.H8; \
	sums(LOAD_RESIDUAL); \
	SXTL_8H(2, 3); \
	SXTL2_8H(2, 4); \
	residual; \
narrow: \
	round; \
	SQXTN_8B(16, 16); \
	SQXTN2_16B(24, 16); \
	sums(STORE)

// TILES is the loops over panels and tiles.
#define TILES(pixels, begin, bias, windows, products, sums, end) \
	GAPS(pixels); \
panel: \
	ARGUMENTS4(R14, R15); \
	MOVD a_SrcNext+88(FP), R21; \
	MOVD a_Shift+112(FP), R20; \
	MOVD a_Ratio+120(FP), R19; \
	MOVD a_PanelNext+152(FP), R23; \
	SUB  $64, R23; \
	SUB  R16<<4, R12; \
tile: \
	begin; \
	ADD  R21, R14; \
	AND  $1, R13, R22; \
	ADD  R22<<6, R23, R22; \
	ADD  $32, R9, R4; \
	MOVD R17, R6; \
	bias; \
row: \
	SUBS $2, R16, R5; \
	BLT  odd; \
steps: \
	windows(LOAD32); \
	STEP(products, 0); \
	PRFM_L2(22, 4); \
	STEP(products, 4); \
	SUBS $2, R5; \
	BGE  steps; \
odd: \
	TBZ  $0, R16, next; \
	windows(LOAD16); \
	STEP(products, 0); \
next: \
	windows(ADVANCE); \
	SUBS $1, R6; \
	BNE  row; \
	FMOVQ 16(R9), F0; \
	sums(ADD_LANES); \
	end; \
	NEXT_OUTPUT(R7, R8, R5); \
	SUBS $1, R13; \
	BNE  tile; \
	NEXT_PANEL(4, panel, R5, R6)

// func conv4NEON(a tile.Args)
TEXT ·conv4NEON(SB), NOSPLIT, $0-160
	TILES(4, BEGIN4, BIAS4, WINDOWS4, PRODUCTS4, SUMS4, REQUANTIZE(SUMS4, ADD_RESIDUAL4, ROUND4))

// func conv3NEON(a tile.Args)
TEXT ·conv3NEON(SB), NOSPLIT, $0-160
	TILES(3, BEGIN3, BIAS3, WINDOWS3, PRODUCTS3, SUMS3, REQUANTIZE(SUMS3, ADD_RESIDUAL3, ROUND3))

// func sums4NEON(a tile.Args)
TEXT ·sums4NEON(SB), NOSPLIT, $0-160
	TILES(4, BEGIN4, BIAS4, WINDOWS4, PRODUCTS4, SUMS4, SUMS4(STORE_SUMS))
