//go:build !purego

#include "textflag.h"

// What is computed value by value. Runs of bytes are taken in vectors of 32 or 16 and
// then of 8. Bytes are stored as q + 128.

// TABLE has the table's rows of 16 bytes each XORed with the row before it, those of the
// upper half beside those of the lower: i and i+8.
#define TABLE(i) \
	VMOVDQU 16*i(R8), X0; \
	VMOVDQU (16*i+128)(R8), X1; \
	VPXOR   (16*i-16)(R8), X0, X0; \
	VPXOR   (16*i+112)(R8), X1, X1; \
	VMOVDQU X0, 32*i(DX); \
	VMOVDQU X1, (32*i+16)(DX)

// ROW takes a row of one half. For each row 16 is subtracted from the indices: those
// below zero take nothing. So the XOR of all that a byte has taken is its value.
#define ROW(index, row, t, value) \
	VPSHUFB index, row, t; \
	VPXOR   t, value, value

// LOOKUP replaces the bytes of one vector, of which those from 128 on have their sign bit
// set; LOOKUP2 those of Y0 and Y6.
#define LOOKUP(load, bytes, index, low, high, t, row, seven, sixteen) \
	VPAND     seven, bytes, index; \
	load      (DX), row; \
	VPSHUFB   index, row, low; \
	load      16(DX), row; \
	VPSHUFB   index, row, high; \
	ROWS(1, load, index, low, high, t, row, sixteen); \
	ROWS(2, load, index, low, high, t, row, sixteen); \
	ROWS(3, load, index, low, high, t, row, sixteen); \
	ROWS(4, load, index, low, high, t, row, sixteen); \
	ROWS(5, load, index, low, high, t, row, sixteen); \
	ROWS(6, load, index, low, high, t, row, sixteen); \
	ROWS(7, load, index, low, high, t, row, sixteen); \
	VPBLENDVB bytes, high, low, bytes

#define ROWS(i, load, index, low, high, t, row, sixteen) \
	VPSUBB sixteen, index, index; \
	load   32*i(DX), row; \
	ROW(index, row, t, low); \
	load   (32*i+16)(DX), row; \
	ROW(index, row, t, high)

#define LOOKUP2 \
	VPAND          Y15, Y0, Y1; \
	VPAND          Y15, Y6, Y7; \
	VBROADCASTI128 (DX), Y5; \
	VPSHUFB        Y1, Y5, Y2; \
	VPSHUFB        Y7, Y5, Y8; \
	VBROADCASTI128 16(DX), Y5; \
	VPSHUFB        Y1, Y5, Y3; \
	VPSHUFB        Y7, Y5, Y9; \
	ROWS2(1); \
	ROWS2(2); \
	ROWS2(3); \
	ROWS2(4); \
	ROWS2(5); \
	ROWS2(6); \
	ROWS2(7); \
	VPBLENDVB      Y0, Y3, Y2, Y0; \
	VPBLENDVB      Y6, Y9, Y8, Y6

#define ROWS2(i) \
	VPSUBB         Y14, Y1, Y1; \
	VPSUBB         Y14, Y7, Y7; \
	VBROADCASTI128 32*i(DX), Y5; \
	ROW(Y1, Y5, Y4, Y2); \
	ROW(Y7, Y5, Y10, Y8); \
	VBROADCASTI128 (32*i+16)(DX), Y5; \
	ROW(Y1, Y5, Y4, Y3); \
	ROW(Y7, Y5, Y10, Y9)

// func lookupAVX2(a tile.LookupArgs)
TEXT ·lookupAVX2(SB), NOSPLIT, $256-56
	MOVQ    a_Dst+0(FP), DI
	MOVQ    a_Src+8(FP), SI
	MOVQ    a_Table+16(FP), R8
	MOVQ    a_Length+24(FP), R9
	MOVQ    a_Count+32(FP), BX
	MOVQ    a_DstStep+40(FP), R10
	MOVQ    a_SrcStep+48(FP), R11
	LEAQ    rows-256(SP), DX
	VMOVDQU (R8), X0
	VMOVDQU 128(R8), X1
	VMOVDQU X0, (DX)
	VMOVDQU X1, 16(DX)
	TABLE(1)
	TABLE(2)
	TABLE(3)
	TABLE(4)
	TABLE(5)
	TABLE(6)
	TABLE(7)
	VPCMPEQB Y15, Y15, Y15
	VPABSB   Y15, Y14
	VPSLLW   $7, Y14, Y13
	VPXOR    Y13, Y15, Y15 // 127
	VPSLLW   $4, Y14, Y14 // 16

