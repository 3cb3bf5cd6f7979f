//go:build !purego

#include "textflag.h"
#include "requantize_avx2_amd64.h"

// Tiles of 4 or 3 pixels by 16 or 8 output channels, of pixels and weights that are
// 16 bits wide: a step multiplies two values of each pixel by two of each channel, and
// VPMADDWD adds the two products in 32 bits, whatever they are. A panel's first eight
// places have all their weights before the others'.

// The bytes of four pixels' first four channels and of their last four, by pixel.
DATA byPixel<>+0(SB)/8, $0x0000000400000000
DATA byPixel<>+8(SB)/8, $0x0000000500000001
DATA byPixel<>+16(SB)/8, $0x0000000600000002
DATA byPixel<>+24(SB)/8, $0x0000000700000003
GLOBL byPixel<>(SB), RODATA|NOPTR, $32

// SI is the window of a tile's first pixel, R8 the distance to the next pixel's and R15
// three times that, both advanced by a run. R10 to R13 are the ends of the pixels'
// runs, DI and R9 of their weights, and AX counts up to there. BX is the runs' offsets, CX
// their number, R14 that of tiles, DX the panel. Y13 is sign bits, Y14 the residual's
// ratio, in pairs with zero, and Y15 what is added to products before their shift.

#define FULL3(op) \
	op(R10, Y0, Y1); \
	op(R11, Y2, Y3); \
	op(R12, Y4, Y5)

#define FULL4(op) \
	FULL3(op); \
	op(R13, Y6, Y7)

#define HALF3(op) \
	op(R10, Y0); \
	op(R11, Y1); \
	op(R12, Y2)

#define HALF4(op) \
	HALF3(op); \
	op(R13, Y3)

#define BIAS(window, low, high) \
	VMOVDQU (DX), low; \
	VMOVDQU 32(DX), high

#define BIAS_HALF(window, sums) VMOVDQU (DX), sums

#define WEIGHTS \
	VMOVDQU (DI)(AX*8), Y8; \
	VMOVDQU (R9)(AX*8), Y9

#define WEIGHTS_HALF VMOVDQU (DI)(AX*8), Y8

#define STEP(window, low, high) \
	VPBROADCASTD (window)(AX*1), Y10; \
	VPMADDWD     Y8, Y10, Y11; \
	VPMADDWD     Y9, Y10, Y10; \
	VPADDD       Y11, low, low; \
	VPADDD       Y10, high, high

#define STEP_HALF(window, sums) \
	VPBROADCASTD (window)(AX*1), Y10; \
	VPMADDWD     Y8, Y10, Y10; \
	VPADDD       Y10, sums, sums

#define SHIFT(window, low, high) \
	VPSLLD X10, low, low; \
	VPSLLD X10, high, high

#define SHIFT_HALF(window, sums) VPSLLD X10, sums, sums

#define PLAIN_HALF(window, sums) ROUND(32, sums, Y10)

#define RESIDUAL_HALF(window, sums) \
	DOUBLE(32, sums, Y10); \
	VPMOVZXBD (CX), Y11; \
	ADDQ      DI, CX; \
	ADD(Y11, sums)

#define STORE_HALF3(pack) \
	VPACKSSDW    Y1, Y0, Y0; \
	VPACKSSDW    Y3, Y2, Y2; \
	pack(Y2, Y0); \
	VMOVDQU      byPixel<>(SB), Y10; \
	VPERMD       Y0, Y10, Y0; \
	VMOVQ        X0, (BX); \
	VMOVHPS      X0, (BX)(AX*1); \
	LEAQ         (BX)(AX*2), BX; \
	VEXTRACTI128 $1, Y0, X0; \
	VMOVQ        X0, (BX)

#define STORE_HALF4(pack) \
	STORE_HALF3(pack); \
	VMOVHPS X0, (BX)(AX*1)

// TILES is the loops over panels, tiles, runs and steps.
#define TILES(pixels, channels, bias, weights, op, shift, plain, residual, store) \
	MOVQ a_SrcStep+64(FP), R8; \
	LEAQ (R8)(R8*2), R15; \
	MOVQ a_Panel+24(FP), DX; \
	MOVQ a_Steps+48(FP), AX; \
	MOVQ AX, CX; \
	SHLQ $2, AX; \
	ADDQ AX, a_Src+0(FP); \
	NEGQ AX; \
	MOVQ AX, a_SrcRow+56(FP); /* minus the bytes of a run */ \
	SHLQ $5, CX; \
	MOVQ CX, a_Steps+48(FP); /* bytes of half of a run's weights */ \
	IMULQ a_Runs+40(FP), CX; \
	MOVQ CX, a_Wide+128(FP); /* of half of all */ \
	MOVQ a_Res+16(FP), CX; \
	CONSTANTS \
