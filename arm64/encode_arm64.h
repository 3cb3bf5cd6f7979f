// Instructions that int8 kernels need and Go's assembler does not know.
//
// Arguments are plain numbers: 3 stands for V3. As everywhere in Go assembly the
// destination comes last: m is Arm's second source, n the first, d the
// destination. A lane index i or shift s goes before n. The comment behind a
// macro gives the instruction in Arm's syntax.
//
// Opcodes: Arm Architecture Reference Manual for A-profile, C7.2.

#define ENCODE_ND(opcode, n, d)     WORD $((opcode) | (n)<<5 | (d))
#define ENCODE_MND(opcode, m, n, d) WORD $((opcode) | (m)<<16 | (n)<<5 | (d))

// Index i = 0..3 of a 32-bit lane, and i = 0..7 of a 16-bit lane.
#define LANE_S(i) (((i)&1)<<21 | ((i)>>1)<<11)
#define LANE_H(i) (((i)&1)<<20 | (((i)>>1)&1)<<21 | ((i)>>2)<<11)

// Sums of four products of bytes, added to each 32-bit lane. FEAT_DotProd.
#define SDOT_4S_LANE(m, i, n, d) ENCODE_MND(0x4F80E000 | LANE_S(i), m, n, d) // sdot Vd.4S, Vn.16B, Vm.4B[i]
#define SDOT_4S(m, n, d)         ENCODE_MND(0x4E809400, m, n, d)             // sdot Vd.4S, Vn.16B, Vm.16B

// 2x8 by 8x2 matrix product added to 2x2 sums. FEAT_I8MM.
#define SMMLA_4S(m, n, d) ENCODE_MND(0x4E80A400, m, n, d) // smmla Vd.4S, Vn.16B, Vm.16B

// Products of bytes as 16-bit lanes; the 2 takes the upper halves.
#define SMULL_8H(m, n, d)  ENCODE_MND(0x0E20C000, m, n, d) // smull  Vd.8H, Vn.8B,  Vm.8B
#define SMULL2_8H(m, n, d) ENCODE_MND(0x4E20C000, m, n, d) // smull2 Vd.8H, Vn.16B, Vm.16B
#define SMLAL_8H(m, n, d)  ENCODE_MND(0x0E208000, m, n, d) // smlal  Vd.8H, Vn.8B,  Vm.8B
#define SMLAL2_8H(m, n, d) ENCODE_MND(0x4E208000, m, n, d) // smlal2 Vd.8H, Vn.16B, Vm.16B

// Pairs of 16-bit lanes added to 32-bit lanes.
#define SADALP_4S(n, d) ENCODE_ND(0x4E606800, n, d) // sadalp Vd.4S, Vn.8H

// 16-bit lanes added to 32-bit lanes; the 2 takes the upper half.
#define SADDW_4S(m, n, d)  ENCODE_MND(0x0E601000, m, n, d) // saddw  Vd.4S, Vn.4S, Vm.4H
#define SADDW2_4S(m, n, d) ENCODE_MND(0x4E601000, m, n, d) // saddw2 Vd.4S, Vn.4S, Vm.8H

// Products of 16-bit lanes with one of them added to 32-bit lanes; m <= 15.
#define SMLAL_4S_LANE(m, i, n, d)  ENCODE_MND(0x0F402000 | LANE_H(i), m, n, d) // smlal  Vd.4S, Vn.4H, Vm.H[i]
#define SMLAL2_4S_LANE(m, i, n, d) ENCODE_MND(0x4F402000 | LANE_H(i), m, n, d) // smlal2 Vd.4S, Vn.8H, Vm.H[i]

// Products of 16-bit lanes added to 32-bit lanes; the 2 takes the upper halves.
#define SMLAL_4S(m, n, d)  ENCODE_MND(0x0E608000, m, n, d) // smlal  Vd.4S, Vn.4H, Vm.4H
#define SMLAL2_4S(m, n, d) ENCODE_MND(0x4E608000, m, n, d) // smlal2 Vd.4S, Vn.8H, Vm.8H

// Products of 16-bit lanes as 32-bit lanes; the 2 takes the upper halves.
#define SMULL_4S(m, n, d)  ENCODE_MND(0x0E60C000, m, n, d) // smull  Vd.4S, Vn.4H, Vm.4H
#define SMULL2_4S(m, n, d) ENCODE_MND(0x4E60C000, m, n, d) // smull2 Vd.4S, Vn.8H, Vm.8H

// Products modulo 1<<32.
#define MUL_4S(m, n, d) ENCODE_MND(0x4EA09C00, m, n, d) // mul Vd.4S, Vn.4S, Vm.4S
#define MLA_4S(m, n, d) ENCODE_MND(0x4EA09400, m, n, d) // mla Vd.4S, Vn.4S, Vm.4S

