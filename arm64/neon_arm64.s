//go:build !purego

#include "textflag.h"
#include "encode_arm64.h"

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
//   V0-V7   inputs of the pixels, two steps each
//   V8-V11  weights of the channels, one step
//   V12-V15 products
//   V16-V31 sums: V16-V19 the channels of the first pixel, and so on

#define ARGUMENTS \
	MOVD a_Src+0(FP), R14; \
	MOVD a_Dst+8(FP), R7; \
	MOVD a_Res+16(FP), R8; \
	MOVD a_Panel+24(FP), R9; \
	MOVD a_Tiles+32(FP), R13; \
	MOVD a_Runs+40(FP), R17; \
	MOVD a_Steps+48(FP), R16; \
	MOVD a_SrcRow+56(FP), R12; \
	MOVD a_SrcStep+64(FP), R15; \
	MOVD a_DstStep+72(FP), R10; \
	MOVD a_ResStep+80(FP), R11; \
	MOVD a_Shift+112(FP), R20; \
	MOVD a_Ratio+120(FP), R19; \
	SUB  R16<<4, R12

#define WEIGHTS \
	FLDPQ.P 32(R4), (F8, F9); \
	FLDPQ.P 32(R4), (F10, F11)

// CHANNEL4 multiplies the weights w of a channel with the inputs a of the
// pixels; s are the sums. Four products in flight hide the latency.
#define CHANNEL4(w, a0, a1, a2, a3, s0, s1, s2, s3) \
	SMULL_8H(w, a0, 12); \
	SMULL_8H(w, a1, 13); \
	SMULL_8H(w, a2, 14); \
	SMULL_8H(w, a3, 15); \
	SMLAL2_8H(w, a0, 12); \
	SMLAL2_8H(w, a1, 13); \
	SMLAL2_8H(w, a2, 14); \
	SMLAL2_8H(w, a3, 15); \
	SADALP_4S(12, s0); \
	SADALP_4S(13, s1); \
	SADALP_4S(14, s2); \
	SADALP_4S(15, s3)

#define STEP4(a0, a1, a2, a3) \
	WEIGHTS; \
	CHANNEL4(8, a0, a1, a2, a3, 16, 20, 24, 28); \
	CHANNEL4(9, a0, a1, a2, a3, 17, 21, 25, 29); \
	CHANNEL4(10, a0, a1, a2, a3, 18, 22, 26, 30); \
	CHANNEL4(11, a0, a1, a2, a3, 19, 23, 27, 31)

#define CHANNEL3(w, a0, a1, a2, s0, s1, s2) \
	SMULL_8H(w, a0, 12); \
	SMULL_8H(w, a1, 13); \
	SMULL_8H(w, a2, 14); \
	SMLAL2_8H(w, a0, 12); \
	SMLAL2_8H(w, a1, 13); \
	SMLAL2_8H(w, a2, 14); \
	SADALP_4S(12, s0); \
	SADALP_4S(13, s1); \
	SADALP_4S(14, s2)

#define STEP3(a0, a1, a2) \
	WEIGHTS; \
	CHANNEL3(8, a0, a1, a2, 16, 20, 24); \
	CHANNEL3(9, a0, a1, a2, 17, 21, 25); \
	CHANNEL3(10, a0, a1, a2, 18, 22, 26); \
	CHANNEL3(11, a0, a1, a2, 19, 23, 27)

// BIAS begins a pixel's sums: a scalar load clears the other three lanes.
#define BIAS(s0, s1, s2, s3) \
	FLDPS (R9), (s0, s1); \
	FLDPS 8(R9), (s2, s3)

// ADD4 adds up each of four vectors: one lane for each channel, in s0.
#define ADD4(s0, s1, s2, s3) \
	VADDP s1.S4, s0.S4, s0.S4; \
	VADDP s3.S4, s2.S4, s2.S4; \
	VADDP s2.S4, s0.S4, s0.S4

// SUMS4 makes the sums of a tile of 4 pixels: in V16, V20, V24 and V28, one lane
// for each channel. V0 are the multipliers.
#define SUMS4 \
tile: \
	MOVD R14, R0; \
	ADD  R15, R0, R1; \
	ADD  R15, R1, R2; \
	ADD  R15, R2, R3; \
	ADD  R15, R3, R14; \
	ADD  $32, R9, R4; \
	MOVD R17, R6; \
	BIAS(F16, F17, F18, F19); \
	BIAS(F20, F21, F22, F23); \
	BIAS(F24, F25, F26, F27); \
	BIAS(F28, F29, F30, F31); \
row: \
	SUBS $2, R16, R5; \
	BLT  odd; \
steps: \
	FLDPQ.P 32(R0), (F0, F4); \
	FLDPQ.P 32(R1), (F1, F5); \
	FLDPQ.P 32(R2), (F2, F6); \
	FLDPQ.P 32(R3), (F3, F7); \
	STEP4(0, 1, 2, 3); \
	STEP4(4, 5, 6, 7); \
	SUBS    $2, R5; \
	BGE     steps; \
odd: \
	TBZ     $0, R16, next; \
	FMOVQ.P 16(R0), F0; \
	FMOVQ.P 16(R1), F1; \
	FMOVQ.P 16(R2), F2; \
	FMOVQ.P 16(R3), F3; \
	STEP4(0, 1, 2, 3); \
