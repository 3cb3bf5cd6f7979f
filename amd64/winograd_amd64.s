//go:build !purego

#include "textflag.h"

// Winograd's F(4x4, 3x3) for CPUs with AVX2: see tile.Winograd. All transforms are
// integers. Vectors are 16 input channels, in 16 bits, or 8 output channels, in 32.

// STORE stores four pixels, and goes on to the next row.
#define STORE \
	VPACKSSDW    Y1, Y0, Y0; \
	VPACKSSDW    Y3, Y2, Y2; \
	VPACKSSWB    Y2, Y0, Y0; \
	VPERMD       Y0, Y12, Y0; \
	VPXOR        winogradSigns<>(SB), Y0, Y0; \
	VEXTRACTI128 $1, Y0, X1; \
	VMOVQ        X0, (BX); \
	VMOVHPS      X0, (BX)(R13*1); \
	VMOVQ        X1, (BX)(R13*2); \
	VMOVHPS      X1, (BX)(R14*1); \
	ADDQ         a_DstRow+48(FP), BX

#define PLAIN_ROW(y) \
	PIXELS(y); \
	PLAIN(Y0, Y4); \
	PLAIN(Y1, Y5); \
	PLAIN(Y2, Y6); \
	PLAIN(Y3, Y7); \
	STORE

#define RESIDUAL_ROW(y) \
	PIXELS(y); \
	RESIDUAL((CX), Y0, Y4, Y8); \
	RESIDUAL((CX)(DI*1), Y1, Y5, Y9); \
	RESIDUAL((CX)(DI*2), Y2, Y6, Y8); \
	RESIDUAL((CX)(R15*1), Y3, Y7, Y9); \
	ADDQ a_ResRow+64(FP), CX; \
	STORE

// INPUT transforms six vectors.
//
//	 4  0 -5  0  1  0
//	 0  4  4 -1 -1  0
//	 0  4 -4 -1  1  0
//	 0 -2 -1  2  1  0
//	 0  2 -1 -2  1  0
//	 0  4  0 -5  0  1
//
// from Y0 to Y5 into Y0, Y6, Y7, Y8, Y9 and Y5.
#define INPUT \
	VPSLLW $2, Y2, Y6; \
	VPSLLW $2, Y1, Y7; \
	VPSUBW Y2, Y0, Y0; \
	VPSUBW Y1, Y3, Y8; \
	VPSUBW Y2, Y4, Y9; \
	VPSUBW Y3, Y5, Y5; \
	VPSUBW Y4, Y6, Y4; \
	VPSUBW Y3, Y7, Y3; \
	VPSLLW $2, Y0, Y0; \
	VPADDW Y8, Y8, Y8; \
	VPADDW Y3, Y4, Y6; \
	VPSUBW Y4, Y3, Y7; \
	VPADDW Y9, Y0, Y0; \
	VPADDW Y8, Y8, Y10; \
	VPSUBW Y10, Y5, Y5; \
	VPSUBW Y8, Y9, Y10; \
	VPADDW Y8, Y9, Y8; \
	VMOVDQA Y10, Y9

// COLUMN transforms a column of a tile's inputs, and keeps it.
#define COLUMN(x) \
	VPMOVZXBW (R8), Y0; \
	VPMOVZXBW (R8)(R10*1), Y1; \
	VPMOVZXBW (R8)(R10*2), Y2; \
	VPMOVZXBW (R8)(R11*1), Y3; \
	VPMOVZXBW (R8)(R10*4), Y4; \
	VPMOVZXBW (R8)(R12*1), Y5; \
	ADDQ      R9, R8; \
	INPUT; \
	VMOVDQU   Y0, (32*x)(BX); \
	VMOVDQU   Y6, (32*x+192)(BX); \
	VMOVDQU   Y7, (32*x+384)(BX); \
	VMOVDQU   Y8, (32*x+576)(BX); \
	VMOVDQU   Y9, (32*x+768)(BX); \
	VMOVDQU   Y5, (32*x+960)(BX)

