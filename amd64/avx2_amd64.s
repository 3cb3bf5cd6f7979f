//go:build !purego

#include "textflag.h"
#include "requantize_avx2_amd64.h"

// Tiles of 4 or 3 pixels by 16 output channels. A step multiplies four bytes
// of each pixel, unsigned, by four bytes of each channel, signed. VPMADDUBSW
// saturates its sums of two products, and VPADDW would wrap around with more:
// in the bins of up to three steps that tile.Micro.Bins makes they cannot.
// VPMADDWD by ones widens a bin's sums. Of steps in no bin both sides are widened
// to 16 bits before they are multiplied, even and odd bytes apart: weights lie
// that way, pixels take a mask or a shift. Of a panel's 16 channels, the first
// register holds those whose number has bit 2 clear, so that VPACKSSDW, which
// works within 128-bit lanes, brings them back into order.

DATA evenBytes<>+0(SB)/8, $0x00ff00ff00ff00ff
DATA evenBytes<>+8(SB)/8, $0x00ff00ff00ff00ff
DATA evenBytes<>+16(SB)/8, $0x00ff00ff00ff00ff
DATA evenBytes<>+24(SB)/8, $0x00ff00ff00ff00ff
GLOBL evenBytes<>(SB), RODATA|NOPTR, $32

DATA crossed<>+0(SB)/8, $0x0705060403010200
DATA crossed<>+8(SB)/8, $0x0f0d0e0c0b090a08
DATA crossed<>+16(SB)/8, $0x0705060403010200
DATA crossed<>+24(SB)/8, $0x0f0d0e0c0b090a08
GLOBL crossed<>(SB), RODATA|NOPTR, $32

// R8 is what is brought near of the next tile's windows, a line with each bin: their
// bytes are not read in order, by which the CPU would know. DI is the weights of a bin
// and R9 its offsets, which go to AX, BX and SI. The
// windows of a tile's pixels are in R10 to R13. Y8 and Y9 are the weights of a
// bin's first step, Y14 the order of crossed bytes, Y15 ones.

// PIXELS applies a macro to each pixel of a tile.
#define PIXELS3(op) \
	op(R10, Y0, Y1); \
	op(R11, Y2, Y3); \
	op(R12, Y4, Y5)

#define PIXELS4(op) \
	PIXELS3(op); \
	op(R13, Y6, Y7)

#define BIAS(window, low, high) \
	VMOVDQU (DX), low; \
	VMOVDQU 32(DX), high

#define WEIGHTS \
	VMOVDQU (DI), Y8; \
	VMOVDQU 32(DI), Y9

// FIRST multiplies a bin's first step, NEXT another one; the parameter load is LOAD,
// or CROSS for steps whose weights lie crossed.
#define LOAD(address) \
	VPBROADCASTD address, Y10

#define CROSS(address) \
	VPBROADCASTD address, Y10; \
	VPSHUFB      Y14, Y10, Y10

#define FIRST(load, window) \
	load((window)(AX*1)); \
	VPMADDUBSW Y8, Y10, Y11; \
	VPMADDUBSW Y9, Y10, Y12

#define NEXT(load, window, offset, weights) \
	load((window)(offset*1)); \
	VPMADDUBSW weights(DI), Y10, Y13; \
	VPMADDUBSW (weights+32)(DI), Y10, Y10; \
	VPADDW     Y13, Y11, Y11; \
	VPADDW     Y10, Y12, Y12

#define WIDEN(low, high) \
	VPMADDWD Y15, Y11, Y11; \
	VPMADDWD Y15, Y12, Y12; \
	VPADDD   Y11, low, low; \
	VPADDD   Y12, high, high

#define THREE(load, window, low, high) \
	FIRST(load, window); \
	NEXT(load, window, BX, 64); \
	NEXT(load, window, SI, 128); \
	WIDEN(low, high)

#define TWO(load, window, low, high) \
	FIRST(load, window); \
	NEXT(load, window, BX, 64); \
	WIDEN(low, high)

#define ONE(load, window, low, high) \
	FIRST(load, window); \
	WIDEN(low, high)

