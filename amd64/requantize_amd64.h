// Requantization at the end of a tile, for vectors of any size. A pixel's sums,
// biased and shifted, are in two vectors, low and high. The parameter pixels is a
// macro that applies another one to each pixel: to its address, low and high.
//
//   AX      step of the output
//   CX DI   residual, its step
//   DX      panel: biases, multipliers, weights
//   SI      overwritten
//
// The file that includes this one defines
//
//   WIDTH           bytes of a vector
//   DST             register of the output
//   ODD0 ODD1       registers of the products at odd places
//   HALF            register of what is added to products before their shift
//   RATIO           register of the residual's ratio, in pairs with zero
//   SET_HALF        HALF from SI
//   SET_RATIO       RATIO from DI
//   ODD_PLACES      brings odd places to even ones
//   MERGE           brings even and odd places together
//   MERGE_UPPER     does so with the upper halves of those at even places
//   MULTIPLY_ADD    adds r0 and r1 times the ratio to s0 and s1
//   SATURATE_STORE  stores s0 and s1 as bytes and goes on to the next pixel

// MULTIPLY: products of 32 by 32 bits need 64: even places stay in low and high,
// odd ones go to ODD0 and ODD1. Four bytes behind the multipliers, the odd ones
// lie at even places.
#define MULTIPLY(low, high) \
	ODD_PLACES(low, ODD0); \
	ODD_PLACES(high, ODD1); \
	VPMULDQ (2*WIDTH+4)(DX), ODD0, ODD0; \
	VPMULDQ (3*WIDTH+4)(DX), ODD1, ODD1; \
	VPMULDQ (2*WIDTH)(DX), low, low; \
	VPMULDQ (3*WIDTH)(DX), high, high; \
	VPADDQ  HALF, ODD0, ODD0; \
	VPADDQ  HALF, ODD1, ODD1; \
	VPADDQ  HALF, low, low; \
	VPADDQ  HALF, high, high

// ROUND: without a residual both roundings are one shift by 31+6 bits: by 5, of
// the upper halves. s0 and s1 are where they are merged.
#define ROUND(low, high, s0, s1) \
	MULTIPLY(low, high); \
	MERGE_UPPER(low, high); \
	VPSRAD $5, s0, s0; \
	VPSRAD $5, s1, s1; \
	SATURATE_STORE(s0, s1)

// ADD_RESIDUAL: with one, each byte times the ratio is added between the
// roundings. s0 and s1 are where products are merged, r0 and r1 hold the bytes.
#define ADD_RESIDUAL(low, high, s0, s1, r0, r1) \
	MULTIPLY(low, high); \
	VPSRLQ     $31, low, low; \
	VPSRLQ     $31, high, high; \
	VPADDQ     ODD0, ODD0, ODD0; \
	VPADDQ     ODD1, ODD1, ODD1; \
	MERGE(low, high); \
	VPMOVZXBW  (CX), r1; \
	ADDQ       DI, CX; \
	VPUNPCKLWD r1, r1, r0; \
	VPUNPCKHWD r1, r1, r1; \
	MULTIPLY_ADD(r0, r1, s0, s1); \
	VPSRAD     $6, s0, s0; \
	VPSRAD     $6, s1, s1; \
	SATURATE_STORE(s0, s1)

// REQUANTIZE ends a tile: with the macro plain for each pixel, or with residual.
#define REQUANTIZE(pixels, plain, residual) \
	MOVQ  a_Dst+8(FP), DST; \
	MOVQ  a_Res+16(FP), CX; \
	MOVQ  a_DstStep+72(FP), AX; \
	TESTQ CX, CX; \
	JNZ   res; \
	MOVQ  $0x1040000000, SI; /* half of 1<<31 and 32 << 31 */ \
	SET_HALF; \
	pixels(plain); \
	JMP   stored; \
res: \
	MOVQ  $32, SI; \
	MOVQ  a_Ratio+120(FP), DI; \
	SET_RATIO; \
	SHLQ  $7, DI; \
	SUBQ  DI, SI; /* residuals are stored as q + 128 */ \
	SHLQ  $31, SI; \
	MOVQ  $0x40000000, DI; \
	ADDQ  DI, SI; \
	SET_HALF; \
	MOVQ  a_ResStep+80(FP), DI; \
	pixels(residual); \
	MOVQ  a_ResNext+104(FP), AX; \
	ADDQ  AX, a_Res+16(FP); \
stored: \
	MOVQ  a_DstNext+96(FP), AX; \
	ADDQ  AX, a_Dst+8(FP)