// ROW transforms a row of what was kept, and stores its elements.
#define ROW(y) \
	VMOVDQU (192*y)(BX), Y0; \
	VMOVDQU (192*y+32)(BX), Y1; \
	VMOVDQU (192*y+64)(BX), Y2; \
	VMOVDQU (192*y+96)(BX), Y3; \
	VMOVDQU (192*y+128)(BX), Y4; \
	VMOVDQU (192*y+160)(BX), Y5; \
	INPUT; \
	VMOVDQU Y0, (AX); \
	VMOVDQU Y6, (AX)(DX*1); \
	VMOVDQU Y7, (AX)(DX*2); \
	VMOVDQU Y8, (AX)(R13*1); \
	VMOVDQU Y9, (AX)(DX*4); \
	VMOVDQU Y5, (AX)(R15*1); \
	ADDQ    R14, AX

// func winogradInputAVX2(a tile.WinogradInput)
//
//   SI DI  the tile's window and elements     R8 AX  a column of it, and a row of them
//   BX     what is kept between both transforms
//   R9     from one pixel to the next         R10 R11 R12  one, three and five rows
//   DX R13 R15 R14  one, three, five and six elements
//   CX     tiles left
TEXT ·winogradInputAVX2(SB), 0, $1152-56
	MOVQ a_Src+0(FP), SI
	MOVQ a_Dst+8(FP), DI
	LEAQ kept-1152(SP), BX
	MOVQ a_SrcRow+32(FP), R10
	MOVQ a_SrcStep+40(FP), R9
	MOVQ a_DstStep+48(FP), DX
	LEAQ (R10)(R10*2), R11
	LEAQ (R10)(R10*4), R12
	LEAQ (DX)(DX*2), R13
	LEAQ (DX)(DX*4), R15
	LEAQ (R13)(R13*1), R14

block:
	MOVQ a_Tiles+16(FP), CX
	MOVQ SI, a_Src+0(FP)
	MOVQ DI, a_Dst+8(FP)

tile:
	MOVQ SI, R8
	MOVQ DI, AX
	COLUMN(0)
	COLUMN(1)
	COLUMN(2)
	COLUMN(3)
	COLUMN(4)
	COLUMN(5)
	ROW(0)
	ROW(1)
	ROW(2)
	ROW(3)
	ROW(4)
	ROW(5)
	LEAQ (SI)(R9*4), SI
	ADDQ $32, DI
	DECQ CX
	JNZ  tile

	MOVQ a_Src+0(FP), SI
	MOVQ a_Dst+8(FP), DI
	ADDQ $16, SI
	ADDQ $128, DI // four tiles of 16 channels
	DECQ a_Blocks+24(FP)
	JNZ  block
	VZEROUPPER
	RET

// TILE adds products of two inputs of a tile.
#define TILE(at, low, high, p, q) \
	VPBROADCASTD at(SI), p; \
	VPMADDWD     Y8, p, q; \
	VPMADDWD     Y9, p, p; \
	VPADDD       q, low, low; \
	VPADDD       p, high, high

#define PAIR(i) \
	VMOVDQU (64*i)(DI), Y8; \
	VMOVDQU (64*i+32)(DI), Y9; \
	TILE(4*i, Y0, Y1, Y10, Y11); \
	TILE(4*i+32, Y2, Y3, Y12, Y13); \
	TILE(4*i+64, Y4, Y5, Y14, Y15); \
	TILE(4*i+96, Y6, Y7, Y10, Y11)

// func winogradMultiplyAVX2(a tile.WinogradMultiply)
//
//   SI DI BX  inputs, weights and sums
//   AX        elements left                   DX groups left
//   CX        steps left                      R8 weights of the element
TEXT ·winogradMultiplyAVX2(SB), NOSPLIT, $0-40
	MOVQ a_Src+0(FP), SI
	MOVQ a_Weights+8(FP), DI
	MOVQ a_Dst+16(FP), BX
	MOVQ $36, AX

element:
	MOVQ a_Groups+24(FP), DX
	MOVQ DI, R8
	MOVQ a_Steps+32(FP), R9
	SHLQ $9, R9
	ADDQ DI, R9

