// Requantization at the end of a tile: package int8 has its arithmetic. A vector
// holds four sums of 32 bits. Numbers stand for vectors, as in encode_arm64.h. The
// parameter sums is a macro that applies another one to the sums of each pixel.

// SHIFT_SUMS shifts all sums, unless by 0. The file defines SHIFT, which shifts a
// pixel's by the lanes of vector.
#define SHIFT_SUMS(shift, vector, sums) \
	CBZ  shift, shifted; \
	VDUP shift, vector.S4; \
	sums(SHIFT); \
shifted:

// ADD_RESIDUAL adds eight residuals of 16 bits, each times the ratio.
#define ADD_RESIDUAL(ratio, residual, low, high) \
	SMLAL_4S(ratio, residual, low); \
	SMLAL2_4S(ratio, residual, high)

// ROUND makes outputs of 16 bits of eight sums: they had 6 fraction bits.
#define ROUND_LOW(s, d)  SQRSHRN_4H(6, s, d)
#define ROUND_HIGH(s, d) SQRSHRN2_8H(6, s, d)
#define ROUND(low, high, d) \
	ROUND_LOW(low, d); \
	ROUND_HIGH(high, d)

// ARGUMENTS4 and BIAS are of the kernels with 4 channels. Only the registers of
// the first window and of the step of windows differ.
#define ARGUMENTS4(src, step) \
	MOVD a_Src+0(FP), src; \
	MOVD a_Dst+8(FP), R7; \
	MOVD a_Res+16(FP), R8; \
	MOVD a_Panel+24(FP), R9; \
	MOVD a_Tiles+32(FP), R13; \
	MOVD a_Runs+40(FP), R17; \
	MOVD a_Steps+48(FP), R16; \
	MOVD a_SrcRow+56(FP), R12; \
	MOVD a_SrcStep+64(FP), step; \
	MOVD a_DstStep+72(FP), R10; \
	MOVD a_ResStep+80(FP), R11

// GAPS turns the arguments' steps to the next tile's output and residual into
// those from the end of a tile of so many pixels. NEXT_OUTPUT adds such a step.
#define GAPS(pixels) \
	GAP(pixels, a_DstStep+72(FP), a_DstNext+96(FP)); \
	GAP(pixels, a_ResStep+80(FP), a_ResNext+104(FP))

#define GAP(pixels, step, next) \
	MOVD $(pixels), R0; \
	MOVD step, R1; \
	MOVD next, R2; \
	MSUB R0, R2, R1, R2; \
	MOVD R2, next

#define NEXT_OUTPUT(dst, res, t) \
	MOVD a_DstNext+96(FP), t; \
	ADD  t, dst; \
	MOVD a_ResNext+104(FP), t; \
	ADD  t, res

// NEXT_PANEL begins anew with the next panel, if there is one, whose channels lie
// behind those of the one before; else it returns.
#define NEXT_PANEL(channels, begin, n, t) \
	MOVD a_Panels+144(FP), n; \
	SUBS $1, n; \
	BEQ  done; \
	MOVD n, a_Panels+144(FP); \
	MOVD a_Panel+24(FP), n; \
	MOVD a_PanelNext+152(FP), t; \
	ADD  t, n; \
	MOVD n, a_Panel+24(FP); \
	MOVD a_Dst+8(FP), n; \
	ADD  $(channels), n; \
	MOVD n, a_Dst+8(FP); \
	MOVD a_Res+16(FP), n; \
	CBZ  n, begin; \
	ADD  $(channels), n; \
	MOVD n, a_Res+16(FP); \
	B    begin; \
done: \
	RET

// BIAS begins a pixel's sums: a scalar load clears the other three lanes.
#define BIAS(s0, s1, s2, s3) \
	BIAS_LOW(s0, s1); \
	BIAS_HIGH(s2, s3)
#define BIAS_LOW(s0, s1)  FLDPS (R9), (s0, s1)
#define BIAS_HIGH(s2, s3) FLDPS 8(R9), (s2, s3)

// ARGUMENTS_DOT and REQUANTIZE_DOT are of the kernels with dot product, whose
// registers beside vectors are the same. ARGUMENTS_DOT leaves the step of windows
// in R9 and that of tiles in R17.
//
//   R0      weights
//   R1-R8   next values of each pixel
//   R9      how far the pixels' next row is
//   R10     blocks of steps left in a row of the window
//   R11     rows of the window left
//   R12 R13 next pixel's output and residual
//   R14     panel
//   R15 R17 from the end of a window's row to the next row and tile
//   R16     tiles left
//   R19 R20 blocks and all steps in a row of a window
//   R22 R23 from pixel to pixel in output and residual
//   R24     rows of a window
//   R25     shift of sums
//   R26     ratio of residuals
#define ARGUMENTS_DOT \
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
	MOVD a_SrcNext+88(FP), R17; \
	MOVD a_Shift+112(FP), R25; \
	MOVD a_Ratio+120(FP), R26

// AHEAD_DOT leaves in R21 how far behind the weights at work a line of the next panel is,
// of every four lines another one for each tile: a panel's last four tiles bring all of
// the next one to the second cache.
#define AHEAD_DOT(t) \
	MOVD a_PanelNext+152(FP), R21; \
	AND  $3, R16, t; \
	ADD  t<<6, R21; \
	SUB  $128, R21

// REQUANTIZE_DOT ends a tile: pixels applies the macro plain or residual to each
// pixel. V4 is the shift, then the ratio.
#define REQUANTIZE_DOT(sums, multiply, pixels, plain, residual) \
	SHIFT_SUMS(R25, V4, sums); \
	multiply; \
	CBNZ R13, res; \
	pixels(plain); \
	B    stored; \
res: \
	VDUP R26, V4.H8; \
	pixels(residual); \
stored: \
	NEXT_OUTPUT(R12, R13, R10)
