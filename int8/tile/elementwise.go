package tile

import (
	"unsafe"

	"edgeclassify/int8"
)

// Elementwise is micro-kernels of what is computed value by value; nil where portable
// code does it.
type Elementwise struct {
	Lookup func(LookupArgs)
	// LookupChannels is Lookup with a table for each value of a run.
	LookupChannels func(LookupArgs)
	Mul            func(MulArgs)
	Add            func(AddArgs)
	Sum            func(SumArgs)
	Mean           func(MeanArgs)
}

// Eight is the number of values of which the lengths of Elementwise's runs are multiples.
const Eight = 8

// LookupArgs is runs of bytes and what stands for each byte. As of all arguments here,
// assembly relies on the order and size of the fields; zero points are as stored.
type LookupArgs struct {
	Dst, Src, Table  unsafe.Pointer // int8 [256]; of channels, the tables' addresses [Length]
	Length           int            // of a run, a positive multiple of Eight
	Count            int            // of runs, at least 1
	DstStep, SrcStep int            // from one run to the next
}

// MulArgs is runs of bytes of two inputs. Products are requantized.
type MulArgs struct {
	Dst, X, Y             unsafe.Pointer
	Length, Count         int
	DstStep, XStep, YStep int
	Multiplier, Shift     int
	ZeroX, ZeroY, Zero    int
}

// AddArgs is runs of bytes of two inputs. Offset has half of what the shift removes, and
// the zero points times their ratios taken away: all modulo 1<<32.
type AddArgs struct {
	Dst, X, Y             unsafe.Pointer
	Length, Count         int
	DstStep, XStep, YStep int
	RatioX, RatioY        int
	Offset, Shift, Zero   int
}

// SumArgs is runs of bytes that are added up, as stored, and Offset with them.
type SumArgs struct {
	Sums   unsafe.Pointer // int32 [Length]
	Src    unsafe.Pointer
	Length int // a positive multiple of Eight
	Count  int // of runs, 1 to SumRuns
	Step   int // from one run to the next
	Offset int
}

// MeanArgs is sums that are requantized.
type MeanArgs struct {
	Dst, Sums               unsafe.Pointer
	Length                  int // a positive multiple of Eight
	Multiplier, Shift, Zero int
}

// SumRuns is the number of bytes whose sum fits 16 bits.
const SumRuns = 256

// stored is a zero point as it is stored.
func (m *Micro) stored(zero int8.Value) int { return int(zero) + m.offset() }

// offset is what a stored byte has more than its value.
func (m *Micro) offset() int {
	if m.Unsigned {
		return 128
	}
	return 0
}

// bound checks that runs lie in a slice.
func bound(s []int8.Value, r *int8.Runs, step int) unsafe.Pointer {
	return pointer(s[:(r.Count-1)*step+r.Length])
}

// whole is the values of a run that assembly takes, and the runs of those that are left.
func whole(r int8.Runs) (n int, rest int8.Runs) {
	n = r.Length / Eight * Eight
	r.Length -= n
	return n, r
}

func (m *Micro) lookup(dst, src []int8.Value, table *[256]int8.Value, r int8.Runs) {
	n, rest := whole(r)
	if m.Lookup != nil && n > 0 && r.Count > 0 {
		m.Lookup(LookupArgs{bound(dst, &r, r.Dst), bound(src, &r, r.X), unsafe.Pointer(table), n, r.Count, r.Dst, r.X})
		dst, src, r = dst[n:], src[n:], rest
	}
	if r.Length > 0 {
		r.Lookup(dst, src, table)
	}
}

func (m *Micro) lookupChannels(dst, src []int8.Value, tables []*[256]int8.Value, r int8.Runs) {
	n, rest := whole(r)
	if m.LookupChannels != nil && n > 0 && r.Count > 0 {
		m.LookupChannels(LookupArgs{bound(dst, &r, r.Dst), bound(src, &r, r.X), unsafe.Pointer(unsafe.SliceData(tables[:r.Length])), n, r.Count, r.Dst, r.X})
		dst, src, tables, r = dst[n:], src[n:], tables[n:], rest
	}
	if r.Length > 0 {
		r.LookupChannels(dst, src, tables)
	}
}

func (m *Micro) mul(dst, x, y []int8.Value, op *int8.Mul, z int8.Zeros, r int8.Runs) {
	n, rest := whole(r)
	if m.Mul != nil && n > 0 && r.Count > 0 {
		m.Mul(MulArgs{
			bound(dst, &r, r.Dst), bound(x, &r, r.X), bound(y, &r, r.Y), n, r.Count, r.Dst, r.X, r.Y,
			int(op.Multiplier), int(op.Shift), m.stored(z.X), m.stored(z.Y), m.stored(z.Dst),
		})
		dst, x, y, r = dst[n:], x[n:], y[n:], rest
	}
	if r.Length > 0 {
		r.Mul(dst, x, y, op, z, m.flip())
	}
}

func (m *Micro) add(dst, x, y []int8.Value, op *int8.Add, z int8.Zeros, r int8.Runs) {
	n, rest := whole(r)
	if m.Add != nil && n > 0 && r.Count > 0 {
		rx, ry := int(op.RatioA), int(op.RatioB)
		m.Add(AddArgs{
			bound(dst, &r, r.Dst), bound(x, &r, r.X), bound(y, &r, r.Y), n, r.Count, r.Dst, r.X, r.Y,
			rx, ry, 1<<op.Shift>>1 - rx*m.stored(z.X) - ry*m.stored(z.Y), int(op.Shift), m.stored(z.Dst),
		})
		dst, x, y, r = dst[n:], x[n:], y[n:], rest
	}
	if r.Length > 0 {
		r.Add(dst, x, y, op, z, m.flip())
	}
}

func (m *Micro) sum(sums []int32, src []int8.Value, count, step int) {
	n := len(sums) / Eight * Eight
	if m.Sum == nil || count == 0 {
		n = 0
	}
	for i := 0; n > 0 && i < count; i += SumRuns {
		runs := min(count-i, SumRuns)
		part := src[i*step:][:(runs-1)*step+n]
		m.Sum(SumArgs{pointer(sums), pointer(part), n, runs, step, -runs * m.offset()})
	}
	if n < len(sums) {
		int8.Sum(sums[n:], src[n:], count, step, m.flip())
	}
}

func (m *Micro) mean(dst []int8.Value, sums []int32, op *int8.Mean, zero int8.Value) {
	n := len(sums) / Eight * Eight
	if m.Mean == nil {
		n = 0
	}
	if n > 0 {
		m.Mean(MeanArgs{pointer(dst[:n]), pointer(sums), n, int(op.Multiplier), int(op.Shift), m.stored(zero)})
	}
	op.Means(dst[n:], sums[n:], zero, m.flip())
}