group:
	MOVQ  R8, DI
	MOVQ  a_Steps+32(FP), CX
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	VPXOR Y4, Y4, Y4
	VPXOR Y5, Y5, Y5
	VPXOR Y6, Y6, Y6
	VPXOR Y7, Y7, Y7

step:
	PREFETCHT0 (R9)
	PREFETCHT0 64(R9)
	ADDQ $128, R9
	PAIR(0)
	PAIR(1)
	PAIR(2)
	PAIR(3)
	PAIR(4)
	PAIR(5)
	PAIR(6)
	PAIR(7)
	ADDQ $128, SI
	ADDQ $512, DI
	DECQ CX
	JNZ  step

	VMOVDQU Y0, (BX)
	VMOVDQU Y1, 32(BX)
	VMOVDQU Y2, 2304(BX)
	VMOVDQU Y3, 2336(BX)
	VMOVDQU Y4, 4608(BX)
	VMOVDQU Y5, 4640(BX)
	VMOVDQU Y6, 6912(BX)
	VMOVDQU Y7, 6944(BX)
	ADDQ    $9216, BX
	DECQ    DX
	JNZ     group
	ADDQ    $64, SI // tile.WinogradShape.Pad
	MOVQ    a_Dst+16(FP), BX // the next element of the first tile
	ADDQ    $64, BX
	MOVQ    BX, a_Dst+16(FP)
	DECQ    AX
	JNZ     element
	VZEROUPPER
	RET

// OUTPUT transforms six vectors, from Y0 to Y5 into Y0 to Y3.
//
//	1  1  1  1  1  0
//	0  1 -1  2 -2  0
//	0  1  1  4  4  0
//	0  1 -1  8 -8  2
#define OUTPUT \
	VPADDD Y2, Y1, Y6; \
	VPSUBD Y2, Y1, Y7; \
	VPADDD Y4, Y3, Y8; \
	VPSUBD Y4, Y3, Y9; \
	VPADDD Y6, Y0, Y0; \
	VPADDD Y9, Y9, Y9; \
	VPADDD Y5, Y5, Y5; \
	VPADDD Y8, Y0, Y0; \
	VPSLLD $2, Y8, Y8; \
	VPADDD Y9, Y7, Y1; \
	VPSLLD $2, Y9, Y9; \
	VPADDD Y5, Y7, Y7; \
	VPADDD Y8, Y6, Y2; \
	VPADDD Y9, Y7, Y3

// SUMS transforms a column of a tile's sums, and keeps it.
#define SUMS(x) \
	VMOVDQU (64*x)(SI), Y0; \
	VMOVDQU (64*x+384)(SI), Y1; \
	VMOVDQU (64*x+768)(SI), Y2; \
	VMOVDQU (64*x+1152)(SI), Y3; \
	VMOVDQU (64*x+1536)(SI), Y4; \
	VMOVDQU (64*x+1920)(SI), Y5; \
	OUTPUT; \
	VMOVDQU Y0, kept-(768-32*x)(SP); \
	VMOVDQU Y1, kept-(576-32*x)(SP); \
	VMOVDQU Y2, kept-(384-32*x)(SP); \
	VMOVDQU Y3, kept-(192-32*x)(SP)

// SUM makes a pixel's sum of a transformed one, and its product with the multiplier:
// even places stay, odd ones go to odd.
#define SUM(sum, odd) \
	VPADDD  Y10, sum, sum; \
	VPMULLD Y11, sum, sum; \
	VPSRAD  $6, sum, sum; \
	VPSLLD  X13, sum, sum; \
	VPSRLQ  $32, sum, odd; \
	VPMULDQ (DX), sum, sum; \
	VPMULDQ 4(DX), odd, odd; \
	VPADDQ  Y15, sum, sum; \
	VPADDQ  Y15, odd, odd

#define PLAIN(sum, odd) \
	SUM(sum, odd); \
	VPSRLQ   $32, sum, sum; \
	VPBLENDD $0xaa, odd, sum, sum; \
	VPSRAD   $5, sum, sum

