//go:build !purego

#include "textflag.h"

// Depthwise convolutions, 16 channels at a time. Two taps of each channel are brought
// together in 16 bits and multiplied by their weights at once (VPMADDWD). Taps that are
// pairs lie below each other, two rows after the other, and of a last odd row side by
// side: the first of an odd number is the second of a pair whose first weight is 0.
// Channels are in the order in which VPUNPCKLWD and VPUNPCKHWD take them, which
// VPACKSSDW reverses.
//
// DX is the panel, BX the output and AX its step, CX the residual and DI its step,
// Y15 what products are rounded by. For outputs without a residual that holds the 128
// that they are stored with more.

DATA depthwiseZero<>+0(SB)/8, $0x0080008000800080
DATA depthwiseZero<>+8(SB)/8, $0x0080008000800080
DATA depthwiseZero<>+16(SB)/8, $0x0080008000800080
DATA depthwiseZero<>+24(SB)/8, $0x0080008000800080
GLOBL depthwiseZero<>(SB), RODATA|NOPTR, $32

// Requantization in pieces. Products of 32 by 32 bits need 64: even places stay in low
// and high, odd ones go to Y10 and Y11. Four bytes behind the multipliers, the odd ones
// lie at even places. Both roundings are one shift by 31+6 bits: by 5, of the upper
// halves, once they are 16 bits.

#define ODD(low, high) \
	VPSRLQ $32, low, Y10; \
	VPSRLQ $32, high, Y11

#define MULTIPLY(low, high) \
	VPMULDQ 68(DX), Y10, Y10; \
	VPMULDQ 100(DX), Y11, Y11; \
	VPMULDQ 64(DX), low, low; \
	VPMULDQ 96(DX), high, high

#define ROUND(low, high) \
	VPADDQ Y15, Y10, Y10; \
	VPADDQ Y15, Y11, Y11; \
	VPADDQ Y15, low, low; \
	VPADDQ Y15, high, high

#define MERGE(low, high) \
	VPBLENDD $0xaa, Y10, low, low; \
	VPBLENDD $0xaa, Y11, high, high

#define UPPER(low, high) \
	VPSRLQ $32, low, low; \
	VPSRLQ $32, high, high; \
	MERGE(low, high)

#define PACK(low, high) \
	VPACKSSDW high, low, Y10; \
	VPSRAW    $5, Y10, Y10

#define STORE(low, high) \
	VEXTRACTI128 $1, Y10, X11; \
	VPACKUSWB    X11, X10, X10; \
	VMOVDQU      X10, (BX)

#define NOTHING(low, high)

#define PLAIN(low, high) \
	ODD(low, high); \
	MULTIPLY(low, high); \
	ROUND(low, high); \
	UPPER(low, high); \
	PACK(low, high); \
	STORE(low, high); \
	ADDQ AX, BX

// RESIDUAL: each byte times the ratio is added between the roundings.
#define RESIDUAL(low, high) \
	ODD(low, high); \
	MULTIPLY(low, high); \
	ROUND(low, high); \
	VPSRLQ     $31, low, low; \
	VPSRLQ     $31, high, high; \
	VPADDQ     Y10, Y10, Y10; \
	VPADDQ     Y11, Y11, Y11; \
	MERGE(low, high); \
	VPMOVZXBW  (CX), Y13; \
	ADDQ       DI, CX; \
	VPUNPCKLWD Y13, Y13, Y12; \
	VPUNPCKHWD Y13, Y13, Y13; \
	VPMADDWD   Y14, Y12, Y12; \
	VPMADDWD   Y14, Y13, Y13; \
	VPADDD     Y12, low, low; \
	VPADDD     Y13, high, high; \
	VPACKSSDW  high, low, Y10; \
	VPSRAW     $6, Y10, Y10; \
	VPADDW     depthwiseZero<>(SB), Y10, Y10; \
	STORE(low, high); \
	ADDQ       AX, BX

#define SHIFT(low, high) \
	VPSLLD shift-16(SP), low, low; \
	VPSLLD shift-16(SP), high, high

// Windows of 3x3 and 5x5 go along a row by columns: what is made of a column's inputs is
// multiplied for all pixels whose windows hold it. With each column, sums of the pixel
// that it ends go to registers of their own and those of the others one place down. R8
// is the column, R9 the step to the next, R10 and R11 one and three times SrcRow. The
// first columns, which end no pixel, add to sums that are not used, too.

// TIMES multiplies a pair in p0 and p1 by weights, into Y12 and Y13.
#define TIMES(p0, p1, weights) \
	VPMADDWD (weights)(DX), p0, Y12; \
	VPMADDWD (weights+32)(DX), p1, Y13