run:
	XORQ CX, CX
	MOVQ R9, AX
	SUBQ $64, AX
	JLT  one

two:
	VMOVDQU (SI)(CX*1), Y0
	VMOVDQU 32(SI)(CX*1), Y6
	LOOKUP2
	VMOVDQU Y0, (DI)(CX*1)
	VMOVDQU Y6, 32(DI)(CX*1)
	ADDQ    $64, CX
	CMPQ    CX, AX
	JLE     two

one:
	ADDQ    $32, AX
	CMPQ    CX, AX
	JGT     rest
	VMOVDQU (SI)(CX*1), Y0
	LOOKUP(VBROADCASTI128, Y0, Y1, Y2, Y3, Y4, Y5, Y15, Y14)
	VMOVDQU Y0, (DI)(CX*1)
	ADDQ    $32, CX

rest:
	CMPQ CX, R9
	JGE  next

eight:
	VMOVQ (SI)(CX*1), X0
	LOOKUP(VMOVDQU, X0, X1, X2, X3, X4, X5, X15, X14)
	VMOVQ X0, (DI)(CX*1)
	ADDQ  $8, CX
	CMPQ  CX, R9
	JLT   eight

next:
	ADDQ R10, DI
	ADDQ R11, SI
	DECQ BX
	JNZ  run
	VZEROUPPER
	RET

// CHANNELS takes two bytes of AX from the tables of channels i and i+1.
#define CHANNELS(i) \
	MOVBLZX AL, BX; \
	MOVBLZX AH, CX; \
	MOVQ    (8*i)(R8)(DX*8), R12; \
	MOVQ    (8*i+8)(R8)(DX*8), R13; \
	SHRQ    $16, AX; \
	MOVBLZX (R12)(BX*1), BX; \
	MOVBLZX (R13)(CX*1), CX; \
	MOVB    BX, i(DI)(DX*1); \
	MOVB    CX, (i+1)(DI)(DX*1)

// func lookupChannels(a tile.LookupArgs)
TEXT ·lookupChannels(SB), NOSPLIT, $0-56
	MOVQ a_Dst+0(FP), DI
	MOVQ a_Src+8(FP), SI
	MOVQ a_Table+16(FP), R8
	MOVQ a_Length+24(FP), R9
	MOVQ a_DstStep+40(FP), R10
	MOVQ a_SrcStep+48(FP), R11

pixel:
	XORQ DX, DX

channels:
	MOVQ (SI)(DX*1), AX
	CHANNELS(0)
	CHANNELS(2)
	CHANNELS(4)
	CHANNELS(6)
	ADDQ $8, DX
	CMPQ DX, R9
	JLT  channels
	ADDQ R10, DI
	ADDQ R11, SI
	DECQ a_Count+32(FP)
	JNZ  pixel
	RET

#define BROADCAST_WORDS(argument, x, y) \
	VMOVQ        argument, x; \
	VPBROADCASTW x, y

// MUL multiplies 16 words of y by those of x; the output's words are in x. The products
// of 32 bits lie in two vectors in the order that VPACKSSDW takes. Both roundings of a
// requantization are one shift, see ROUND in requantize_amd64.h.
#define MUL(x, y, t, u, zeroX, zeroY, zero, multiplier, half) \
	VPSUBW     zeroX, x, x; \
	VPSUBW     zeroY, y, y; \
	VPMULLW    y, x, t; \
	VPMULHW    y, x, u; \
	VPUNPCKLWD u, t, x; \
	VPUNPCKHWD u, t, y; \
	VPSLLD     X6, x, x; \
	VPSLLD     X6, y, y; \
	SCALE(x, t, multiplier, half); \
	SCALE(y, t, multiplier, half); \
	VPACKSSDW  y, x, x; \
	VPADDSW    zero, x, x

#define SCALE(x, t, multiplier, half) \
	VPSRLQ   $32, x, t; \
	VPMULDQ  multiplier, x, x; \
	VPMULDQ  multiplier, t, t; \
	VPADDQ   half, x, x; \
	VPADDQ   half, t, t; \
	VPSRLQ   $32, x, x; \
	VPBLENDD $0xaa, t, x, x; \
	VPSRAD   $5, x, x

