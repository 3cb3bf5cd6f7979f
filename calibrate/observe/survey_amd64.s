//go:build !purego

#include "textflag.h"

// func surveyAVX2(sums *float64, peaks *uint32, values *float32, channels, pixels int, low *[8]uint32, high *[8]int32)
TEXT ·surveyAVX2(SB), NOSPLIT, $0-56
	MOVQ     sums+0(FP), DI
	MOVQ     peaks+8(FP), SI
	MOVQ     values+16(FP), DX
	MOVQ     channels+24(FP), R8
	MOVQ     pixels+32(FP), CX
	VPCMPEQD Y7, Y7, Y7
	VPSRLD   $1, Y7, Y7    // all bits but the sign
	VPXOR    Y6, Y6, Y6
	VPXOR    Y5, Y5, Y5

pixel:
	XORQ AX, AX

channel:
	VMOVDQU   (DX), Y0
	VCVTPS2PD (DX), Y1
	VCVTPS2PD 16(DX), Y2
	VADDPD    (DI)(AX*8), Y1, Y1
	VADDPD    32(DI)(AX*8), Y2, Y2
	VMOVUPD   Y1, (DI)(AX*8)
	VMOVUPD   Y2, 32(DI)(AX*8)
	VPMAXUD   Y0, Y6, Y6
	VPMAXSD   Y0, Y5, Y5
	VPAND     Y7, Y0, Y0
	VPMAXUD   (SI)(AX*4), Y0, Y0
	VMOVDQU   Y0, (SI)(AX*4)
	ADDQ      $32, DX
	ADDQ      $8, AX
	CMPQ      AX, R8
	JLT       channel
	DECQ      CX
	JNZ       pixel

	MOVQ    low+40(FP), AX
	VMOVDQU Y6, (AX)
	MOVQ    high+48(FP), AX
	VMOVDQU Y5, (AX)
	VZEROUPPER
	RET

// NUMBER leaves the places of eight values in n. A value's place is that of zero, its
// magnitude in widths rounded down, and one more, with its sign.
#define NUMBER(at, n) \
	VADDPS     at(SI), Y11, n; \ // negative zero becomes zero
	VPSRAD     $31, n, Y1; \
	VPOR       Y12, Y1, Y1; \
	VPCMPEQD   Y11, n, Y2; \
	VMULPS     Y15, n, n; \
	VCVTTPS2DQ n, n; \
	VPADDD     Y1, n, n; \
	VPADDD     Y14, n, n; \
	VPBLENDVB  Y2, Y13, n, n

DATA lanes<>+0(SB)/8, $0x0000400200004001
DATA lanes<>+8(SB)/8, $0x0000400400004003
DATA lanes<>+16(SB)/8, $0x0000400600004005
DATA lanes<>+24(SB)/8, $0x0000400800004007
GLOBL lanes<>(SB), RODATA|NOPTR, $32

// func numberAVX2(places *uint16, values *float32, sixteens int, inverse float32)
TEXT ·numberAVX2(SB), NOSPLIT, $0-28
	MOVQ         places+0(FP), DI
	MOVQ         values+8(FP), SI
	MOVQ         sixteens+16(FP), CX
	VBROADCASTSS inverse+24(FP), Y15
	MOVL         $0x2000, AX        // half
	VMOVD        AX, X14
	VPBROADCASTD X14, Y14
	VMOVDQU      lanes<>(SB), Y13
	VPCMPEQD     Y12, Y12, Y12
	VPSRLD       $31, Y12, Y12      // ones
	VPXOR        Y11, Y11, Y11

sixteen:
	NUMBER(0, Y0)
	NUMBER(32, Y3)
	VPACKUSDW Y3, Y0, Y0
	VPERMQ    $0xD8, Y0, Y0
	VMOVDQU   Y0, (DI)
	ADDQ      $64, SI
	ADDQ      $32, DI
	DECQ      CX
	JNZ       sixteen
	VZEROUPPER
	RET