// ADD_TIMES adds them to from0 and from1, which may be biases, into low and high.
#define ADD_TIMES(p0, p1, weights, from0, from1, low, high) \
	TIMES(p0, p1, weights); \
	VPADDD from0, Y12, low; \
	VPADDD from1, Y13, high

// BELOW brings two taps below each other together.
#define BELOW(a, b, p0, p1) \
	VPMOVZXBW  a, Y12; \
	VPMOVZXBW  b, Y13; \
	VPUNPCKLWD Y13, Y12, p0; \
	VPUNPCKHWD Y13, Y12, p1

// BESIDE does so with a tap of the last row and that of the column before, which is kept.
#define BESIDE(a, before, p0, p1) \
	VPMOVZXBW  a, Y12; \
	VPUNPCKLWD Y12, before, p0; \
	VPUNPCKHWD Y12, before, p1; \
	VMOVDQA    Y12, before

// COLUMN3 ends a pixel in Y7 and Y14. In between, the pieces of the requantization of the
// pixel before fill the time that each takes.
#define COLUMN3(odd, multiply, round, upper, pack, store) \
	BELOW((R8), (R8)(R10*1), Y8, Y9); \
	odd(Y7, Y14); \
	ADD_TIMES(Y8, Y9, 256, Y0, Y1, Y4, Y5); \
	multiply(Y7, Y14); \
	ADD_TIMES(Y8, Y9, 192, Y2, Y3, Y0, Y1); \
	round(Y7, Y14); \
	ADD_TIMES(Y8, Y9, 128, (DX), 32(DX), Y2, Y3); \
	upper(Y7, Y14); \
	BESIDE((R8)(R10*2), Y6, Y8, Y9); \
	pack(Y7, Y14); \
	ADD_TIMES(Y8, Y9, 384, Y4, Y5, Y7, Y14); \
	store(Y7, Y14); \
	ADD_TIMES(Y8, Y9, 320, Y2, Y3, Y2, Y3); \
	ADDQ R9, R8

// COLUMNS3 is for pixels two taps apart, of R12 bytes, which share one column: it ends a
// pixel as COLUMN3 does and begins the next in Y0 and Y1.
#define COLUMNS3(odd, multiply, round, upper, pack, store) \
	BELOW((R8), (R8)(R10*1), Y8, Y9); \
	odd(Y7, Y14); \
	ADD_TIMES(Y8, Y9, 192, Y0, Y1, Y4, Y5); \
	multiply(Y7, Y14); \
	VPMOVZXBW (R8)(R10*2), Y6; \
	ADDQ R12, R8; \
	BELOW((R8), (R8)(R10*1), Y8, Y9); \
	round(Y7, Y14); \
	ADD_TIMES(Y8, Y9, 256, Y4, Y5, Y4, Y5); \
	upper(Y7, Y14); \
	ADD_TIMES(Y8, Y9, 128, (DX), 32(DX), Y0, Y1); \
	BESIDE((R8)(R10*2), Y6, Y8, Y9); \
	pack(Y7, Y14); \
	ADD_TIMES(Y8, Y9, 384, Y4, Y5, Y7, Y14); \
	store(Y7, Y14); \
	ADD_TIMES(Y8, Y9, 320, Y0, Y1, Y0, Y1); \
	ADDQ R12, R8

// COLUMN5 ends a pixel in Y8 and Y9.
#define COLUMN5 \
	BELOW((R8), (R8)(R10*1), Y10, Y11); \
	ADD_TIMES(Y10, Y11, 384, Y0, Y1, Y8, Y9); \
	ADD_TIMES(Y10, Y11, 320, Y2, Y3, Y0, Y1); \
	ADD_TIMES(Y10, Y11, 256, Y4, Y5, Y2, Y3); \
	ADD_TIMES(Y10, Y11, 192, Y6, Y7, Y4, Y5); \
	ADD_TIMES(Y10, Y11, 128, (DX), 32(DX), Y6, Y7); \
	BELOW((R8)(R10*2), (R8)(R11*1), Y10, Y11); \
	ADD_TIMES(Y10, Y11, 704, Y8, Y9, Y8, Y9); \
	ADD_TIMES(Y10, Y11, 640, Y0, Y1, Y0, Y1); \
	ADD_TIMES(Y10, Y11, 576, Y2, Y3, Y2, Y3); \
	ADD_TIMES(Y10, Y11, 512, Y4, Y5, Y4, Y5); \
	ADD_TIMES(Y10, Y11, 448, Y6, Y7, Y6, Y7); \
	BESIDE((R8)(R10*4), Y14, Y10, Y11); \
	ADD_TIMES(Y10, Y11, 896, Y8, Y9, Y8, Y9); \
	ADD_TIMES(Y10, Y11, 832, Y2, Y3, Y2, Y3); \
	ADD_TIMES(Y10, Y11, 768, Y6, Y7, Y6, Y7); \
	ADDQ R9, R8

