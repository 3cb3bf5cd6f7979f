//go:build !purego

#include "textflag.h"
#include "encode_arm64.h"

// What is computed value by value. Runs of bytes are taken in vectors of 16 and then of 8.

// RUNS loads what runs of two inputs have in common, which stand first in R0 to R7: output,
// inputs, length, number and steps. NEXT_RUN goes on, from the addresses in R8 to R10.
#define RUNS \
	MOVD a_Dst+0(FP), R0; \
	MOVD a_X+8(FP), R1; \
	MOVD a_Y+16(FP), R2; \
	MOVD a_Length+24(FP), R3; \
	MOVD a_Count+32(FP), R4; \
	MOVD a_DstStep+40(FP), R5; \
	MOVD a_XStep+48(FP), R6; \
	MOVD a_YStep+56(FP), R7

#define RUN \
	MOVD R0, R8; \
	MOVD R1, R9; \
	MOVD R2, R10; \
	ADD  R5, R0; \
	ADD  R6, R1; \
	ADD  R7, R2

// QUARTER takes what stands in the table's next 64 places: indices beyond give zero.
#define QUARTER(bits, t0, t1, t2, t3) \
	VEOR bits.B16, V0.B16, V8.B16; \
	VEOR bits.B16, V1.B16, V9.B16; \
	VEOR bits.B16, V2.B16, V10.B16; \
	VEOR bits.B16, V3.B16, V11.B16; \
	VTBL V8.B16, [t0.B16, t1.B16, t2.B16, t3.B16], V8.B16; \
	VTBL V9.B16, [t0.B16, t1.B16, t2.B16, t3.B16], V9.B16; \
	VTBL V10.B16, [t0.B16, t1.B16, t2.B16, t3.B16], V10.B16; \
	VTBL V11.B16, [t0.B16, t1.B16, t2.B16, t3.B16], V11.B16; \
	VORR V8.B16, V4.B16, V4.B16; \
	VORR V9.B16, V5.B16, V5.B16; \
	VORR V10.B16, V6.B16, V6.B16; \
	VORR V11.B16, V7.B16, V7.B16

// LOOKUP is that of the vector V0, to V4.
#define LOOKUP \
	VEOR V13.B16, V0.B16, V8.B16; \
	VEOR V14.B16, V0.B16, V9.B16; \
	VEOR V15.B16, V0.B16, V10.B16; \
	VTBL V0.B16, [V16.B16, V17.B16, V18.B16, V19.B16], V4.B16; \
	VTBL V8.B16, [V20.B16, V21.B16, V22.B16, V23.B16], V8.B16; \
	VTBL V9.B16, [V24.B16, V25.B16, V26.B16, V27.B16], V9.B16; \
	VTBL V10.B16, [V28.B16, V29.B16, V30.B16, V31.B16], V10.B16; \
	VORR V8.B16, V4.B16, V4.B16; \
	VORR V9.B16, V10.B16, V9.B16; \
	VORR V9.B16, V4.B16, V4.B16

// func lookupNEON(a tile.LookupArgs)
//
//   R0 output, R1 source, R3 length, R4 runs left, R5 R6 steps
//   R8 R9 next values, R11 values left
//   V16-V31 the table
TEXT ·lookupNEON(SB), NOSPLIT, $0-56
	MOVD   a_Dst+0(FP), R0
	MOVD   a_Src+8(FP), R1
	MOVD   a_Table+16(FP), R2
	MOVD   a_Length+24(FP), R3
	MOVD   a_Count+32(FP), R4
	MOVD   a_DstStep+40(FP), R5
	MOVD   a_SrcStep+48(FP), R6
	VLD1.P 64(R2), [V16.B16, V17.B16, V18.B16, V19.B16]
	VLD1.P 64(R2), [V20.B16, V21.B16, V22.B16, V23.B16]
	VLD1.P 64(R2), [V24.B16, V25.B16, V26.B16, V27.B16]
	VLD1   (R2), [V28.B16, V29.B16, V30.B16, V31.B16]
	VMOVI  $0x40, V13.B16
	VMOVI  $0x80, V14.B16
	VMOVI  $0xc0, V15.B16

run:
	MOVD R0, R8
	MOVD R1, R9
	ADD  R5, R0
	ADD  R6, R1
	SUBS $64, R3, R11
	BLT  rest

