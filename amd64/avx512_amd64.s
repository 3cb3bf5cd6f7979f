//go:build !purego

#include "textflag.h"
#include "requantize_amd64.h"

// Tiles of 14 or 7 pixels by 32 output channels. A step multiplies four bytes
// of each pixel, unsigned, by four bytes of each channel, signed: VPDPBUSD
// wraps and never saturates. Of a panel's 32 channels, the first register
// holds those whose number has bit 2 clear, so that VPACKSSDW, which works
// within 128-bit lanes, brings them back into order.

DATA flip<>+0(SB)/4, $0x80808080
GLOBL flip<>(SB), RODATA|NOPTR, $4

// SI is the window's place, DI the weights, and R8 R9 R10 R11 R12 R13 BX are 1 3
// 5 7 9 11 13 times the distance of pixels.

// Weights come from far away when a panel is used for the first time: they are
// called for some 60 steps ahead.
#define WEIGHTS \
	PREFETCHT0 8192(DI); \
	PREFETCHT0 8256(DI); \
	VMOVDQU32  (DI), Z28; \
	VMOVDQU32  64(DI), Z29

// PIXELS applies a macro to each pixel of a tile.
#define PIXELS7(op) \
	op((SI), Z0, Z1); \
	op((SI)(R8*1), Z2, Z3); \
	op((SI)(R8*2), Z4, Z5); \
	op((SI)(R9*1), Z6, Z7); \
	op((SI)(R8*4), Z8, Z9); \
	op((SI)(R10*1), Z10, Z11); \
	op((SI)(R9*2), Z12, Z13)

#define PIXELS14(op) \
	PIXELS7(op); \
	op((SI)(R11*1), Z14, Z15); \
	op((SI)(R8*8), Z16, Z17); \
	op((SI)(R12*1), Z18, Z19); \
	op((SI)(R10*2), Z20, Z21); \
	op((SI)(R13*1), Z22, Z23); \
	op((SI)(R9*4), Z24, Z25); \
	op((SI)(BX*1), Z26, Z27)

#define BIAS(address, low, high) \
	VMOVDQA32 Z28, low; \
	VMOVDQA32 Z29, high

#define STEP(address, low, high) \
	VPBROADCASTD address, Z30; \
	VPDPBUSD     Z28, Z30, low; \
	VPDPBUSD     Z29, Z30, high

#define SHIFT(address, low, high) \
	VPSLLVD Z30, low, low; \
	VPSLLVD Z30, high, high

// Of requantize_amd64.h. Merged sums are in Z28 and Z29, which frees low and high
// for the residual. K1 selects even places.

#define WIDTH 64
#define DST   R15
#define ODD0  Z28
#define ODD1  Z29
#define RATIO Z30
#define HALF  Z31

#define SET_HALF  VPBROADCASTQ SI, HALF
#define SET_RATIO VPBROADCASTD DI, RATIO

#define ODD_PLACES(from, to) VMOVSHDUP from, to

#define MERGE(low, high) \
	VMOVDQA32 low, K1, ODD0; \
	VMOVDQA32 high, K1, ODD1

#define MERGE_UPPER(low, high) \
	VMOVSHDUP low, K1, ODD0; \
	VMOVSHDUP high, K1, ODD1

#define MULTIPLY_ADD(r0, r1, s0, s1) \
	VPDPWSSD RATIO, r0, s0; \
	VPDPWSSD RATIO, r1, s1

#define SATURATE_STORE(s0, s1) \
	VPACKSSDW   s1, s0, Z28; \
	VPMOVSWB    Z28, Y28; \
	VPXORD.BCST flip<>(SB), Y28, Y28; \
	VMOVDQU32   Y28, (DST); \
	ADDQ        AX, DST

#define PLAIN(address, low, high)    ROUND(low, high, ODD0, ODD1)
#define RESIDUAL(address, low, high) ADD_RESIDUAL(low, high, ODD0, ODD1, low, high)

// SUMS stores the sums of a pixel.
#define SUMS(address, low, high) \
	VMOVDQU32 low, (DST); \
	VMOVDQU32 high, 64(DST); \
	ADDQ      AX, DST

