// Depthwise convolutions: a call computes some rows of one panel of channels, whose
// windows are read where they lie. Registers of all of them:
//
//   R0-R4   rows of the pixel's window, or of its column
//   R5      from there to what is read next
//   R6      pixels left in the row
//   R7 R8   output and its step             R10 R11 residual and its step
//   R9      from a tap to the next one      R12     panel
//   R13     from pixel to pixel             R14     from a window's row to the next one
//   R19     shift of sums                   R20     ratio of residuals

#define ARGUMENTS \
	MOVD a_Panel+24(FP), R12; \
	MOVD a_SrcTap+64(FP), R9; \
	MOVD a_SrcRow+72(FP), R14; \
	MOVD a_SrcStep+80(FP), R13; \
	MOVD a_DstStep+96(FP), R8; \
	MOVD a_ResStep+112(FP), R11; \
	MOVD a_Shift+128(FP), R19; \
	MOVD a_Ratio+136(FP), R20

// ROW begins an output row, NEXT_ROW goes on with the next one or returns.
#define ROW \
	MOVD a_Src+0(FP), R0; \
	MOVD a_Dst+8(FP), R7; \
	MOVD a_Res+16(FP), R10; \
	MOVD a_Pixels+40(FP), R6

#define NEXT_ROW(row, last) \
	MOVD a_Rows+32(FP), R0; \
	SUBS $1, R0; \
	BEQ  last; \
	MOVD R0, a_Rows+32(FP); \
	FURTHER(a_Src+0(FP), a_SrcNext+88(FP)); \
	FURTHER(a_Dst+8(FP), a_DstNext+104(FP)); \
	FURTHER(a_Res+16(FP), a_ResNext+120(FP)); \
	B    row; \
last: \
	RET

#define FURTHER(address, next) \
	MOVD address, R0; \
	MOVD next, R1; \
	ADD  R1, R0; \
	MOVD R0, address
