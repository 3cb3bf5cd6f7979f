//go:build !purego

#include "textflag.h"
#include "encode_arm64.h"
#include "requantize_arm64.h"

// Tiles of 3 or 2 pixels by 4 output channels for the Cortex-A53. It issues up
// to two instructions a cycle, in order: at most one vector instruction, and
// beside it an integer one or a load of an X register. A load of a D register
// goes beside an insertion into a vector, a load of a Q register beside nothing
// for two cycles. So vectors are loaded in halves: the lower one as D beside
// the insertion of an earlier vector's upper half, the upper one as X beside a
// product. Of 3 pixels, 384 products cost 60 cycles of sums and 14 of loads. The
// order is such that nothing waits: a load is three cycles before its use, an
// insertion two, products of one sum are four apart.
//
// Each pair of pixel and channel has eight 16-bit sums of products and four
// 32-bit sums, to which SADALP adds them. Two products always fit 16 bits: a
// step of 16 values (the loop steps). Nearly always four do: two steps (the loop
// pairs) with half as many SADALP. Where the weights do not allow it, see
// wideA53, a flag behind the weights asks for SADALP between the two.
//
// A turn of a loop also begins the next turn's loads. The last one in a row
// goes on with the next row, the last one of a tile with the next tile, and the
// very last one stays where it is, so that nothing is read beyond the windows.
//
//   R0-R2   windows of the pixels           R3 R24 upper halves on their way
//   R4      weights                         R5 R6 turns left in row and tile
//   R7 R10  output and its step             R8 R11 residual and its step
//   R9      panel                           R12 from a row's last turn to the next row
//   R13     tiles left                      R14 back to the first weights
//   R15 R23 weights, inputs of a turn       R16 R17 turns in a row, in a tile
//   R19 R20 flags of all turns, of the next ones
//   R21 R22 to the next turn's inputs, weights
//   R25     1 for the loop steps            R26 from a tile's last turn to the next tile
//
// Sums of pixel i and channel j are 32 bits wide in V(20+4i+j), 16 bits wide
// in V(8+3j+i) of 3 pixels and V(8+2j+i) of 2.

// ARGUMENTS leaves the step of windows in R2.
#define ARGUMENTS \
	ARGUMENTS4(R0, R2); \
	MOVD a_SrcNext+88(FP), R26; \
	MSUB R12, R26, R17, R26; \
	AND  $1, R16, R25; \ // an odd number of steps has no pairs
	EOR  $1, R25, R21; \
	MOVD $16, R23; \
	LSL  R21, R23; \
	LSL  $2, R23, R15; \
	SUB  R16<<4, R12; \
	ADD  R23, R12; \
	ADD  R12, R26; \
	LSR  R21, R16; \
	MUL  R16, R17; \
	MNEG R15, R17, R14; \
	ADD  R15, R14; \
	MOVD R16, R5; \
	ADD  $32, R9, R4; \
	MADD R15, R4, R17, R19

// NEXT begins to load a vector and ends the load of an earlier one.
#define NEXT(lower, upper, vector, x, earlier) \
	FMOVD lower, vector; \
	VMOV  x, earlier.D[1]; \
	MOVD  upper, x

// Products of a channel's weights w with the inputs a of the pixels: the lower
// halves, as new sums p or added to them, and the upper halves.
#define FIRST3(w, a0, a1, a2, p) \
	SMULL_8H(w, a0, p); \
	SMULL_8H(w, a1, p+1); \
	SMULL_8H(w, a2, p+2)

#define LOWER3(w, a0, a1, a2, p) \
	SMLAL_8H(w, a0, p); \
	SMLAL_8H(w, a1, p+1); \
	SMLAL_8H(w, a2, p+2)

#define UPPER3(w, a0, a1, a2, p) \
	SMLAL2_8H(w, a0, p); \
	SMLAL2_8H(w, a1, p+1); \
	SMLAL2_8H(w, a2, p+2)

#define FIRST2(w, a, p) \
	SMULL_8H(w, a, p); \
	SMULL_8H(w, a+1, p+1)

#define LOWER2(w, a, p) \
	SMLAL_8H(w, a, p); \
	SMLAL_8H(w, a+1, p+1)

#define UPPER2(w, a, p) \
	SMLAL2_8H(w, a, p); \
	SMLAL2_8H(w, a+1, p+1)

// SUM adds a channel's 16-bit sums p to its 32-bit sums s.
#define SUM3(p, s) \
	SADALP_4S(p, s); \
	SADALP_4S(p+1, s+4); \
	SADALP_4S(p+2, s+8)

#define SUM2(p, s) \
	SADALP_4S(p, s); \
	SADALP_4S(p+1, s+4)