// Any window, by two pixels or one. R8 is a pixel's window, R9 the step to the next, R10
// and R11 a pair's taps, R12 the step to the next tap, R13 the weights, R15 pixels left,
// SI rows and DI taps of the window, R14 the bytes from the end of a pair of rows to the
// next pair.

#define STEP(a, b, weights0, weights1, low, high) \
	BELOW(a, b, Y10, Y11); \
	VPMADDWD weights0, Y10, Y10; \
	VPMADDWD weights1, Y11, Y11; \
	VPADDD   Y10, low, low; \
	VPADDD   Y11, high, high

#define STEP1 STEP((R10), (R11), (R13), 32(R13), Y0, Y1)

#define STEP2 \
	VMOVDQU (R13), Y8; \
	VMOVDQU 32(R13), Y9; \
	STEP((R10), (R11), Y8, Y9, Y0, Y1); \
	STEP((R10)(R9*1), (R11)(R9*1), Y8, Y9, Y2, Y3)

#define PIXELS1(op) op(Y0, Y1)

#define PIXELS2(op) \
	op(Y0, Y1); \
	op(Y2, Y3)

#define BIAS(low, high) \
	VMOVDQU (DX), low; \
	VMOVDQU 32(DX), high

#define STEPS \
	MOVQ  a_DstStep+96(FP), AX; \
	MOVQ  a_SrcStep+80(FP), R9; \
	MOVQ  a_SrcTap+64(FP), R12; \
	MOVQ  a_SrcRow+72(FP), R10; \
	LEAQ  (R10)(R10*2), R11; \
	LEAQ  (R10)(R10*1), R14; \
	MOVQ  a_KW+56(FP), DI; \
	IMULQ R12, DI; \
	SUBQ  DI, R14

// SUMS stores a pixel's sums, in the channels' own order.
#define SUMS(low, high) \
	VPERM2I128 $0x20, high, low, Y10; \
	VPERM2I128 $0x31, high, low, Y11; \
	VMOVDQU    Y10, (BX); \
	VMOVDQU    Y11, 32(BX); \
	ADDQ       AX, BX

// WINDOW adds up pixels.
#define WINDOW(pixels, step, pair, tap, last, beside, end) \
	pixels(BIAS); \
	LEAQ 128(DX), R13; \
	MOVQ R8, R10; \
	MOVQ a_KH+48(FP), SI; \
	SHRQ $1, SI; \
	JZ   last; \
pair: \
	MOVQ a_KW+56(FP), DI; \
	MOVQ a_SrcRow+72(FP), R11; \
	ADDQ R10, R11; \
tap: \
	step; \
	ADDQ R12, R10; \
	ADDQ R12, R11; \
	ADDQ $64, R13; \
	DECQ DI; \
	JNZ  tap; \
	ADDQ R14, R10; \
	DECQ SI; \
	JNZ  pair; \
last: \
	TESTQ $1, a_KH+48(FP); \
	JZ   end; \
	MOVQ a_KW+56(FP), DI; \
	MOVQ R10, R11; \
	SHRQ $1, DI; \
	JNC  beside; \
	step; \
	ADDQ R12, R10; \
	ADDQ $64, R13; \
	TESTQ DI, DI; \
	JZ   end; \
beside: \
	LEAQ (R10)(R12*1), R11; \
	step; \
	LEAQ (R11)(R12*1), R10; \
	ADDQ $64, R13; \
	DECQ DI; \
	JNZ  beside; \
end:

// REQUANTIZE stores pixels.
#define REQUANTIZE(pixels, shifted, residual, stored) \
	CMPQ a_Shift+128(FP), $0; \
	JEQ  shifted; \
	pixels(SHIFT); \
shifted: \
	TESTQ CX, CX; \
	JNZ  residual; \
	pixels(PLAIN); \
	JMP  stored; \
residual: \
	MOVQ a_ResStep+112(FP), DI; \
	pixels(RESIDUAL); \
stored:

// func depthwiseAVX2(a tile.DepthwiseArgs)
TEXT ·depthwiseAVX2(SB), NOSPLIT, $16-144
	MOVQ  a_Panel+24(FP), DX
	VMOVQ a_Shift+128(FP), X0
	VMOVDQU X0, shift-16(SP)
	MOVQ  a_Ratio+136(FP), DI
	VMOVQ DI, X14
	VPBROADCASTD X14, Y14
	MOVQ  $0x101040000000, SI // half of 1<<31, 32 << 31 and 128 << 37
	CMPQ  a_Res+16(FP), $0
	JEQ   rounding
	SHLQ  $7, DI
	MOVQ  $32, SI
	SUBQ  DI, SI // residuals are stored as q + 128
	SHLQ  $31, SI
	MOVQ  $0x40000000, DI
	ADDQ  DI, SI

