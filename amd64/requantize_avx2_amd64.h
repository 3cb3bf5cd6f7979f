// The end of a tile of 4 or 3 pixels by 16 channels with AVX2: sums, biased and shifted,
// become bytes. A pixel's are in two vectors, low and high; the parameter pixels is a
// macro that applies another one to each pixel. Y15 is what is added to products before
// their shift, and with a residual Y14 its ratio, in pairs with zero, and Y13 sign bits.
// BX and CX are the places of the output and of the residual, AX and DI their steps, DX
// is the panel. Y8 to Y12 are overwritten.
//
// VSHUFPS moves the odd places of a vector's lanes behind the even ones: order in
// kernels.go.

DATA signs<>+0(SB)/8, $0x8080808080808080
DATA signs<>+8(SB)/8, $0x8080808080808080
DATA signs<>+16(SB)/8, $0x8080808080808080
DATA signs<>+24(SB)/8, $0x8080808080808080
GLOBL signs<>(SB), RODATA|NOPTR, $32

// half is that of 1<<31, and 32 + 128*64 times 1<<31.
DATA half<>+0(SB)/8, $0x101040000000
GLOBL half<>(SB), RODATA|NOPTR, $8

// MULTIPLY: products of 32 by 32 bits need 64: those at even places stay in sums, of odd
// ones, to which the multipliers four bytes behind belong, go to odd.
#define MULTIPLY(multipliers, sums, odd) \
	VPSRLQ  $32, sums, odd; \
	VPMULDQ (multipliers)(DX), sums, sums; \
	VPMULDQ (multipliers+4)(DX), odd, odd; \
	VPADDQ  Y15, sums, sums; \
	VPADDQ  Y15, odd, odd

// ROUND: without a residual both roundings are one shift by 31+6 bits, 5 of the upper
// halves.
#define ROUND(multipliers, sums, odd) \
	MULTIPLY(multipliers, sums, odd); \
	VSHUFPS $0xdd, odd, sums, sums; \
	VPSRAD  $5, sums, sums

#define DOUBLE(multipliers, sums, odd) \
	MULTIPLY(multipliers, sums, odd); \
	VPADDQ  sums, sums, sums; \
	VPADDQ  odd, odd, odd; \
	VSHUFPS $0xdd, odd, sums, sums

// ADD: with a residual, each byte times the ratio is added between the roundings.
#define ADD(residual, sums) \
	VPMADDWD Y14, residual, residual; \
	VPADDD   residual, sums, sums; \
	VPSRAD   $6, sums, sums

#define PLAIN(window, low, high) \
	ROUND(64, low, Y10); \
	ROUND(96, high, Y11); \
	VPACKSSDW high, low, low

#define RESIDUAL(window, low, high) \
	DOUBLE(64, low, Y10); \
	DOUBLE(96, high, Y11); \
	VPMOVZXBW  (CX), Y11; \
	ADDQ       DI, CX; \
	VPUNPCKLWD Y11, Y11, Y10; \
	VPUNPCKHWD Y11, Y11, Y11; \
	ADD(Y10, low); \
	ADD(Y11, high); \
	VPACKSSDW  high, low, low

// Values without a residual are 128 more already: a byte is q + 128.
#define UNSIGNED(b, a) VPACKUSWB b, a, a
#define SIGNED(b, a) \
	VPACKSSWB b, a, a; \
	VPXOR     Y13, a, a

#define STORE_TWO(pack, b, a, x) \
	pack(b, a); \
	VPERMQ       $0xd8, a, a; \
	VMOVDQU      x, (BX); \
	VEXTRACTI128 $1, a, (BX)(AX*1); \
	LEAQ         (BX)(AX*2), BX

#define STORE_ONE(pack, a, x) \
	pack(a, a); \
	VPERMQ  $8, a, a; \
	VMOVDQU x, (BX)

#define STORE_FULL4(pack) \
	STORE_TWO(pack, Y2, Y0, X0); \
	STORE_TWO(pack, Y6, Y4, X4)

#define STORE_FULL3(pack) \
	STORE_TWO(pack, Y2, Y0, X0); \
	STORE_ONE(pack, Y4, X4)

// CONSTANTS sets Y13 to Y15 for a residual at CX, or for none. SI and DI are overwritten.
#define CONSTANTS \
	VPBROADCASTQ half<>(SB), Y15; \
	TESTQ CX, CX; \
	JZ   set; \
	VMOVDQU signs<>(SB), Y13; \
	MOVQ a_Ratio+120(FP), DI; \
	VMOVQ DI, X14; \
	VPBROADCASTD X14, Y14; \
	MOVQ $32, SI; \
	SHLQ $7, DI; \
	SUBQ DI, SI; /* residuals are stored as q + 128 */ \
	SHLQ $31, SI; \
	MOVQ $0x40000000, DI; \
	ADDQ DI, SI; \
	VMOVQ SI, X15; \
	VPBROADCASTQ X15, Y15; \
set:

// REQUANTIZE stores a tile, with a residual at CX or without, and goes on to the next.
#define REQUANTIZE(pixels, plain, residual, store) \
	MOVQ a_Dst+8(FP), BX; \
	MOVQ a_DstStep+72(FP), AX; \
	TESTQ CX, CX; \
	JNZ  res; \
	pixels(plain); \
	store(UNSIGNED); \
	JMP  stored; \
res: \
	MOVQ a_ResStep+80(FP), DI; \
	pixels(residual); \
	store(SIGNED); \
	MOVQ a_ResNext+104(FP), AX; \
	ADDQ AX, a_Res+16(FP); \
stored: \
	MOVQ a_DstNext+96(FP), AX; \
	ADDQ AX, a_Dst+8(FP)
