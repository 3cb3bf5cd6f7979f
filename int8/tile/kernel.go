package tile

import (
	"unsafe"

	"edgeclassify/int8"
)

// Kernel makes a kernel of the micro-kernels.
func (m *Micro) Kernel() int8.Kernel {
	return int8.Kernel{
		Name:             m.Name,
		Unsigned:         m.Unsigned,
		NR:               m.NR,
		Cache:            m.Cache,
		Convolution:      m.Convolution,
		ConvolutionInt16: m.ConvolutionInt16,
		Dense:            m.dense,
		Max:              m.max,
		Lookup:           m.lookup,
		LookupChannels:   m.lookupChannels,
		Mul:              m.mul,
		Add:              m.add,
		Sum:              m.sum,
		Mean:             m.mean,
	}
}

func (m *Micro) dense(d *int8.Dense, dst []int32, src []int16, lo, hi int) {
	if lo == hi {
		return
	}
	weights, sums, src := d.Weight[lo*d.In:hi*d.In], dst[lo:hi], src[:d.In]
	clear(sums)
	whole := d.In / Vector * Vector
	if whole > 0 {
		m.Dense(DenseArgs{
			Dst: unsafe.Pointer(unsafe.SliceData(sums)), Src: unsafe.Pointer(unsafe.SliceData(src)), Weights: pointer(weights),
			Rows: hi - lo, Length: whole, Stride: d.In,
		})
	}
	for i := range sums {
		row := weights[i*d.In:][:d.In]
		for j := whole; j < d.In; j++ {
			sums[i] += int32(src[j]) * int32(row[j])
		}
		sums[i] += d.Bias[lo+i]
	}
}

func (m *Micro) max(dst, src []int8.Value, n, count, dstStep, srcStep int) {
	if n == 0 || count == 0 {
		return
	}
	dst, src = dst[:(count-1)*dstStep+n], src[:(count-1)*srcStep+n]
	whole := n / Vector * Vector
	if whole > 0 {
		m.Max(MaxArgs{Dst: pointer(dst), Src: pointer(src), Length: whole, Count: count, DstStep: dstStep, SrcStep: srcStep})
	}
	if whole == n {
		return
	}
	flip := m.flip()
	for i := range count {
		d, s := dst[i*dstStep+whole:i*dstStep+n], src[i*srcStep+whole:]
		for j := range d {
			d[j] = max(d[j]^flip, s[j]^flip) ^ flip
		}
	}
}