whole:
	VLD1.P 64(R9), [V0.B16, V1.B16, V2.B16, V3.B16]
	VTBL   V0.B16, [V16.B16, V17.B16, V18.B16, V19.B16], V4.B16
	VTBL   V1.B16, [V16.B16, V17.B16, V18.B16, V19.B16], V5.B16
	VTBL   V2.B16, [V16.B16, V17.B16, V18.B16, V19.B16], V6.B16
	VTBL   V3.B16, [V16.B16, V17.B16, V18.B16, V19.B16], V7.B16
	QUARTER(V13, V20, V21, V22, V23)
	QUARTER(V14, V24, V25, V26, V27)
	QUARTER(V15, V28, V29, V30, V31)
	VST1.P [V4.B16, V5.B16, V6.B16, V7.B16], 64(R8)
	SUBS   $64, R11
	BGE    whole

rest:
	ADDS $64-16, R11
	BLT  eight

vector:
	VLD1.P 16(R9), [V0.B16]
	LOOKUP
	VST1.P [V4.B16], 16(R8)
	SUBS   $16, R11
	BGE    vector

eight:
	ADDS $16, R11
	BEQ  next
	VLD1 (R9), [V0.B8]
	LOOKUP
	VST1 [V4.B8], (R8)

next:
	SUBS $1, R4
	BNE  run
	RET

// CHANNELS takes four bytes of R12, from bit i on, from the tables of their channels.
#define CHANNELS(i) \
	LDP.P  16(R10), (R13, R14); \
	LDP.P  16(R10), (R15, R16); \
	UBFX   $i, R12, $8, R19; \
	UBFX   $(i+8), R12, $8, R20; \
	UBFX   $(i+16), R12, $8, R21; \
	UBFX   $(i+24), R12, $8, R22; \
	MOVBU  (R13)(R19), R19; \
	MOVBU  (R14)(R20), R20; \
	MOVBU  (R15)(R21), R21; \
	MOVBU  (R16)(R22), R22; \
	MOVB.P R19, 1(R8); \
	MOVB.P R20, 1(R8); \
	MOVB.P R21, 1(R8); \
	MOVB.P R22, 1(R8)

// func lookupChannels(a tile.LookupArgs)
//
//   R0 output, R1 source, R2 tables, R3 length, R4 pixels left, R5 R6 steps
//   R8 R9 R10 next values and tables, R11 values left
TEXT ·lookupChannels(SB), NOSPLIT, $0-56
	MOVD a_Dst+0(FP), R0
	MOVD a_Src+8(FP), R1
	MOVD a_Table+16(FP), R2
	MOVD a_Length+24(FP), R3
	MOVD a_Count+32(FP), R4
	MOVD a_DstStep+40(FP), R5
	MOVD a_SrcStep+48(FP), R6

pixel:
	MOVD R0, R8
	MOVD R1, R9
	MOVD R2, R10
	MOVD R3, R11
	ADD  R5, R0
	ADD  R6, R1

channels:
	MOVD.P 8(R9), R12
	CHANNELS(0)
	CHANNELS(32)
	SUBS   $8, R11
	BNE    channels
	SUBS   $1, R4
	BNE    pixel
	RET

// SCALE requantizes eight products of 32 bits.
#define SCALE(low, high) \
	SSHL_4S(17, low, low); \
	SSHL_4S(17, high, high); \
	SQRDMULH_4S(16, low, low); \
	SQRDMULH_4S(16, high, high)

// func mulNEON(a tile.MulArgs)
//
//   R0-R10 see RUNS and RUN, R11 values left
//   V16 multiplier, V17 shift, V18 V19 the inputs' zero points, V20 the output's
TEXT ·mulNEON(SB), NOSPLIT, $0-104
	RUNS
	MOVD a_Multiplier+64(FP), R8
	MOVD a_Shift+72(FP), R9
	VDUP R8, V16.S4
	VDUP R9, V17.S4
	MOVD a_ZeroX+80(FP), R8
	MOVD a_ZeroY+88(FP), R9
	MOVD a_Zero+96(FP), R10
	VDUP R8, V18.B16
	VDUP R9, V19.B16
	VDUP R10, V20.H8

run:
	RUN
	SUBS $16, R3, R11
	BLT  rest