#define BIN3(window, low, high)   THREE(LOAD, window, low, high)
#define BIN2(window, low, high)   TWO(LOAD, window, low, high)
#define BIN1(window, low, high)   ONE(LOAD, window, low, high)
#define CROSS3(window, low, high) THREE(CROSS, window, low, high)
#define CROSS2(window, low, high) TWO(CROSS, window, low, high)
#define CROSS1(window, low, high) ONE(CROSS, window, low, high)

// WIDE has the even bytes of a step's weights in Y10 and Y11, the odd ones in Y8
// and Y9.
#define WIDE \
	VPMOVSXBW (DI), Y10; \
	VPMOVSXBW 16(DI), Y11; \
	VPMOVSXBW 32(DI), Y8; \
	VPMOVSXBW 48(DI), Y9

#define STEP(window, low, high) \
	VPBROADCASTD (window)(AX*1), Y12; \
	VPAND        evenBytes<>(SB), Y12, Y13; \
	VPSRLW       $8, Y12, Y12; \
	VPMADDWD     Y10, Y13, Y14; \
	VPMADDWD     Y11, Y13, Y13; \
	VPADDD       Y14, low, low; \
	VPADDD       Y13, high, high; \
	VPMADDWD     Y8, Y12, Y14; \
	VPMADDWD     Y9, Y12, Y12; \
	VPADDD       Y14, low, low; \
	VPADDD       Y12, high, high

#define SHIFT(window, low, high) \
	VPSLLD X10, low, low; \
	VPSLLD X10, high, high

// SUMS stores the sums of a pixel.
#define SUMS(window, low, high) \
	VMOVDQU low, (BX); \
	VMOVDQU high, 32(BX); \
	ADDQ    AX, BX

#define STORED(pack)

// BINS are those of three steps, of two and of one, whose numbers are at R15 from
// first on. It ends at the label end.
#define BINS(bin3, bin2, bin1, two, one, end, first, pixels, op3, op2, op1) \
	MOVL first(R15), CX; \
	TESTL CX, CX; \
	JZ two; \
bin3: \
	MOVL (R9), AX; \
	MOVL 4(R9), BX; \
	MOVL 8(R9), SI; \
	WEIGHTS; \
	PREFETCHT0 (R8); \
	ADDQ $64, R8; \
	pixels(op3); \
	ADDQ $12, R9; \
	ADDQ $192, DI; \
	DECL CX; \
	JNZ bin3; \
two: \
	MOVL (first+4)(R15), CX; \
	TESTL CX, CX; \
	JZ one; \
bin2: \
	MOVL (R9), AX; \
	MOVL 4(R9), BX; \
	WEIGHTS; \
	PREFETCHT0 (R8); \
	ADDQ $64, R8; \
	pixels(op2); \
	ADDQ $8, R9; \
	ADDQ $128, DI; \
	DECL CX; \
	JNZ bin2; \
one: \
	MOVL (first+8)(R15), CX; \
	TESTL CX, CX; \
	JZ end; \
bin1: \
	MOVL (R9), AX; \
	WEIGHTS; \
	pixels(op1); \
	ADDQ $4, R9; \
	ADDQ $64, DI; \
	DECL CX; \
	JNZ bin1

// TILES is the loop over tiles. R15 is the numbers of bins.
#define TILES(pixels, plain, residual, store) \
	MOVQ a_Src+0(FP), R10; \
	MOVQ a_Panel+24(FP), DX; \
	MOVQ a_SrcStep+64(FP), AX; \
	LEAQ (R10)(AX*1), R11; \
	LEAQ (R11)(AX*1), R12; \
	LEAQ (R12)(AX*1), R13; \
	MOVQ a_Steps+48(FP), R15; \
	SHLQ $6, R15; \
	LEAQ 128(DX)(R15*1), R15; \
tile: \
	pixels(BIAS); \
	MOVQ a_SrcNext+88(FP), R8; \
	ADDQ R10, R8; \
	VPCMPEQW Y15, Y15, Y15; \
	VPSRLW $15, Y15, Y15; \
	LEAQ 128(DX), DI; \
	MOVQ a_Offsets+136(FP), R9; \
	VMOVDQU crossed<>(SB), Y14; \
	BINS(bin3, bin2, bin1, two, one, cross, 0, pixels, BIN3, BIN2, BIN1); \
