// Package arm64 is what the runtime knows of 64-bit Arm processors: which
// instructions they have, which of their cores are worth a thread, and the
// kernels for them.
//
//	kernel    multiplies by           tile (pixels x channels)  for
//	i8mm      SMMLA                   4 x 16                    Neoverse N2, Apple M2
//	neondot   SDOT                    7 x 8, 8 x 8              Cortex-A76 (Raspberry Pi 5)
//	neon      SMULL, SMLAL2, SADALP   4 x 4                     Cortex-A72 (Raspberry Pi 4)
//	neon_a53  SMULL, SMLAL, SADALP    3 x 4                     Cortex-A53 (Raspberry Pi 3, Zero 2 W)
//
// All read the rows of a window where they lie in the tensor, requantize sums
// in the registers where they were added up, and store bytes. Convolutions with
// int16 tensors take tiles that store their sums: neondot's on all cores with dot
// product, else neon's.
package arm64