// func mulAVX2(a tile.MulArgs)
TEXT ·mulAVX2(SB), NOSPLIT, $0-104
	MOVQ         a_Dst+0(FP), DI
	MOVQ         a_X+8(FP), SI
	MOVQ         a_Y+16(FP), DX
	MOVQ         a_Length+24(FP), R8
	MOVQ         a_Count+32(FP), BX
	MOVQ         a_DstStep+40(FP), R9
	MOVQ         a_XStep+48(FP), R10
	MOVQ         a_YStep+56(FP), R11
	VPBROADCASTQ a_Multiplier+64(FP), Y7
	VMOVQ        a_Shift+72(FP), X6
	BROADCAST_WORDS(a_ZeroX+80(FP), X8, Y8)
	BROADCAST_WORDS(a_ZeroY+88(FP), X9, Y9)
	BROADCAST_WORDS(a_Zero+96(FP), X10, Y10)
	MOVQ         $0x1040000000, AX // half of 1<<31 and of 1<<37
	VMOVQ        AX, X11
	VPBROADCASTQ X11, Y11

run:
	XORQ CX, CX
	MOVQ R8, AX
	SUBQ $16, AX
	JLT  rest

whole:
	VPMOVZXBW (SI)(CX*1), Y0
	VPMOVZXBW (DX)(CX*1), Y1
	MUL(Y0, Y1, Y2, Y3, Y8, Y9, Y10, Y7, Y11)
	VPACKUSWB Y0, Y0, Y0
	VPERMQ    $0x08, Y0, Y0
	VMOVDQU   X0, (DI)(CX*1)
	ADDQ      $16, CX
	CMPQ      CX, AX
	JLE       whole

rest:
	CMPQ      CX, R8
	JGE       next
	VPMOVZXBW (SI)(CX*1), X0
	VPMOVZXBW (DX)(CX*1), X1
	MUL(X0, X1, X2, X3, X8, X9, X10, X7, X11)
	VPACKUSWB X0, X0, X0
	VMOVQ     X0, (DI)(CX*1)

next:
	ADDQ R9, DI
	ADDQ R10, SI
	ADDQ R11, DX
	DECQ BX
	JNZ  run
	VZEROUPPER
	RET

// ADD adds 8 values in 32 bits.
#define ADD(x, y) \
	VPMULLD Y8, x, x; \
	VPMULLD Y9, y, y; \
	VPADDD  Y10, x, x; \
	VPADDD  y, x, x; \
	VPSRAD  X6, x, x

// func addAVX2(a tile.AddArgs)
TEXT ·addAVX2(SB), NOSPLIT, $0-104
	MOVQ         a_Dst+0(FP), DI
	MOVQ         a_X+8(FP), SI
	MOVQ         a_Y+16(FP), DX
	MOVQ         a_Length+24(FP), R8
	MOVQ         a_Count+32(FP), BX
	MOVQ         a_DstStep+40(FP), R9
	MOVQ         a_XStep+48(FP), R10
	MOVQ         a_YStep+56(FP), R11
	VPBROADCASTD a_RatioX+64(FP), Y8
	VPBROADCASTD a_RatioY+72(FP), Y9
	VPBROADCASTD a_Offset+80(FP), Y10
	VMOVQ        a_Shift+88(FP), X6
	BROADCAST_WORDS(a_Zero+96(FP), X11, Y11)

run:
	XORQ CX, CX
	MOVQ R8, AX
	SUBQ $16, AX
	JLT  rest

whole:
	VPMOVZXBD (SI)(CX*1), Y0
	VPMOVZXBD 8(SI)(CX*1), Y1
	VPMOVZXBD (DX)(CX*1), Y2
	VPMOVZXBD 8(DX)(CX*1), Y3
	ADD(Y0, Y2)
	ADD(Y1, Y3)
	VPACKSSDW Y1, Y0, Y0
	VPERMQ    $0xd8, Y0, Y0
	VPADDSW   Y11, Y0, Y0
	VPACKUSWB Y0, Y0, Y0
	VPERMQ    $0x08, Y0, Y0
	VMOVDQU   X0, (DI)(CX*1)
	ADDQ      $16, CX
	CMPQ      CX, AX
	JLE       whole