// CLEAR begins the 16-bit sums anew.
#define CLEAR2 \
	VMOVI $0, V8.B16; \
	VMOVI $0, V9.B16; \
	VMOVI $0, V10.B16; \
	VMOVI $0, V11.B16; \
	VMOVI $0, V12.B16; \
	VMOVI $0, V13.B16; \
	VMOVI $0, V14.B16; \
	VMOVI $0, V15.B16

#define CLEAR3 \
	CLEAR2; \
	VMOVI $0, V16.B16; \
	VMOVI $0, V17.B16; \
	VMOVI $0, V18.B16; \
	VMOVI $0, V19.B16

// PIXELS applies a macro to the requantized sums and the residual of each pixel.
#define PIXELS2(op) \
	op(9, 12); \
	op(10, 13)

#define PIXELS3(op) \
	PIXELS2(op); \
	op(11, 14)

#define SHIFT(s, residual)        SSHL_4S(12, s, s)
#define MULTIPLY(s, residual)     SQRDMULH_4S(8, s, s)
#define EXTEND(s, residual)       SXTL_8H(residual, residual)
#define MULTIPLY_ADD(s, residual) SMLAL_4S_LANE(15, 0, residual, s)
#define ROUND_SUMS(s, residual)   ROUND_LOW(s, s)
#define SATURATE(s, residual)     SQXTN_8B(s, s)

// LOAD_RESIDUAL2 and STORE2 leave R8 and R7 at the pixel after the second.
#define LOAD_RESIDUAL2 \
	FMOVS (R8), F12; \
	FMOVS (R8)(R11), F13; \
	ADD   R11<<1, R8; \
	VDUP  R22, V15.H8

#define STORE2 \
	FMOVS F9, (R7); \
	FMOVS F10, (R7)(R10); \
	ADD   R10<<1, R7

// func conv3A53(a tile.Args)
//
// The loop pairs has inputs of its first step in V0-V2, of the second in V3, V4
// and V2, and the eight channels' weights in V5-V7 by turns. The loop steps has
// inputs in V0-V2 and weights in V5, V6, V7 and V3.
TEXT ·conv3A53(SB), NOSPLIT, $0-160
	GAPS(3)

panel:
	ARGUMENTS
	ADD   R2, R0, R1
	ADD   R2, R1, R2
	BIAS(F20, F21, F22, F23)
	BIAS(F24, F25, F26, F27)
	BIAS(F28, F29, F30, F31)
	FMOVQ (R0), F0
	FMOVQ (R1), F1
	FMOVQ (R2), F2
	FMOVQ (R4), F5
	FMOVQ 16(R4), F6
	FMOVQ 32(R4), F7
	MOVD  8(R2), R3

tile:
	MOVD R17, R6
	MOVD R19, R20
	SUBS $1, R13
	CSEL EQ, ZR, R26, R26
	CBNZ R25, steps

pairs:
	NEXT(16(R0), 24(R0), F3, R3, V2)
	FIRST3(5, 0, 1, 2, 8)
	SUBS $1, R5
	NEXT(16(R1), 24(R1), F4, R3, V3)
	FIRST3(6, 0, 1, 2, 11)
	CSEL EQ, R12, R23, R21
	CSEL EQ, R16, R5, R5
	UPPER3(5, 0, 1, 2, 8)
	SUBS $1, R6
	NEXT(48(R4), 56(R4), F5, R3, V4)
	UPPER3(6, 0, 1, 2, 11)
	CSEL EQ, R26, R21, R21
	NEXT(64(R4), 72(R4), F6, R3, V5)
	FIRST3(7, 0, 1, 2, 14)
	CSEL EQ, R14, R15, R22
	ADD  R21, R0
	FIRST3(5, 0, 1, 2, 17)
	ADD  R21, R1
	MOVBU.P 1(R20), R24
	UPPER3(7, 0, 1, 2, 14)
	NEXT(80(R4), 88(R4), F7, R3, V6)
	UPPER3(5, 0, 1, 2, 17)
	CBNZ R24, wide

second:
	NEXT(16(R2), 24(R2), F2, R3, V7)
	LOWER3(6, 3, 4, 2, 8)
	ADD  R21, R2
	NEXT(96(R4), 104(R4), F5, R3, V2)
	LOWER3(7, 3, 4, 2, 11)
	NEXT((R0), 8(R0), F0, R3, V5)
	UPPER3(6, 3, 4, 2, 8)
	NEXT(112(R4), 120(R4), F6, R3, V0)
	UPPER3(7, 3, 4, 2, 11)
	NEXT((R1), 8(R1), F1, R3, V6)
	LOWER3(5, 3, 4, 2, 14)
	ADD  R22, R4
	LOWER3(6, 3, 4, 2, 17)
	NEXT(32(R4), 40(R4), F7, R3, V1)
	UPPER3(5, 3, 4, 2, 14)
	NEXT((R4), 8(R4), F5, R3, V7)
	UPPER3(6, 3, 4, 2, 17)
	NEXT(16(R4), 24(R4), F6, R3, V5)
	SUM3(8, 20)
	NEXT((R2), 8(R2), F2, R3, V6)
	SUM3(11, 21)
	MOVD a_PanelNext+152(FP), R24 // to the same weights of the next panel
	SUM3(14, 22)
	PRFM_L2(24, 4)
	SADALP_4S(17, 23)
	ADD  $64, R24
	SADALP_4S(18, 27)
	PRFM_L2(24, 4)
	SADALP_4S(19, 31)
	BNE  pairs
	B    sum

