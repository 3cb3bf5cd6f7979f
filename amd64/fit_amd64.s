//go:build !purego

#include "textflag.h"

// A step's 32 lanes of two weights each have their sums of positive weights in the
// bytes of Y0, of negative ones in those of Y2: in the order of VPACKUSWB, which is as
// good as any. Rooms are of the same form.

// func fitAVX2(step, rooms unsafe.Pointer, open int) (bin, sum int)
TEXT ·fitAVX2(SB), NOSPLIT, $0-40
	MOVQ       step+0(FP), SI
	MOVQ       rooms+8(FP), DI
	MOVQ       open+16(FP), CX
	VPXOR      Y15, Y15, Y15
	VPCMPEQB   Y14, Y14, Y14
	VPABSB     Y14, Y14
	VMOVDQU    (SI), Y0
	VMOVDQU    32(SI), Y1
	VPABSB     Y0, Y2
	VPABSB     Y1, Y3
	VPMAXSB    Y15, Y0, Y0
	VPMAXSB    Y15, Y1, Y1
	VPSUBB     Y0, Y2, Y2
	VPSUBB     Y1, Y3, Y3
	VPMADDUBSW Y14, Y0, Y0
	VPMADDUBSW Y14, Y1, Y1
	VPMADDUBSW Y14, Y2, Y2
	VPMADDUBSW Y14, Y3, Y3
	VPACKUSWB  Y1, Y0, Y0
	VPACKUSWB  Y3, Y2, Y2
	XORQ       AX, AX
	VPOR       Y0, Y2, Y4
	VPMOVMSKB  Y4, R8
	TESTL      R8, R8 // a byte above 127
	JNZ        none

next:
	CMPQ     AX, CX
	JGE      another
	VPSUBUSB (DI), Y0, Y4
	VPSUBUSB 32(DI), Y2, Y5
	VPOR     Y4, Y5, Y4
	VPTEST   Y4, Y4
	JZ       found
	ADDQ     $64, DI
	INCQ     AX
	JMP      next

another:
	VPSLLW  $7, Y14, Y4
	VPSUBB  Y14, Y4, Y4 // 127, tile.BinRoom
	VMOVDQU Y4, (DI)
	VMOVDQU Y4, 32(DI)

found:
	VMOVDQU      (DI), Y4
	VMOVDQU      32(DI), Y5
	VPSUBB       Y0, Y4, Y4
	VPSUBB       Y2, Y5, Y5
	VMOVDQU      Y4, (DI)
	VMOVDQU      Y5, 32(DI)
	VPSADBW      Y15, Y0, Y0
	VPSADBW      Y15, Y2, Y2
	VPADDQ       Y0, Y2, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDQ       X0, X1, X0
	VPSHUFD      $0x4E, X0, X1
	VPADDQ       X0, X1, X0
	VMOVQ        X0, R8
	MOVQ         AX, bin+24(FP)
	MOVQ         R8, sum+32(FP)
	VZEROUPPER
	RET

none:
	MOVQ $-1, bin+24(FP)
	MOVQ $0, sum+32(FP)
	VZEROUPPER
	RET