cross: \
	BINS(cross3, cross2, cross1, crossTwo, crossOne, wide, 12, pixels, CROSS3, CROSS2, CROSS1); \
wide: \
	MOVL 24(R15), CX; \
	TESTL CX, CX; \
	JZ summed; \
step: \
	MOVL (R9), AX; \
	WIDE; \
	pixels(STEP); \
	ADDQ $4, R9; \
	ADDQ $64, DI; \
	DECL CX; \
	JNZ step; \
summed: \
	MOVQ a_Shift+112(FP), AX; \
	TESTQ AX, AX; \
	JZ   shifted; \
	VMOVQ AX, X10; \
	pixels(SHIFT); \
shifted: \
	MOVQ a_Res+16(FP), CX; \
	CONSTANTS \
	REQUANTIZE(pixels, plain, residual, store); \
	MOVQ a_SrcNext+88(FP), AX; \
	ADDQ AX, R10; \
	ADDQ AX, R11; \
	ADDQ AX, R12; \
	ADDQ AX, R13; \
	DECQ a_Tiles+32(FP); \
	JNZ  tile; \
	VZEROUPPER; \
	RET

// func conv4AVX2(a tile.Args)
TEXT ·conv4AVX2(SB), NOSPLIT, $0-160
	TILES(PIXELS4, PLAIN, RESIDUAL, STORE_FULL4)

// func conv3AVX2(a tile.Args)
TEXT ·conv3AVX2(SB), NOSPLIT, $0-160
	TILES(PIXELS3, PLAIN, RESIDUAL, STORE_FULL3)

// func sums4AVX2(a tile.Args)
TEXT ·sums4AVX2(SB), NOSPLIT, $0-160
	TILES(PIXELS4, SUMS, SUMS, STORED)

// The first byte of each 32-bit lane, and the second.
DATA firstBytes<>+0(SB)/8, $0x808080800c080400
DATA firstBytes<>+8(SB)/8, $0x8080808080808080
DATA firstBytes<>+16(SB)/8, $0x808080800c080400
DATA firstBytes<>+24(SB)/8, $0x8080808080808080
GLOBL firstBytes<>(SB), RODATA|NOPTR, $32

DATA secondBytes<>+0(SB)/8, $0x808080800d090501
DATA secondBytes<>+8(SB)/8, $0x8080808080808080
DATA secondBytes<>+16(SB)/8, $0x808080800d090501
DATA secondBytes<>+24(SB)/8, $0x8080808080808080
GLOBL secondBytes<>(SB), RODATA|NOPTR, $32

// BROADCAST fills a register with an argument, or with a constant.
#define BROADCAST(value, x, y) \
	MOVQ         value, AX; \
	VMOVQ        AX, x; \
	VPBROADCASTD x, y

// BYTES stores the bytes of Y0 that a mask selects; Y2 is overwritten.
#define BYTES(mask, address) \
	VPSHUFB      mask<>(SB), Y0, Y2; \
	VEXTRACTI128 $1, Y2, X3; \
	VPUNPCKLDQ   X3, X2, X2; \
	VPXOR        X9, X2, X2; \
	VMOVQ        X2, address

// func requantizeAVX2(a tile.RequantizeArgs)
//
// Activations are stored as q + 128: a high byte's value is 128 less, a low
// byte's stands as it is.
//   SI DI sums, R8 biases, R9 multipliers, R10 R11 residual, R12 R13 output
//   CX values done, BX their number
//   X8 sign bits, Y10 1<<30 in 64 bits, X11 shift, Y12 128, Y13 ratio,
//   Y14 half of the ratio's shift, X15 that, Y6 half of an output, Y4 Y5 limits
TEXT ·requantizeAVX2(SB), NOSPLIT, $0-112
	MOVQ  a_Sums+0(FP), SI
	MOVQ  a_SumsLow+8(FP), DI
	MOVQ  a_Bias+16(FP), R8
	MOVQ  a_Multiplier+24(FP), R9
	MOVQ  a_Res+32(FP), R10
	MOVQ  a_ResLow+40(FP), R11
	MOVQ  a_Dst+48(FP), R12
	MOVQ  a_DstLow+56(FP), R13
	MOVQ  a_Length+64(FP), BX
	VMOVQ a_Shift+72(FP), X11
	VMOVQ a_RatioShift+88(FP), X15
	BROADCAST(a_Ratio+80(FP), X13, Y13)
	BROADCAST(a_Low+96(FP), X4, Y4)
	BROADCAST(a_High+104(FP), X5, Y5)
	BROADCAST($128, X12, Y12)
	BROADCAST($32, X6, Y6)
	MOVQ  a_RatioShift+88(FP), CX
	MOVQ  $1, AX
	SHLQ  CX, AX
	SHRQ  $1, AX
	VMOVQ AX, X14
	VPBROADCASTD X14, Y14
	MOVQ  $0x40000000, AX
	VMOVQ AX, X10
	VPBROADCASTQ X10, Y10
	VMOVDQU signs<>(SB), X8
	XORQ  CX, CX