rest:
	CMPQ         CX, R8
	JGE          next
	VPMOVZXBD    (SI)(CX*1), Y0
	VPMOVZXBD    (DX)(CX*1), Y2
	ADD(Y0, Y2)
	VEXTRACTI128 $1, Y0, X1
	VPACKSSDW    X1, X0, X0
	VPADDSW      X11, X0, X0
	VPACKUSWB    X0, X0, X0
	VMOVQ        X0, (DI)(CX*1)

next:
	ADDQ R9, DI
	ADDQ R10, SI
	ADDQ R11, DX
	DECQ BX
	JNZ  run
	VZEROUPPER
	RET

// WIDEN adds 16 sums of 16 bits, unsigned, to those in memory; WIDEN_LOW the lower 8.
#define WIDEN(y, x, low, high) \
	WIDEN_LOW(x, low); \
	VEXTRACTI128 $1, y, x; \
	WIDEN_LOW(x, high)

#define WIDEN_LOW(x, sums) \
	VPMOVZXWD x, Y5; \
	VPADDD    Y7, Y5, Y5; \
	VPADDD    sums, Y5, Y5; \
	VMOVDQU   Y5, sums

// func sumAVX2(a tile.SumArgs)
TEXT ·sumAVX2(SB), NOSPLIT, $0-48
	MOVQ         a_Sums+0(FP), DI
	MOVQ         a_Src+8(FP), SI
	MOVQ         a_Length+16(FP), R8
	MOVQ         a_Count+24(FP), R9
	MOVQ         a_Step+32(FP), R10
	VPBROADCASTD a_Offset+40(FP), Y7

line:
	SUBQ  $64, R8
	JLT   lineless
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	MOVQ  SI, DX
	MOVQ  R9, CX

lines:
	VPMOVZXBW (DX), Y4
	VPMOVZXBW 16(DX), Y5
	VPMOVZXBW 32(DX), Y6
	VPMOVZXBW 48(DX), Y8
	VPADDW    Y4, Y0, Y0
	VPADDW    Y5, Y1, Y1
	VPADDW    Y6, Y2, Y2
	VPADDW    Y8, Y3, Y3
	ADDQ      R10, DX
	DECQ      CX
	JNZ       lines
	WIDEN(Y0, X0, (DI), 32(DI))
	WIDEN(Y1, X1, 64(DI), 96(DI))
	WIDEN(Y2, X2, 128(DI), 160(DI))
	WIDEN(Y3, X3, 192(DI), 224(DI))
	ADDQ      $256, DI
	ADDQ      $64, SI
	JMP       line

lineless:
	ADDQ $64, R8
	JZ   done

eight:
	VPXOR X0, X0, X0
	MOVQ  SI, DX
	MOVQ  R9, CX

eights:
	VPMOVZXBW (DX), X4
	VPADDW    X4, X0, X0
	ADDQ      R10, DX
	DECQ      CX
	JNZ       eights
	WIDEN_LOW(X0, (DI))
	ADDQ      $32, DI
	ADDQ      $8, SI
	SUBQ      $8, R8
	JNZ       eight

done:
	VZEROUPPER
	RET

// func meanAVX2(a tile.MeanArgs)
TEXT ·meanAVX2(SB), NOSPLIT, $0-48
	MOVQ         a_Dst+0(FP), DI
	MOVQ         a_Sums+8(FP), SI
	MOVQ         a_Length+16(FP), R8
	VPBROADCASTQ a_Multiplier+24(FP), Y7
	VMOVQ        a_Shift+32(FP), X6
	BROADCAST_WORDS(a_Zero+40(FP), X10, Y10)
	MOVQ         $0x1040000000, AX // as in mulAVX2
	VMOVQ        AX, X11
	VPBROADCASTQ X11, Y11

eight:
	VMOVDQU      (SI), Y0
	VPSLLD       X6, Y0, Y0
	SCALE(Y0, Y1, Y7, Y11)
	VEXTRACTI128 $1, Y0, X1
	VPACKSSDW    X1, X0, X0
	VPADDSW      X10, X0, X0
	VPACKUSWB    X0, X0, X0
	VMOVQ        X0, (DI)
	ADDQ         $32, SI
	ADDQ         $8, DI
	SUBQ         $8, R8
	JNZ          eight
	VZEROUPPER
	RET
