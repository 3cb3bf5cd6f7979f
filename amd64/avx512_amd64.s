//go:build !purego

#include "textflag.h"

// Tiles of 14 or 7 pixels by 32 output channels. A step multiplies four bytes
// of each pixel, unsigned, by four bytes of each channel, signed: VPDPBUSD
// wraps and never saturates. Of a panel's 32 channels, the first register
// holds those whose number has bit 2 clear, so that VPACKSSDW, which works
// within 128-bit lanes, brings them back into order.

DATA flip<>+0(SB)/4, $0x80808080
GLOBL flip<>(SB), RODATA|NOPTR, $4

// SRC: SI window row, DI weights, R8 R9 R10 R11 R12 R13 BX = 1 3 5 7 9 11 13
// times the distance of pixels.

// Weights come from far away when a panel is used for the first time: they are
// called for some 60 steps ahead.
#define WEIGHTS \
	PREFETCHT0 8192(DI); \
	PREFETCHT0 8256(DI); \
	VMOVDQU32  (DI), Z28; \
	VMOVDQU32  64(DI), Z29

#define PIXEL(address, low, high) \
	VPBROADCASTD address, Z30; \
	VPDPBUSD     Z28, Z30, low; \
	VPDPBUSD     Z29, Z30, high

#define PIXELS7 \
	PIXEL((SI), Z0, Z1); \
	PIXEL((SI)(R8*1), Z2, Z3); \
	PIXEL((SI)(R8*2), Z4, Z5); \
	PIXEL((SI)(R9*1), Z6, Z7); \
	PIXEL((SI)(R8*4), Z8, Z9); \
	PIXEL((SI)(R10*1), Z10, Z11); \
	PIXEL((SI)(R9*2), Z12, Z13)

#define PIXELS14 \
	PIXELS7; \
	PIXEL((SI)(R11*1), Z14, Z15); \
	PIXEL((SI)(R8*8), Z16, Z17); \
	PIXEL((SI)(R12*1), Z18, Z19); \
	PIXEL((SI)(R10*2), Z20, Z21); \
	PIXEL((SI)(R13*1), Z22, Z23); \
	PIXEL((SI)(R9*4), Z24, Z25); \
	PIXEL((SI)(BX*1), Z26, Z27)

#define BIAS(low, high) \
	VMOVDQA32 Z28, low; \
	VMOVDQA32 Z29, high

#define BIAS7 \
	BIAS(Z0, Z1); BIAS(Z2, Z3); BIAS(Z4, Z5); BIAS(Z6, Z7); BIAS(Z8, Z9); BIAS(Z10, Z11); BIAS(Z12, Z13)

#define BIAS14 \
	BIAS7; \
	BIAS(Z14, Z15); BIAS(Z16, Z17); BIAS(Z18, Z19); BIAS(Z20, Z21); BIAS(Z22, Z23); BIAS(Z24, Z25); BIAS(Z26, Z27)

#define SHIFT(low, high) \
	VPSLLVD Z30, low, low; \
	VPSLLVD Z30, high, high

#define SHIFT7 \
	SHIFT(Z0, Z1); SHIFT(Z2, Z3); SHIFT(Z4, Z5); SHIFT(Z6, Z7); SHIFT(Z8, Z9); SHIFT(Z10, Z11); SHIFT(Z12, Z13)

#define SHIFT14 \
	SHIFT7; \
	SHIFT(Z14, Z15); SHIFT(Z16, Z17); SHIFT(Z18, Z19); SHIFT(Z20, Z21); SHIFT(Z22, Z23); SHIFT(Z24, Z25); SHIFT(Z26, Z27)

// Products of 32 by 32 bits need 64: even places stay in low and high, odd
// ones go to Z28 and Z29. DX points to the panel: its multipliers begin at
// 128, and four bytes later the odd ones lie at even places. Z31 holds what is
// added before the shift.
#define MULTIPLY(low, high) \
	VMOVSHDUP low, Z28; \
	VMOVSHDUP high, Z29; \
	VPMULDQ 132(DX), Z28, Z28; \
	VPMULDQ 196(DX), Z29, Z29; \
	VPMULDQ 128(DX), low, low; \
	VPMULDQ 192(DX), high, high; \
	VPADDQ  Z31, Z28, Z28; \
	VPADDQ  Z31, Z29, Z29; \
	VPADDQ  Z31, low, low; \
	VPADDQ  Z31, high, high

// MERGE brings even and odd places together.
#define MERGE(low, high) \
	VMOVDQA32 low, K1, Z28; \
	VMOVDQA32 high, K1, Z29

// STORE saturates and stores a pixel; R15 points to it.
#define STORE \
	VPACKSSDW   Z29, Z28, Z28; \
	VPMOVSWB    Z28, Y28; \
	VPXORD.BCST flip<>(SB), Y28, Y28; \
	VMOVDQU32   Y28, (R15); \
	ADDQ        AX, R15

// Without a residual both roundings are one shift by 31+6 bits, 32 of which
// are the choice of the upper halves.
#define PLAIN(low, high) \
	MULTIPLY(low, high); \
	VMOVSHDUP low, K1, Z28; \
	VMOVSHDUP high, K1, Z29; \
	VPSRAD    $5, Z28, Z28; \
	VPSRAD    $5, Z29, Z29; \
	STORE