values:
	VMOVDQU (SI)(CX*4), Y0
	TESTQ   DI, DI
	JZ      bias
	VPSLLD  $8, Y0, Y0
	VPADDD  (DI)(CX*4), Y0, Y0

bias:
	VPADDD   (R8)(CX*4), Y0, Y0
	VPSLLD   X11, Y0, Y0
	VMOVDQU  (R9)(CX*4), Y1
	VPSRLQ   $32, Y0, Y2
	VPSRLQ   $32, Y1, Y3
	VPMULDQ  Y1, Y0, Y0
	VPMULDQ  Y3, Y2, Y2
	VPADDQ   Y10, Y0, Y0
	VPADDQ   Y10, Y2, Y2
	VPSRLQ   $31, Y0, Y0
	VPADDQ   Y2, Y2, Y2
	VPBLENDD $0xaa, Y2, Y0, Y0
	TESTQ    R10, R10
	JZ       round
	VPMOVZXBD (R10)(CX*1), Y1
	VPSUBD   Y12, Y1, Y1
	TESTQ    R11, R11
	JZ       residual
	VPMOVZXBD (R11)(CX*1), Y2
	VPSLLD   $8, Y1, Y1
	VPADDD   Y2, Y1, Y1

residual:
	VPMULLD Y13, Y1, Y1
	VPADDD  Y14, Y1, Y1
	VPSRAD  X15, Y1, Y1
	VPADDD  Y1, Y0, Y0

round:
	VPADDD  Y6, Y0, Y0
	VPSRAD  $6, Y0, Y0
	VPMAXSD Y4, Y0, Y0
	VPMINSD Y5, Y0, Y0
	VMOVDQA X8, X9
	TESTQ   R13, R13
	JNZ     wide
	BYTES(firstBytes, (R12)(CX*1))
	JMP     next

wide:
	BYTES(secondBytes, (R12)(CX*1))
	VPXOR X9, X9, X9
	BYTES(firstBytes, (R13)(CX*1))

next:
	ADDQ $8, CX
	CMPQ CX, BX
	JLT  values
	VZEROUPPER
	RET

// func maxAVX2(a tile.MaxArgs)
TEXT ·maxAVX2(SB), NOSPLIT, $0-48
	MOVQ a_Dst+0(FP), DI
	MOVQ a_Src+8(FP), SI
	MOVQ a_Length+16(FP), R8
	MOVQ a_Count+24(FP), BX
	MOVQ a_DstStep+32(FP), R9
	MOVQ a_SrcStep+40(FP), R10

run:
	XORQ CX, CX
	MOVQ R8, AX
	SUBQ $32, AX
	JLT  half

whole:
	VMOVDQU (DI)(CX*1), Y0
	VPMAXUB (SI)(CX*1), Y0, Y0
	VMOVDQU Y0, (DI)(CX*1)
	ADDQ    $32, CX
	CMPQ    CX, AX
	JLE     whole
	CMPQ    CX, R8
	JGE     next

half:
	VMOVDQU (DI)(CX*1), X0
	VPMAXUB (SI)(CX*1), X0, X0
	VMOVDQU X0, (DI)(CX*1)

next:
	ADDQ R9, DI
	ADDQ R10, SI
	DECQ BX
	JNZ  run
	VZEROUPPER
	RET