rounding:
	VMOVQ SI, X15
	VPBROADCASTQ X15, Y15
	STEPS

row:
	MOVQ a_Src+0(FP), R8
	MOVQ a_Dst+8(FP), BX
	MOVQ a_Res+16(FP), CX
	MOVQ a_Pixels+40(FP), R15
	MOVQ a_Shift+128(FP), SI
	ORQ  CX, SI
	JNZ  any
	MOVQ a_KW+56(FP), SI
	CMPQ SI, a_KH+48(FP)
	JNE  any
	CMPQ SI, $3
	JEQ  three
	CMPQ SI, $5
	JEQ  five

any:
	SUBQ $2, R15
	JLT  odd

two:
	WINDOW(PIXELS2, STEP2, pair2, tap2, last2, beside2, end2)
	REQUANTIZE(PIXELS2, shifted2, residual2, stored2)
	LEAQ (R8)(R9*2), R8
	SUBQ $2, R15
	JGE  two

odd:
	ADDQ $2, R15
	JZ   next
	WINDOW(PIXELS1, STEP1, pair1, tap1, last1, beside1, end1)
	REQUANTIZE(PIXELS1, shifted1, residual1, stored1)

next:
	MOVQ a_SrcNext+88(FP), SI
	ADDQ SI, a_Src+0(FP)
	MOVQ a_DstNext+104(FP), SI
	ADDQ SI, a_Dst+8(FP)
	MOVQ a_ResNext+120(FP), SI
	ADDQ SI, a_Res+16(FP)
	DECQ a_Rows+32(FP)
	JNZ  row
	VZEROUPPER
	RET

three:
	CMPQ R9, R12
	JEQ  beside3
	LEAQ (R12)(R12*1), SI
	CMPQ R9, SI
	JNE  any
	BELOW((R8), (R8)(R10*1), Y8, Y9)
	ADD_TIMES(Y8, Y9, 128, (DX), 32(DX), Y0, Y1)
	BESIDE((R8)(R10*2), Y6, Y8, Y9)
	ADD_TIMES(Y8, Y9, 320, Y0, Y1, Y0, Y1)
	ADDQ R12, R8
	COLUMNS3(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)
	DECQ R15
	JZ   last3

columns3:
	COLUMNS3(ODD, MULTIPLY, ROUND, UPPER, PACK, STORE)
	ADDQ AX, BX
	DECQ R15
	JNZ  columns3

last3:
	PLAIN(Y7, Y14)
	JMP  next

beside3:
	COLUMN3(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)
	COLUMN3(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)
	COLUMN3(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)
	DECQ R15
	JZ   last3

column3:
	COLUMN3(ODD, MULTIPLY, ROUND, UPPER, PACK, STORE)
	ADDQ AX, BX
	DECQ R15
	JNZ  column3
	JMP  last3

five:
	CMPQ R9, R12
	JNE  any
	COLUMN5
	COLUMN5
	COLUMN5
	COLUMN5

column5:
	COLUMN5
	PLAIN(Y8, Y9)
	DECQ R15
	JNZ  column5
	JMP  next

// func depthwiseSumsAVX2(a tile.DepthwiseArgs)
TEXT ·depthwiseSumsAVX2(SB), NOSPLIT, $0-144
	MOVQ a_Panel+24(FP), DX
	STEPS

row:
	MOVQ a_Src+0(FP), R8
	MOVQ a_Dst+8(FP), BX
	MOVQ a_Pixels+40(FP), R15
	SUBQ $2, R15
	JLT  odd

two:
	WINDOW(PIXELS2, STEP2, pair2, tap2, last2, beside2, end2)
	PIXELS2(SUMS)
	LEAQ (R8)(R9*2), R8
	SUBQ $2, R15
	JGE  two

odd:
	ADDQ $2, R15
	JZ   next
	WINDOW(PIXELS1, STEP1, pair1, tap1, last1, beside1, end1)
	PIXELS1(SUMS)

next:
	MOVQ a_SrcNext+88(FP), SI
	ADDQ SI, a_Src+0(FP)
	MOVQ a_DstNext+104(FP), SI
	ADDQ SI, a_Dst+8(FP)
	DECQ a_Rows+32(FP)
	JNZ  row
	VZEROUPPER
	RET