// With a residual, at CX: each byte times the ratio, whose pairs with zero are
// in Z30, is added between the roundings.
#define RESIDUAL(low, high) \
	MULTIPLY(low, high); \
	VPSRLQ     $31, low, low; \
	VPSRLQ     $31, high, high; \
	VPADDQ     Z28, Z28, Z28; \
	VPADDQ     Z29, Z29, Z29; \
	MERGE(low, high); \
	VPMOVZXBW  (CX), high; \
	ADDQ       DI, CX; \
	VPUNPCKLWD high, high, low; \
	VPUNPCKHWD high, high, high; \
	VPDPWSSD   Z30, low, Z28; \
	VPDPWSSD   Z30, high, Z29; \
	VPSRAD     $6, Z28, Z28; \
	VPSRAD     $6, Z29, Z29; \
	STORE

#define PLAIN7 \
	PLAIN(Z0, Z1); PLAIN(Z2, Z3); PLAIN(Z4, Z5); PLAIN(Z6, Z7); PLAIN(Z8, Z9); PLAIN(Z10, Z11); PLAIN(Z12, Z13)

#define PLAIN14 \
	PLAIN7; \
	PLAIN(Z14, Z15); PLAIN(Z16, Z17); PLAIN(Z18, Z19); PLAIN(Z20, Z21); PLAIN(Z22, Z23); PLAIN(Z24, Z25); PLAIN(Z26, Z27)

#define RESIDUAL7 \
	RESIDUAL(Z0, Z1); RESIDUAL(Z2, Z3); RESIDUAL(Z4, Z5); RESIDUAL(Z6, Z7); RESIDUAL(Z8, Z9); RESIDUAL(Z10, Z11); RESIDUAL(Z12, Z13)

#define RESIDUAL14 \
	RESIDUAL7; \
	RESIDUAL(Z14, Z15); RESIDUAL(Z16, Z17); RESIDUAL(Z18, Z19); RESIDUAL(Z20, Z21); RESIDUAL(Z22, Z23); RESIDUAL(Z24, Z25); RESIDUAL(Z26, Z27)

// SUMS stores the sums of a pixel.
#define SUMS(low, high) \
	VMOVDQU32 low, (R15); \
	VMOVDQU32 high, 64(R15); \
	ADDQ      AX, R15

#define SUMS14 \
	SUMS(Z0, Z1); SUMS(Z2, Z3); SUMS(Z4, Z5); SUMS(Z6, Z7); SUMS(Z8, Z9); SUMS(Z10, Z11); SUMS(Z12, Z13); \
	SUMS(Z14, Z15); SUMS(Z16, Z17); SUMS(Z18, Z19); SUMS(Z20, Z21); SUMS(Z22, Z23); SUMS(Z24, Z25); SUMS(Z26, Z27)

// TILES is the loop over tiles. R14 is the window of a tile's first pixel.
#define TILES(bias, pixels, shift, plain, residual) \
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
	bias; \
	MOVQ R14, SI; \
	LEAQ 256(DX), DI; \
	MOVQ a_Runs+40(FP), AX; \
row: \
	MOVQ a_Steps+48(FP), CX; \
step: \
	WEIGHTS; \
	pixels; \
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
	shift; \
shifted: \
	MOVQ a_Dst+8(FP), R15; \
	MOVQ a_Res+16(FP), CX; \
	MOVQ a_DstStep+72(FP), AX; \
	TESTQ CX, CX; \
	JNZ  res; \
	MOVQ $0x1040000000, SI; /* half of 1<<31 and 32 << 31 */ \
	VPBROADCASTQ SI, Z31; \
	plain; \
	JMP  stored; \
res: \
	MOVQ $32, SI; \
	MOVQ a_Ratio+120(FP), DI; \
	VPBROADCASTD DI, Z30; \
	SHLQ $7, DI; \
	SUBQ DI, SI; /* residuals are stored as q + 128 */ \
	SHLQ $31, SI; \
	MOVQ $0x40000000, DI; \
	ADDQ DI, SI; \
	VPBROADCASTQ SI, Z31; \
	MOVQ a_ResStep+80(FP), DI; \
	residual; \
	MOVQ a_ResNext+104(FP), AX; \
	ADDQ AX, a_Res+16(FP); \
stored: \
	MOVQ a_DstNext+96(FP), AX; \
	ADDQ AX, a_Dst+8(FP); \
	ADDQ a_SrcNext+88(FP), R14; \
	DECQ a_Tiles+32(FP); \
	JNZ  tile; \
	VZEROUPPER; \
	RET

// func conv14AVX512(a tile.Args)
TEXT ·conv14AVX512(SB), NOSPLIT, $0-136
	TILES(BIAS14, PIXELS14, SHIFT14, PLAIN14, RESIDUAL14)

// func conv7AVX512(a tile.Args)
TEXT ·conv7AVX512(SB), NOSPLIT, $0-136
	TILES(BIAS7, PIXELS7, SHIFT7, PLAIN7, RESIDUAL7)

// func sums14AVX512(a tile.Args)
TEXT ·sums14AVX512(SB), NOSPLIT, $0-136
	TILES(BIAS14, PIXELS14, SHIFT14, SUMS14, SUMS14)

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
