//go:build !purego

#include "textflag.h"

// POLYNOMIAL is p = p * r + a coefficient, rounded twice as in Go.
#define POLYNOMIAL(at) \
	VBROADCASTSS at(DX), Y4; \
	VMULPS       Y1, Y3, Y3; \
	VADDPS       Y4, Y3, Y3

// func gatedAVX2(y, x *float32, eights int, k *[13]float32, factor float32, swish bool)
TEXT ·gatedAVX2(SB), NOSPLIT, $0-37
	MOVQ         y+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         eights+16(FP), CX
	MOVQ         k+24(FP), DX
	VBROADCASTSS factor+32(FP), Y15
	MOVBLZX      swish+36(FP), BX
	VBROADCASTSS (DX), Y14
	VBROADCASTSS 4(DX), Y13
	VBROADCASTSS 8(DX), Y12
	VBROADCASTSS 12(DX), Y11
	VBROADCASTSS 16(DX), Y10
	VBROADCASTSS 20(DX), Y9
	VBROADCASTSS 24(DX), Y8

eight:
	VMOVUPS      (SI), Y0
	VMULPS       Y0, Y15, Y1
	VMAXPS       Y1, Y14, Y1 // with the value last, which wins if it is NaN
	VMINPS       Y1, Y13, Y1
	VMULPS       Y12, Y1, Y2
	VADDPS       Y11, Y2, Y2
	VSUBPS       Y11, Y2, Y2 // n
	VMULPS       Y10, Y2, Y3
	VSUBPS       Y3, Y1, Y1
	VMULPS       Y9, Y2, Y3
	VADDPS       Y3, Y1, Y1  // r
	VBROADCASTSS 28(DX), Y3
	POLYNOMIAL(32)
	POLYNOMIAL(36)
	POLYNOMIAL(40)
	POLYNOMIAL(44)
	POLYNOMIAL(48)
	VMULPS       Y1, Y3, Y3
	VMULPS       Y1, Y3, Y3
	VADDPS       Y1, Y3, Y3
	VADDPS       Y8, Y3, Y3
	VCVTTPS2DQ   Y2, Y2
	VPSLLD       $23, Y2, Y2
	VPADDD       Y8, Y2, Y2  // 2^n: n more in the exponent of 1
	VMULPS       Y2, Y3, Y3
	VADDPS       Y8, Y3, Y3
	TESTQ        BX, BX
	JZ           sigmoid
	VDIVPS       Y3, Y0, Y0
	JMP          store

sigmoid:
	VDIVPS Y3, Y8, Y0

store:
	VMOVUPS Y0, (DI)
	ADDQ    $32, SI
	ADDQ    $32, DI
	DECQ    CX
	JNZ     eight
	VZEROUPPER
	RET