panel: \
	MOVQ a_Src+0(FP), SI; \
	MOVQ a_Tiles+32(FP), R14; \
tile: \
	pixels(bias); \
	LEAQ (8*channels)(DX), DI; \
	MOVQ a_Wide+128(FP), R9; \
	ADDQ DI, R9; \
	MOVQ a_Offsets+136(FP), BX; \
	MOVQ a_Runs+40(FP), CX; \
run: \
	MOVL (BX), AX; \
	ADDQ $4, BX; \
	LEAQ (SI)(AX*1), R10; \
	LEAQ (R10)(R8*1), R11; \
	LEAQ (R10)(R8*2), R12; \
	LEAQ (R10)(R15*1), R13; \
	MOVQ a_Steps+48(FP), AX; \
	ADDQ AX, DI; \
	ADDQ AX, R9; \
	MOVQ a_SrcRow+56(FP), AX; \
step: \
	weights; \
	pixels(op); \
	ADDQ $4, AX; \
	JNZ  step; \
	DECQ CX; \
	JNZ  run; \
	MOVQ a_Shift+112(FP), AX; \
	TESTQ AX, AX; \
	JZ   shifted; \
	VMOVQ AX, X10; \
	pixels(shift); \
shifted: \
	MOVQ a_Res+16(FP), CX; \
	REQUANTIZE(pixels, plain, residual, store); \
	ADDQ a_SrcNext+88(FP), SI; \
	DECQ R14; \
	JNZ  tile; \
	MOVQ a_Tiles+32(FP), AX; \
	IMULQ a_DstNext+96(FP), AX; \
	SUBQ $channels, AX; \
	SUBQ AX, a_Dst+8(FP); \
	MOVQ a_Res+16(FP), CX; \
	TESTQ CX, CX; \
	JZ   next; \
	MOVQ a_Tiles+32(FP), AX; \
	IMULQ a_ResNext+104(FP), AX; \
	SUBQ $channels, AX; \
	SUBQ AX, a_Res+16(FP); \
next: \
	ADDQ a_PanelNext+152(FP), DX; \
	DECQ a_Panels+144(FP); \
	JNZ  panel; \
	VZEROUPPER; \
	RET

#define TILES_FULL(pixels, store) TILES(pixels, 16, BIAS, WEIGHTS, STEP, SHIFT, PLAIN, RESIDUAL, store)
#define TILES_HALF(pixels, store) TILES(pixels, 8, BIAS_HALF, WEIGHTS_HALF, STEP_HALF, SHIFT_HALF, PLAIN_HALF, RESIDUAL_HALF, store)

// func words4AVX2(a tile.Args)
TEXT ·words4AVX2(SB), NOSPLIT, $0-160
	TILES_FULL(FULL4, STORE_FULL4)

// func words3AVX2(a tile.Args)
TEXT ·words3AVX2(SB), NOSPLIT, $0-160
	TILES_FULL(FULL3, STORE_FULL3)

// func wordsHalf4AVX2(a tile.Args)
TEXT ·wordsHalf4AVX2(SB), NOSPLIT, $0-160
	TILES_HALF(HALF4, STORE_HALF4)

// func wordsHalf3AVX2(a tile.Args)
TEXT ·wordsHalf3AVX2(SB), NOSPLIT, $0-160
	TILES_HALF(HALF3, STORE_HALF3)

// func widenAVX2(a tile.WidenArgs)
TEXT ·widenAVX2(SB), NOSPLIT, $0-48
	MOVQ a_Dst+0(FP), DI
	MOVQ a_Src+8(FP), SI
	MOVQ a_Length+16(FP), R8
	MOVQ a_Count+24(FP), BX
	MOVQ a_DstStep+32(FP), R9
	MOVQ a_SrcStep+40(FP), R10

run:
	XORQ CX, CX

values:
	VPMOVZXBW (SI)(CX*1), Y0
	VMOVDQU   Y0, (DI)(CX*2)
	ADDQ      $16, CX
	CMPQ      CX, R8
	JLT       values
	ADDQ      R9, DI
	ADDQ      R10, SI
	DECQ      BX
	JNZ       run
	VZEROUPPER
	RET