wide:
	SUM3(8, 20)
	SUM3(11, 21)
	SUM3(14, 22)
	SUM3(17, 23)
	CLEAR3
	B    second

steps:
	NEXT(48(R4), 56(R4), F3, R3, V2)
	FIRST3(5, 0, 1, 2, 8)
	SUBS $1, R5
	CSEL EQ, R12, R23, R21
	FIRST3(6, 0, 1, 2, 11)
	CSEL EQ, R16, R5, R5
	SUBS $1, R6
	UPPER3(5, 0, 1, 2, 8)
	CSEL EQ, R14, R15, R22
	CSEL EQ, R26, R21, R21
	UPPER3(6, 0, 1, 2, 11)
	ADD  R22, R4
	NEXT((R4), 8(R4), F5, R3, V3)
	FIRST3(7, 0, 1, 2, 14)
	ADD  R21, R0
	FIRST3(3, 0, 1, 2, 17)
	ADD  R21, R1
	UPPER3(7, 0, 1, 2, 14)
	ADD  R21, R2
	NEXT(16(R4), 24(R4), F6, R3, V5)
	UPPER3(3, 0, 1, 2, 17)
	NEXT(32(R4), 40(R4), F7, R3, V6)
	SUM3(8, 20)
	NEXT((R0), 8(R0), F0, R3, V7)
	SUM3(11, 21)
	NEXT((R1), 8(R1), F1, R3, V0)
	SUM3(14, 22)
	NEXT((R2), 8(R2), F2, R3, V1)
	SUM3(17, 23)
	BNE  steps

// The next tile's sums begin where this one's results wait for each other.
sum:
	FMOVQ 16(R9), F8 // multipliers
	VADDP V21.S4, V20.S4, V9.S4
	MOVD  a_Shift+112(FP), R21
	VADDP V25.S4, V24.S4, V10.S4
	MOVD  a_Ratio+120(FP), R22
	VADDP V29.S4, V28.S4, V11.S4
	VADDP V23.S4, V22.S4, V12.S4
	VADDP V27.S4, V26.S4, V13.S4
	VADDP V31.S4, V30.S4, V14.S4
	BIAS_LOW(F20, F21)
	VADDP V12.S4, V9.S4, V9.S4
	VADDP V13.S4, V10.S4, V10.S4
	VADDP V14.S4, V11.S4, V11.S4
	BIAS_HIGH(F22, F23)
	SHIFT_SUMS(R21, V12, PIXELS3)
	MOVD  a_DstNext+96(FP), R21
	PIXELS3(MULTIPLY)
	BIAS_LOW(F24, F25)
	CBZ   R8, narrow
	LOAD_RESIDUAL2
	FMOVS (R8), F14
	ADD   R11, R8
	MOVD  a_ResNext+104(FP), R22
	PIXELS3(EXTEND)
	ADD   R22, R8
	PIXELS3(MULTIPLY_ADD)

narrow:
	BIAS_HIGH(F26, F27)
	PIXELS3(ROUND_SUMS)
	BIAS_LOW(F28, F29)
	PIXELS3(SATURATE)
	BIAS_HIGH(F30, F31)
	STORE2
	FMOVS F11, (R7)
	ADD   R10, R7
	ADD   R21, R7
	CBNZ  R13, tile
	NEXT_PANEL(4, panel, R5, R6)

// func conv2A53(a tile.Args)
//
// The loop pairs has inputs of its first step in V0 and V1, of the second in V2
// and V3, and the eight channels' weights in V4-V7 and V16-V19. The loop steps
// has inputs in V0 and V1, weights in V4-V7.
TEXT ·conv2A53(SB), NOSPLIT, $0-160
	GAPS(2)

panel:
	ARGUMENTS
	ADD   R2, R0, R1
	BIAS(F20, F21, F22, F23)
	BIAS(F24, F25, F26, F27)
	FMOVQ (R0), F0
	FMOVQ (R1), F1
	FMOVQ (R4), F4
	FMOVQ 16(R4), F5
	MOVD  8(R1), R3
	CBNZ  R25, tile
	MOVD  R3, R24
	MOVD  24(R4), R3

tile:
	MOVD R17, R6
	MOVD R19, R20
	SUBS $1, R13
	CSEL EQ, ZR, R26, R26
	CBNZ R25, steps

