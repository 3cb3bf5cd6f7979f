package arm64

import (
	"encoding/binary"
	"math"
	"unsafe"

	"edgeclassify/int8"
)

// Steps of the kernel neon_a53: of each of four channels, 16 weights. Its flags
// for slower sums are of two steps.
const (
	a53Channels = 4
	a53Depth    = 16

	// wideSteps is tile.Micro.WideSteps of the kernel neon_a53.
	wideSteps = 2
)

// wideA53 is tile.Micro.Wide of the kernel neon_a53: it reports whether four
// products can be too much for a 16-bit lane. Given the weights of two steps, a
// lane adds up values k and k+8 of both, for a channel, in any order: it is safe
// if the greatest and the least sum that inputs in [-128, 127] can give fit. They do
// where magnitudes add up to at most 255, and do not from 258 on.
func wideA53(weights []int8.Value) bool {
	const step, half = a53Channels * a53Depth, a53Depth / 2
	words := (*[2 * step / half]([half]byte))(unsafe.Pointer(unsafe.SliceData(weights[:2*step])))
	for i := 0; i < step/half; i += a53Depth / half {
		first, second := magnitudes(&words[i])+magnitudes(&words[i+1]), magnitudes(&words[i+step/half])+magnitudes(&words[i+step/half+1])
		even, odd := first&evenBytes+second&evenBytes, first>>8&evenBytes+second>>8&evenBytes
		if (even|odd)&^evenBytes == 0 {
			continue
		}
		if ((even+below258)|(odd+below258))&(signBits&^evenBytes) != 0 {
			return true
		}
		for k := half * i; k < half*i+half; k++ {
			if !fitsLane(weights[k], weights[k+half], weights[step+k], weights[step+k+half]) {
				return true
			}
		}
	}
	return false
}

const (
	signBits  = 0x8080808080808080
	evenBytes = 0x00ff00ff00ff00ff
	below258  = (1<<15 - 258) * 0x0001000100010001 // sets the sign of larger 16-bit lanes
)

// magnitudes are those of eight weights, a byte each.
func magnitudes(weights *[8]byte) uint64 {
	word := binary.LittleEndian.Uint64(weights[:])
	sign := word & signBits
	return word ^ (sign<<1 - sign>>7) + sign>>7
}

func fitsLane(weights ...int8.Value) bool {
	positive, negative := 0, 0
	for _, w := range weights {
		positive += max(int(w), 0)
		negative += max(-int(w), 0)
	}
	return 127*positive+128*negative <= math.MaxInt16 && -128*positive-127*negative >= math.MinInt16
}