// TILES is the loop over tiles. R14 is the window of a tile's first pixel.
#define TILES(pixels, plain, residual) \
	MOVQ a_Src+0(FP), R14; \
	MOVQ a_Panel+24(FP), DX; \
	MOVQ a_SrcStep+64(FP), R8; \
	MOVQ a_Steps+48(FP), AX; \
	SHLQ $2, AX; \
	SUBQ AX, a_SrcRow+56(FP); \
	LEAQ (R8)(R8*2), R9; \
	LEAQ (R8)(R8*4), R10; \
	LEAQ (R9)(R8*4), R11; \
	LEAQ (R8)(R8*8), R12; \
	LEAQ (R9)(R8*8), R13; \
	LEAQ (R10)(R8*8), BX; \
	MOVL $0x5555, AX; \
	KMOVW AX, K1; \
tile: \
	VMOVDQU32 (DX), Z28; \
	VMOVDQU32 64(DX), Z29; \
	pixels(BIAS); \
	MOVQ R14, SI; \
	LEAQ 256(DX), DI; \
	MOVQ a_Runs+40(FP), AX; \
row: \
	MOVQ a_Steps+48(FP), CX; \
step: \
	WEIGHTS; \
	pixels(STEP); \
	ADDQ $4, SI; \
	ADDQ $128, DI; \
	DECQ CX; \
	JNZ  step; \
	ADDQ a_SrcRow+56(FP), SI; \
	DECQ AX; \
	JNZ  row; \
	MOVQ a_Shift+112(FP), AX; \
	TESTQ AX, AX; \
	JZ   shifted; \
	VPBROADCASTD AX, Z30; \
	pixels(SHIFT); \
shifted: \
	REQUANTIZE(pixels, plain, residual); \
	ADDQ a_SrcNext+88(FP), R14; \
	DECQ a_Tiles+32(FP); \
	JNZ  tile; \
	VZEROUPPER; \
	RET

// func conv14AVX512(a tile.Args)
TEXT ·conv14AVX512(SB), NOSPLIT, $0-160
	TILES(PIXELS14, PLAIN, RESIDUAL)

// func conv7AVX512(a tile.Args)
TEXT ·conv7AVX512(SB), NOSPLIT, $0-160
	TILES(PIXELS7, PLAIN, RESIDUAL)

// func sums14AVX512(a tile.Args)
TEXT ·sums14AVX512(SB), NOSPLIT, $0-160
	TILES(PIXELS14, SUMS, SUMS)

// func denseAVX512(a tile.DenseArgs)
TEXT ·denseAVX512(SB), NOSPLIT, $0-48
	MOVQ a_Dst+0(FP), DI
	MOVQ a_Src+8(FP), SI
	MOVQ a_Weights+16(FP), DX
	MOVQ a_Rows+24(FP), BX
	MOVQ a_Length+32(FP), R8
	MOVQ a_Stride+40(FP), R9

class:
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	XORQ   CX, CX
	MOVQ   R8, AX
	SUBQ   $64, AX
	JLT    rest

wide:
	VPMOVSXBW (DX)(CX*1), Z2
	VPMOVSXBW 32(DX)(CX*1), Z3
	VPMADDWD  (SI)(CX*2), Z2, Z2
	VPMADDWD  64(SI)(CX*2), Z3, Z3
	VPADDD    Z2, Z0, Z0
	VPADDD    Z3, Z1, Z1
	ADDQ      $64, CX
	CMPQ      CX, AX
	JLE       wide

rest:
	CMPQ      CX, R8
	JGE       sum
	VPMOVSXBW (DX)(CX*1), Y2
	VPMADDWD  (SI)(CX*2), Y2, Y2
	VPADDD    Z2, Z0, Z0 // the upper half of Z2 is zero
	ADDQ      $16, CX
	JMP       rest

sum:
	VPADDD        Z1, Z0, Z0
	VEXTRACTI64X4 $1, Z0, Y1
	VPADDD        Y1, Y0, Y0
	VEXTRACTI128  $1, Y0, X1
	VPADDD        X1, X0, X0
	VPSHUFD       $0x4e, X0, X1
	VPADDD        X1, X0, X0
	VPSHUFD       $0xb1, X0, X1
	VPADDD        X1, X0, X0
	VMOVD         X0, (DI)
	ADDQ          $4, DI
	ADDQ          R9, DX
	DECQ          BX
	JNZ           class
	VZEROUPPER
	RET