whole:
	VLD1.P 16(R9), [V0.B16]
	VLD1.P 16(R10), [V1.B16]
	SSUBL_8H(18, 0, 2)
	SSUBL_8H(19, 1, 4)
	SSUBL2_8H(18, 0, 3)
	SSUBL2_8H(19, 1, 5)
	SMULL_4S(4, 2, 6)
	SMULL2_4S(4, 2, 7)
	SMULL_4S(5, 3, 0)
	SMULL2_4S(5, 3, 1)
	SSHL_4S(17, 6, 6)
	SSHL_4S(17, 7, 7)
	SSHL_4S(17, 0, 0)
	SSHL_4S(17, 1, 1)
	SQRDMULH_4S(16, 6, 6)
	SQRDMULH_4S(16, 7, 7)
	SQRDMULH_4S(16, 0, 0)
	SQRDMULH_4S(16, 1, 1)
	SQRSHRN_4H(6, 6, 2)
	SQRSHRN_4H(6, 0, 3)
	SQRSHRN2_8H(6, 7, 2)
	SQRSHRN2_8H(6, 1, 3)
	SQADD_8H(20, 2, 2)
	SQADD_8H(20, 3, 3)
	SQXTN_8B(2, 0)
	SQXTN2_16B(3, 0)
	VST1.P [V0.B16], 16(R8)
	SUBS   $16, R11
	BGE    whole

rest:
	ADDS $16, R11
	BEQ  next
	VLD1 (R9), [V0.B8]
	VLD1 (R10), [V1.B8]
	SSUBL_8H(18, 0, 2)
	SSUBL_8H(19, 1, 4)
	SMULL_4S(4, 2, 6)
	SMULL2_4S(4, 2, 7)
	SCALE(6, 7)
	SQRSHRN_4H(6, 6, 2)
	SQRSHRN2_8H(6, 7, 2)
	SQADD_8H(20, 2, 2)
	SQXTN_8B(2, 0)
	VST1 [V0.B8], (R8)

next:
	SUBS $1, R4
	BNE  run
	RET

// ADD8 adds the 16-bit values of x and y, to the lower halves of x; V4 to V7 are overwritten.
#define ADD8(x, y) \
	SXTL_4S(x, 4); \
	SXTL2_4S(x, 5); \
	SXTL_4S(y, 6); \
	SXTL2_4S(y, 7); \
	MUL_4S(16, 4, 4); \
	MUL_4S(16, 5, 5); \
	MLA_4S(17, 6, 4); \
	MLA_4S(17, 7, 5); \
	VADD     V18.S4, V4.S4, V4.S4; \
	VADD     V18.S4, V5.S4, V5.S4; \
	SSHL_4S(19, 4, 4); \
	SSHL_4S(19, 5, 5); \
	SQXTN_4H(4, x); \
	SQXTN2_8H(5, x); \
	SQADD_8H(20, x, x)

// func addNEON(a tile.AddArgs)
//
//   R0-R10 see RUNS and RUN, R11 values left
//   V16 V17 ratios, V18 offset, V19 shift, V20 zero point
TEXT ·addNEON(SB), NOSPLIT, $0-104
	RUNS
	MOVD a_RatioX+64(FP), R8
	MOVD a_RatioY+72(FP), R9
	MOVD a_Offset+80(FP), R10
	VDUP R8, V16.S4
	VDUP R9, V17.S4
	VDUP R10, V18.S4
	MOVD a_Shift+88(FP), R8
	MOVD a_Zero+96(FP), R9
	NEG  R8, R8
	VDUP R8, V19.S4
	VDUP R9, V20.H8

run:
	RUN
	SUBS $16, R3, R11
	BLT  rest

whole:
	VLD1.P 16(R9), [V0.B16]
	VLD1.P 16(R10), [V1.B16]
	SXTL2_8H(0, 2)
	SXTL2_8H(1, 3)
	SXTL_8H(0, 0)
	SXTL_8H(1, 1)
	ADD8(0, 1)
	ADD8(2, 3)
	SQXTN_8B(0, 0)
	SQXTN2_16B(2, 0)
	VST1.P [V0.B16], 16(R8)
	SUBS   $16, R11
	BGE    whole