#define RESIDUAL(at, sum, odd, r) \
	SUM(sum, odd); \
	VPMOVZXBD at, r; \
	VPSRLQ    $31, sum, sum; \
	VPADDQ    odd, odd, odd; \
	VPMADDWD  Y14, r, r; \
	VPBLENDD  $0xaa, odd, sum, sum; \
	VPADDD    r, sum, sum; \
	VPSRAD    $6, sum, sum

// PIXELS transforms a row of what was kept.
#define PIXELS(y) \
	VMOVDQU kept-(768-192*y)(SP), Y0; \
	VMOVDQU kept-(736-192*y)(SP), Y1; \
	VMOVDQU kept-(704-192*y)(SP), Y2; \
	VMOVDQU kept-(672-192*y)(SP), Y3; \
	VMOVDQU kept-(640-192*y)(SP), Y4; \
	VMOVDQU kept-(608-192*y)(SP), Y5; \
	OUTPUT

DATA winogradSigns<>+0(SB)/8, $0x8080808080808080
DATA winogradSigns<>+8(SB)/8, $0x8080808080808080
DATA winogradSigns<>+16(SB)/8, $0x8080808080808080
DATA winogradSigns<>+24(SB)/8, $0x8080808080808080
GLOBL winogradSigns<>(SB), RODATA|NOPTR, $32

// Halves of four pixels in order.
DATA winogradOrder<>+0(SB)/8, $0x0000000400000000
DATA winogradOrder<>+8(SB)/8, $0x0000000500000001
DATA winogradOrder<>+16(SB)/8, $0x0000000600000002
DATA winogradOrder<>+24(SB)/8, $0x0000000700000003
GLOBL winogradOrder<>(SB), RODATA|NOPTR, $32

// func winogradOutputAVX2(a tile.WinogradOutput)
//
//   SI     sums of the tile      DX           multipliers
//   BX CX  output and residual   R13 R14 DI R15 one pixel and three of them
//   Y10 biases, Y11 the inverse of 9, Y12 order, X13 shift, Y14 ratio, Y15 half
TEXT ·winogradOutputAVX2(SB), 0, $768-96
	MOVQ a_Src+0(FP), SI
	MOVQ a_Bias+24(FP), AX
	MOVQ a_Multiplier+32(FP), DX
	MOVQ a_DstStep+56(FP), R13
	LEAQ (R13)(R13*2), R14
	VMOVDQU (AX), Y10
	MOVL $0x38e38e39, AX
	VMOVD AX, X11
	VPBROADCASTD X11, Y11
	VMOVDQU winogradOrder<>(SB), Y12
	VMOVQ a_Shift+80(FP), X13
	MOVQ a_Res+16(FP), CX
	MOVQ $0x1040000000, AX // half of 1<<31 and 32 << 31
	TESTQ CX, CX
	JZ   half
	MOVQ a_ResStep+72(FP), DI
	LEAQ (DI)(DI*2), R15
	MOVQ a_Ratio+88(FP), AX
	VMOVQ AX, X14
	VPBROADCASTD X14, Y14
	SHLQ $7, AX
	NEGQ AX
	ADDQ $32, AX // residuals are stored as q + 128
	SHLQ $31, AX
	ADDQ $0x40000000, AX

half:
	VMOVQ AX, X15
	VPBROADCASTQ X15, Y15

tile:
	SUMS(0)
	SUMS(1)
	SUMS(2)
	SUMS(3)
	SUMS(4)
	SUMS(5)
	MOVQ a_Dst+8(FP), BX
	MOVQ a_Res+16(FP), CX
	TESTQ CX, CX
	JNZ  residual
	PLAIN_ROW(0)
	PLAIN_ROW(1)
	PLAIN_ROW(2)
	PLAIN_ROW(3)
	JMP  stored

residual:
	RESIDUAL_ROW(0)
	RESIDUAL_ROW(1)
	RESIDUAL_ROW(2)
	RESIDUAL_ROW(3)
	LEAQ (DI*4), AX
	ADDQ AX, a_Res+16(FP)

stored:
	LEAQ (R13*4), AX
	ADDQ AX, a_Dst+8(FP)
	ADDQ $2304, SI
	DECQ a_Tiles+40(FP)
	JNZ  tile
	VZEROUPPER
	RET