next: \
	ADD  R12, R0; \
	ADD  R12, R1; \
	ADD  R12, R2; \
	ADD  R12, R3; \
	SUBS $1, R6; \
	BNE  row; \
	FMOVQ 16(R9), F0; \
	ADD4(V16, V17, V18, V19); \
	ADD4(V20, V21, V22, V23); \
	ADD4(V24, V25, V26, V27); \
	ADD4(V28, V29, V30, V31)

// func conv4NEON(a tile.Args)
TEXT ·conv4NEON(SB), NOSPLIT, $0-136
	ARGUMENTS

	SUMS4
	CBZ   R20, multiply
	VDUP  R20, V1.S4
	SSHL_4S(1, 16, 16)
	SSHL_4S(1, 20, 20)
	SSHL_4S(1, 24, 24)
	SSHL_4S(1, 28, 28)

multiply:
	SQRDMULH_4S(0, 16, 16)
	SQRDMULH_4S(0, 20, 20)
	SQRDMULH_4S(0, 24, 24)
	SQRDMULH_4S(0, 28, 28)
	CBZ    R8, narrow
	VDUP   R19, V1.H8
	VLD1.P (R8)(R11), V2.S[0]
	VLD1.P (R8)(R11), V2.S[1]
	VLD1.P (R8)(R11), V2.S[2]
	VLD1.P (R8)(R11), V2.S[3]
	SXTL_8H(2, 3)
	SXTL2_8H(2, 4)
	SMLAL_4S_LANE(1, 0, 3, 16)
	SMLAL2_4S_LANE(1, 0, 3, 20)
	SMLAL_4S_LANE(1, 0, 4, 24)
	SMLAL2_4S_LANE(1, 0, 4, 28)

narrow:
	SQRSHRN_4H(6, 16, 16)
	SQRSHRN_4H(6, 24, 24)
	SQRSHRN2_8H(6, 20, 16)
	SQRSHRN2_8H(6, 28, 24)
	SQXTN_8B(16, 16)
	SQXTN2_16B(24, 16)
	VST1.P V16.S[0], (R7)(R10)
	VST1.P V16.S[1], (R7)(R10)
	VST1.P V16.S[2], (R7)(R10)
	VST1.P V16.S[3], (R7)(R10)
	SUBS   $1, R13
	BNE    tile
	RET

// func sums4NEON(a tile.Args)
TEXT ·sums4NEON(SB), NOSPLIT, $0-136
	ARGUMENTS
	SUMS4
	VST1.P [V16.S4], (R7)(R10)
	VST1.P [V20.S4], (R7)(R10)
	VST1.P [V24.S4], (R7)(R10)
	VST1.P [V28.S4], (R7)(R10)
	SUBS   $1, R13
	BNE    tile
	RET

// func conv3NEON(a tile.Args)
TEXT ·conv3NEON(SB), NOSPLIT, $0-136
	ARGUMENTS

tile:
	MOVD R14, R0
	ADD  R15, R0, R1
	ADD  R15, R1, R2
	ADD  R15, R2, R14
	ADD  $32, R9, R4
	MOVD R17, R6
	BIAS(F16, F17, F18, F19)
	BIAS(F20, F21, F22, F23)
	BIAS(F24, F25, F26, F27)

row:
	SUBS $2, R16, R5
	BLT  odd

steps:
	FLDPQ.P 32(R0), (F0, F4)
	FLDPQ.P 32(R1), (F1, F5)
	FLDPQ.P 32(R2), (F2, F6)
	STEP3(0, 1, 2)
	STEP3(4, 5, 6)
	SUBS    $2, R5
	BGE     steps

odd:
	TBZ     $0, R16, next
	FMOVQ.P 16(R0), F0
	FMOVQ.P 16(R1), F1
	FMOVQ.P 16(R2), F2
	STEP3(0, 1, 2)

next:
	ADD  R12, R0
	ADD  R12, R1
	ADD  R12, R2
	SUBS $1, R6
	BNE  row

	FMOVQ 16(R9), F0 // multipliers
	ADD4(V16, V17, V18, V19)
	ADD4(V20, V21, V22, V23)
	ADD4(V24, V25, V26, V27)
	CBZ   R20, multiply
	VDUP  R20, V1.S4
	SSHL_4S(1, 16, 16)
	SSHL_4S(1, 20, 20)
	SSHL_4S(1, 24, 24)

multiply:
	SQRDMULH_4S(0, 16, 16)
	SQRDMULH_4S(0, 20, 20)
	SQRDMULH_4S(0, 24, 24)
	CBZ    R8, narrow
	VDUP   R19, V1.H8
	VLD1.P (R8)(R11), V2.S[0]
	VLD1.P (R8)(R11), V2.S[1]
	VLD1.P (R8)(R11), V2.S[2]
	SXTL_8H(2, 3)
	SXTL2_8H(2, 4)
	SMLAL_4S_LANE(1, 0, 3, 16)
	SMLAL2_4S_LANE(1, 0, 3, 20)
	SMLAL_4S_LANE(1, 0, 4, 24)

narrow:
	SQRSHRN_4H(6, 16, 16)
	SQRSHRN_4H(6, 24, 24)
	SQRSHRN2_8H(6, 20, 16)
	SQXTN_8B(16, 16)
	SQXTN2_16B(24, 16)
	VST1.P V16.S[0], (R7)(R10)
	VST1.P V16.S[1], (R7)(R10)
	VST1.P V16.S[2], (R7)(R10)
	SUBS   $1, R13
	BNE    tile
	RET