rest:
	ADDS $16, R11
	BEQ  next
	VLD1 (R9), [V0.B8]
	VLD1 (R10), [V1.B8]
	SXTL_8H(0, 0)
	SXTL_8H(1, 1)
	ADD8(0, 1)
	SQXTN_8B(0, 0)
	VST1 [V0.B8], (R8)

next:
	SUBS $1, R4
	BNE  run
	RET

// WIDEN adds eight sums of 16 bits to those in memory.
#define WIDEN(v) \
	VLD1   (R0), [V20.S4, V21.S4]; \
	SADDW_4S(v, 20, 20); \
	SADDW2_4S(v, 21, 21); \
	VADD   V22.S4, V20.S4, V20.S4; \
	VADD   V22.S4, V21.S4, V21.S4; \
	VST1.P [V20.S4, V21.S4], 32(R0)

// func sumNEON(a tile.SumArgs)
//
//   R0 sums, R1 source, R2 channels left, R3 runs, R4 step
//   R5 next values, R6 runs left
//   V0-V7 sums of 16 bits, V22 offset
TEXT ·sumNEON(SB), NOSPLIT, $0-48
	MOVD a_Sums+0(FP), R0
	MOVD a_Src+8(FP), R1
	MOVD a_Length+16(FP), R2
	MOVD a_Count+24(FP), R3
	MOVD a_Step+32(FP), R4
	MOVD a_Offset+40(FP), R5
	VDUP R5, V22.S4
	SUBS $64, R2
	BLT  rest

line:
	VEOR V0.B16, V0.B16, V0.B16
	VEOR V1.B16, V1.B16, V1.B16
	VEOR V2.B16, V2.B16, V2.B16
	VEOR V3.B16, V3.B16, V3.B16
	VEOR V4.B16, V4.B16, V4.B16
	VEOR V5.B16, V5.B16, V5.B16
	VEOR V6.B16, V6.B16, V6.B16
	VEOR V7.B16, V7.B16, V7.B16
	MOVD R1, R5
	MOVD R3, R6

lines:
	VLD1 (R5), [V16.B16, V17.B16, V18.B16, V19.B16]
	ADD  R4, R5
	SADDW_8H(16, 0, 0)
	SADDW2_8H(16, 1, 1)
	SADDW_8H(17, 2, 2)
	SADDW2_8H(17, 3, 3)
	SADDW_8H(18, 4, 4)
	SADDW2_8H(18, 5, 5)
	SADDW_8H(19, 6, 6)
	SADDW2_8H(19, 7, 7)
	SUBS $1, R6
	BNE  lines
	WIDEN(0)
	WIDEN(1)
	WIDEN(2)
	WIDEN(3)
	WIDEN(4)
	WIDEN(5)
	WIDEN(6)
	WIDEN(7)
	ADD  $64, R1
	SUBS $64, R2
	BGE  line

rest:
	ADDS $64, R2
	BEQ  done

eight:
	VEOR V0.B16, V0.B16, V0.B16
	MOVD R1, R5
	MOVD R3, R6

eights:
	VLD1 (R5), [V16.B8]
	ADD  R4, R5
	SADDW_8H(16, 0, 0)
	SUBS $1, R6
	BNE  eights
	WIDEN(0)
	ADD  $8, R1
	SUBS $8, R2
	BNE  eight

done:
	RET

// func meanNEON(a tile.MeanArgs)
//
//   R0 output, R1 sums, R2 values left
//   V16 multiplier, V17 shift, V20 zero point
TEXT ·meanNEON(SB), NOSPLIT, $0-48
	MOVD a_Dst+0(FP), R0
	MOVD a_Sums+8(FP), R1
	MOVD a_Length+16(FP), R2
	MOVD a_Multiplier+24(FP), R3
	MOVD a_Shift+32(FP), R4
	MOVD a_Zero+40(FP), R5
	VDUP R3, V16.S4
	VDUP R4, V17.S4
	VDUP R5, V20.H8

eight:
	VLD1.P 32(R1), [V0.S4, V1.S4]
	SCALE(0, 1)
	SQRSHRN_4H(6, 0, 2)
	SQRSHRN2_8H(6, 1, 2)
	SQADD_8H(20, 2, 2)
	SQXTN_8B(2, 0)
	VST1.P [V0.B8], 8(R0)
	SUBS   $8, R2
	BNE    eight
	RET
