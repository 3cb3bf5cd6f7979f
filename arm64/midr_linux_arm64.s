//go:build !purego

#include "textflag.h"

// func readMIDR() MIDR
TEXT ·readMIDR(SB), NOSPLIT, $0-4
	MRS  MIDR_EL1, R0
	MOVW R0, ret+0(FP)
	RET