// Requantization. A negative lane of Vm shifts right, in SRSHL with rounding.
#define SQRDMULH_4S(m, n, d) ENCODE_MND(0x6EA0B400, m, n, d)            // sqrdmulh Vd.4S, Vn.4S, Vm.4S
#define SSHL_4S(m, n, d)     ENCODE_MND(0x4EA04400, m, n, d)            // sshl     Vd.4S, Vn.4S, Vm.4S
#define SRSHL_4S(m, n, d)    ENCODE_MND(0x4EA05400, m, n, d)            // srshl    Vd.4S, Vn.4S, Vm.4S
#define SSHR_4S(s, n, d)     ENCODE_ND(0x4F000400 | (64-(s))<<16, n, d) // sshr     Vd.4S, Vn.4S, #s (1..32)
#define SQRSHRN_4H(s, n, d)  ENCODE_ND(0x0F009C00 | (32-(s))<<16, n, d) // sqrshrn  Vd.4H, Vn.4S, #s (1..16)
#define SQRSHRN2_8H(s, n, d) ENCODE_ND(0x4F009C00 | (32-(s))<<16, n, d) // sqrshrn2 Vd.8H, Vn.4S, #s (1..16)

// Narrowing with saturation; the 2 fills the upper half and keeps the lower.
#define SQXTN_4H(n, d)   ENCODE_ND(0x0E614800, n, d) // sqxtn  Vd.4H,  Vn.4S
#define SQXTN2_8H(n, d)  ENCODE_ND(0x4E614800, n, d) // sqxtn2 Vd.8H,  Vn.4S
#define SQXTN_8B(n, d)   ENCODE_ND(0x0E214800, n, d) // sqxtn  Vd.8B,  Vn.8H
#define SQXTN2_16B(n, d) ENCODE_ND(0x4E214800, n, d) // sqxtn2 Vd.16B, Vn.8H

// Widening with sign; the 2 takes the upper half.
#define SXTL_8H(n, d)  ENCODE_ND(0x0F08A400, n, d) // sxtl  Vd.8H, Vn.8B
#define SXTL2_8H(n, d) ENCODE_ND(0x4F08A400, n, d) // sxtl2 Vd.8H, Vn.16B
#define SXTL_4S(n, d)  ENCODE_ND(0x0F10A400, n, d) // sxtl  Vd.4S, Vn.4H
#define SXTL2_4S(n, d) ENCODE_ND(0x4F10A400, n, d) // sxtl2 Vd.4S, Vn.8H

#define SSHLL_8H(s, n, d) ENCODE_ND(0x0F08A400 | (s)<<16, n, d) // sshll Vd.8H, Vn.8B, #s (0..7)

// Differences of bytes, and of a 16-bit lane and a byte, as 16-bit lanes.
#define SSUBL_8H(m, n, d)  ENCODE_MND(0x0E202000, m, n, d) // ssubl  Vd.8H, Vn.8B,  Vm.8B
#define SSUBL2_8H(m, n, d) ENCODE_MND(0x4E202000, m, n, d) // ssubl2 Vd.8H, Vn.16B, Vm.16B
#define SSUBW_8H(m, n, d)  ENCODE_MND(0x0E203000, m, n, d) // ssubw  Vd.8H, Vn.8H,  Vm.8B

// Sums of a lane and one of half its width; the 2 takes the upper halves of Vm.
#define SADDW_8H(m, n, d)  ENCODE_MND(0x0E201000, m, n, d) // saddw  Vd.8H, Vn.8H, Vm.8B
#define SADDW2_8H(m, n, d) ENCODE_MND(0x4E201000, m, n, d) // saddw2 Vd.8H, Vn.8H, Vm.16B

// Sums with saturation.
#define SQADD_8H(m, n, d) ENCODE_MND(0x4E600C00, m, n, d) // sqadd Vd.8H, Vn.8H, Vm.8H

// Two registers to consecutive memory.
#define STP_Q(n, h, l) WORD $(0xAD000000 | (h)<<10 | (n)<<5 | (l)) // stp Ql, Qh, [Xn]

// The larger and the smaller 32-bit lane.
#define SMAX_4S(m, n, d) ENCODE_MND(0x4EA06400, m, n, d) // smax Vd.4S, Vn.4S, Vm.4S
#define SMIN_4S(m, n, d) ENCODE_MND(0x4EA06C00, m, n, d) // smin Vd.4S, Vn.4S, Vm.4S

// The larger byte.
#define SMAX_16B(m, n, d) ENCODE_MND(0x4E206400, m, n, d) // smax Vd.16B, Vn.16B, Vm.16B

// Asks for a line, to the second cache.
#define PRFM_L2(m, n) ENCODE_MND(0xF8A06802, m, n, 0) // prfm pldl2keep, [Xn, Xm]
