//go:build !purego

#include "textflag.h"

// Instructions that Go's assembler does not know. (Arm Architecture Reference
// Manual for A-profile, C7.2.) Registers are plain numbers, the destination
// comes last, a lane's index i = 0..3 before the register n that it multiplies.
#define FMLA_4S_LANE(m, i, n, d) WORD $(0x4F801000 | ((i)&1)<<21 | ((i)>>1)<<11 | (m)<<16 | (n)<<5 | (d)) // fmla Vd.4S, Vn.4S, Vm.S[i]
#define FADD_4S(m, n, d)         WORD $(0x4E20D400 | (m)<<16 | (n)<<5 | (d))                              // fadd Vd.4S, Vn.4S, Vm.4S
#define FCMGT_4S(m, n, d)        WORD $(0x6EA0E400 | (m)<<16 | (n)<<5 | (d))                              // fcmgt Vd.4S, Vn.4S, Vm.4S

// Tiles of 7 windows by 8 outputs.
//
//   R0-R6    values of the windows      R7   weights
//   R8       values left in the run     R9   values of a run
//   R10      runs left in the window    R11  from the end of a run to the next
//   R12      distance of windows        R13  tiles left
//   R14      first window of the tile   R15  results, R16 residual, R17 distance
//   R19      panel                      R20  runs of a window
//   V0-V13   sums, two registers for each window
//   V14-V20  values of the windows, four of each
//   V21-V28  weights for those          V29, V31  the least and greatest result

// VALUE multiplies value i of all windows by the weights in lo and hi.
#define VALUE(i, lo, hi) \
	FMLA_4S_LANE(14, i, lo, 0); \
	FMLA_4S_LANE(14, i, hi, 1); \
	FMLA_4S_LANE(15, i, lo, 2); \
	FMLA_4S_LANE(15, i, hi, 3); \
	FMLA_4S_LANE(16, i, lo, 4); \
	FMLA_4S_LANE(16, i, hi, 5); \
	FMLA_4S_LANE(17, i, lo, 6); \
	FMLA_4S_LANE(17, i, hi, 7); \
	FMLA_4S_LANE(18, i, lo, 8); \
	FMLA_4S_LANE(18, i, hi, 9); \
	FMLA_4S_LANE(19, i, lo, 10); \
	FMLA_4S_LANE(19, i, hi, 11); \
	FMLA_4S_LANE(20, i, lo, 12); \
	FMLA_4S_LANE(20, i, hi, 13)

#define BIAS(lo, hi) \
	VMOV V0.B16, lo.B16; \
	VMOV V1.B16, hi.B16

// LIMIT replaces lesser and greater values in register n, named v; NaN and -0 stay.
#define LIMIT(n, v) \
	FCMGT_4S(n, 29, 30); \
	VBIT V30.B16, V29.B16, v.B16; \
	FCMGT_4S(31, n, 30); \
	VBIT V30.B16, V31.B16, v.B16

// STORE finishes a row of results and steps to the next.
#define STORE(lo, vlo, hi, vhi) \
	LIMIT(lo, vlo); \
	LIMIT(hi, vhi); \
	VST1 [vlo.S4, vhi.S4], (R15); \
	ADD  R17, R15

#define RESIDUAL(lo, hi) \
	VLD1 (R16), [V14.S4, V15.S4]; \
	FADD_4S(14, lo, lo); \
	FADD_4S(15, hi, hi); \
	ADD  R17, R16

// func tilesNEON(a args)
TEXT ·tilesNEON(SB), NOSPLIT, $0-104
	MOVD  a_x+0(FP), R14
	MOVD  a_y+8(FP), R15
	MOVD  a_residual+16(FP), R16
	MOVD  a_panel+24(FP), R19
	MOVD  a_tiles+32(FP), R13
	MOVD  a_runs+40(FP), R20
	MOVD  a_depth+48(FP), R9
	MOVD  a_stride+56(FP), R12
	MOVD  a_pitch+64(FP), R11
	MOVD  a_yStride+72(FP), R17
	FMOVS a_limits_Least+80(FP), F29
	VDUP  V29.S[0], V29.S4
	FMOVS a_limits_Greatest+84(FP), F31
	VDUP  V31.S[0], V31.S4
	SUB   R9<<2, R11

tile:
	MOVD R14, R0
	ADD  R12, R0, R1
	ADD  R12, R1, R2
	ADD  R12, R2, R3
	ADD  R12, R3, R4
	ADD  R12, R4, R5
	ADD  R12, R5, R6
	ADD  R12, R6, R14
	MOVD R19, R7
	VLD1.P 32(R7), [V0.S4, V1.S4]
	BIAS(V2, V3)
	BIAS(V4, V5)
	BIAS(V6, V7)
	BIAS(V8, V9)
	BIAS(V10, V11)
	BIAS(V12, V13)
	MOVD R20, R10

run:
	SUBS $4, R9, R8
	BLT  rest

four:
	VLD1.P 16(R0), [V14.S4]
	VLD1.P 64(R7), [V21.S4, V22.S4, V23.S4, V24.S4]
	VLD1.P 16(R1), [V15.S4]
	VLD1.P 16(R2), [V16.S4]
	VLD1.P 16(R3), [V17.S4]
	VLD1.P 16(R4), [V18.S4]
	VLD1.P 16(R5), [V19.S4]
	VLD1.P 16(R6), [V20.S4]
	VLD1.P 64(R7), [V25.S4, V26.S4, V27.S4, V28.S4]
	VALUE(0, 21, 22)
	VALUE(1, 23, 24)
	VALUE(2, 25, 26)
	VALUE(3, 27, 28)
	SUBS $4, R8
	BGE  four

rest:
	ADDS $4, R8
	BEQ  next

one:
	FMOVS.P 4(R0), F14
	FMOVS.P 4(R1), F15
	FMOVS.P 4(R2), F16
	FMOVS.P 4(R3), F17
	FMOVS.P 4(R4), F18
	FMOVS.P 4(R5), F19
	FMOVS.P 4(R6), F20
	VLD1.P  32(R7), [V21.S4, V22.S4]
	VALUE(0, 21, 22)
	SUBS $1, R8
	BNE  one

next:
	ADD  R11, R0
	ADD  R11, R1
	ADD  R11, R2
	ADD  R11, R3
	ADD  R11, R4
	ADD  R11, R5
	ADD  R11, R6
	SUBS $1, R10
	BNE  run

	CBZ R16, store
	RESIDUAL(0, 1)
	RESIDUAL(2, 3)
	RESIDUAL(4, 5)
	RESIDUAL(6, 7)
	RESIDUAL(8, 9)
	RESIDUAL(10, 11)
	RESIDUAL(12, 13)

store:
	STORE(0, V0, 1, V1)
	STORE(2, V2, 3, V3)
	STORE(4, V4, 5, V5)
	STORE(6, V6, 7, V7)
	STORE(8, V8, 9, V9)
	STORE(10, V10, 11, V11)
	STORE(12, V12, 13, V13)
	SUBS $1, R13
	BNE  tile
	RET