pairs:
	NEXT(16(R0), 24(R0), F2, R3, V5)
	FIRST2(4, 0, 8)
	SUBS $1, R5
	CSEL EQ, R12, R23, R21
	FIRST2(5, 0, 10)
	CSEL EQ, R16, R5, R5
	NEXT(32(R4), 40(R4), F6, R24, V1)
	UPPER2(4, 0, 8)
	SUBS $1, R6
	NEXT(48(R4), 56(R4), F7, R3, V2)
	UPPER2(5, 0, 10)
	CSEL EQ, R26, R21, R21
	MOVBU.P 1(R20), R2
	FIRST2(6, 0, 12)
	ADD  R21, R0
	NEXT(16(R1), 24(R1), F3, R24, V6)
	FIRST2(7, 0, 14)
	ADD  R21, R1
	NEXT(64(R4), 72(R4), F16, R3, V7)
	UPPER2(6, 0, 12)
	CSEL EQ, R14, R15, R22
	NEXT(80(R4), 88(R4), F17, R24, V3)
	UPPER2(7, 0, 14)
	CBNZ R2, wide

second:
	LOWER2(16, 2, 8)
	NEXT(96(R4), 104(R4), F18, R3, V16)
	LOWER2(17, 2, 10)
	NEXT(112(R4), 120(R4), F19, R24, V17)
	UPPER2(16, 2, 8)
	ADD  R22, R4
	UPPER2(17, 2, 10)
	LOWER2(18, 2, 12)
	NEXT((R0), 8(R0), F0, R3, V18)
	LOWER2(19, 2, 14)
	NEXT((R4), 8(R4), F4, R24, V19)
	UPPER2(18, 2, 12)
	UPPER2(19, 2, 14)
	NEXT(16(R4), 24(R4), F5, R3, V0)
	SUM2(8, 20)
	SUM2(10, 21)
	NEXT((R1), 8(R1), F1, R24, V4)
	SUM2(12, 22)
	SUM2(14, 23)
	BNE  pairs
	B    sum

wide:
	SUM2(8, 20)
	SUM2(10, 21)
	SUM2(12, 22)
	SUM2(14, 23)
	CLEAR2
	B    second

steps:
	NEXT(32(R4), 40(R4), F6, R3, V1)
	FIRST2(4, 0, 8)
	SUBS $1, R5
	CSEL EQ, R12, R23, R21
	FIRST2(5, 0, 10)
	CSEL EQ, R16, R5, R5
	NEXT(48(R4), 56(R4), F7, R3, V6)
	UPPER2(4, 0, 8)
	SUBS $1, R6
	CSEL EQ, R14, R15, R22
	UPPER2(5, 0, 10)
	ADD  R22, R4
	NEXT((R4), 8(R4), F4, R3, V7)
	FIRST2(6, 0, 12)
	CSEL EQ, R26, R21, R21
	ADD  R21, R0
	FIRST2(7, 0, 14)
	ADD  R21, R1
	NEXT(16(R4), 24(R4), F5, R3, V4)
	UPPER2(6, 0, 12)
	UPPER2(7, 0, 14)
	NEXT((R0), 8(R0), F0, R3, V5)
	SUM2(8, 20)
	SUM2(10, 21)
	NEXT((R1), 8(R1), F1, R3, V0)
	SUM2(12, 22)
	SUM2(14, 23)
	BNE  steps

sum: // and the next tile's beginning, as in conv3A53
	FMOVQ 16(R9), F8 // multipliers
	VADDP V21.S4, V20.S4, V9.S4
	MOVD  a_Shift+112(FP), R21
	VADDP V25.S4, V24.S4, V10.S4
	MOVD  a_Ratio+120(FP), R22
	VADDP V23.S4, V22.S4, V12.S4
	VADDP V27.S4, V26.S4, V13.S4
	BIAS_LOW(F20, F21)
	VADDP V12.S4, V9.S4, V9.S4
	VADDP V13.S4, V10.S4, V10.S4
	BIAS_HIGH(F22, F23)
	SHIFT_SUMS(R21, V12, PIXELS2)
	MOVD  a_DstNext+96(FP), R21
	PIXELS2(MULTIPLY)
	CBZ   R8, narrow
	LOAD_RESIDUAL2
	MOVD  a_ResNext+104(FP), R22
	PIXELS2(EXTEND)
	ADD   R22, R8
	PIXELS2(MULTIPLY_ADD)

narrow:
	BIAS_LOW(F24, F25)
	PIXELS2(ROUND_SUMS)
	BIAS_HIGH(F26, F27)
	PIXELS2(SATURATE)
	STORE2
	ADD   R21, R7
	CBNZ  R13, tile
	NEXT_PANEL(4, panel, R5, R6)
