package int8

// Runs are Count runs of Length neighbouring values each, so many values apart in the
// output and in the inputs. The output may be an input's memory.
type Runs struct{ Length, Count, Dst, X, Y int }

// Zeros are the zero points of an operation's output and of its two inputs.
type Zeros struct{ Dst, X, Y int8 }

// to is the limits of an output.
func (z Zeros) to() Range { return Range{-128, 127, int32(z.Dst)} }

// Lookup takes values from a table, in which that of a stored byte q stands at uint8(q).
func (r Runs) Lookup(dst, src []int8, table *[256]int8) {
	for i := range r.Count {
		d := dst[i*r.Dst:][:r.Length]
		for j, q := range src[i*r.X:][:len(d)] {
			d[j] = table[uint8(q)]
		}
	}
}

// LookupChannels is Lookup with a table for each value of a run.
func (r Runs) LookupChannels(dst, src []int8, tables []*[256]int8) {
	for i := range r.Count {
		d, s := dst[i*r.Dst:][:r.Length], src[i*r.X:][:r.Length]
		for j, table := range tables[:r.Length] {
			d[j] = table[uint8(s[j])]
		}
	}
}

// Mul multiplies values, which are stored XORed with flip.
func (r Runs) Mul(dst, x, y []int8, m *Mul, z Zeros, flip int8) {
	op, to, zx, zy := *m, z.to(), int32(z.X), int32(z.Y)
	for i := range r.Count {
		d := dst[i*r.Dst:][:r.Length]
		p, q := x[i*r.X:][:len(d)], y[i*r.Y:][:len(d)]
		for j := range d {
			d[j] = int8(op.At(int32(p[j]^flip)-zx, int32(q[j]^flip)-zy, to)) ^ flip
		}
	}
}

// Add is Mul for sums.
func (r Runs) Add(dst, x, y []int8, a *Add, z Zeros, flip int8) {
	op, to, zx, zy := *a, z.to(), int32(z.X), int32(z.Y)
	for i := range r.Count {
		d := dst[i*r.Dst:][:r.Length]
		p, q := x[i*r.X:][:len(d)], y[i*r.Y:][:len(d)]
		for j := range d {
			d[j] = int8(op.At(int32(p[j]^flip)-zx, int32(q[j]^flip)-zy, to)) ^ flip
		}
	}
}

// Sum adds count runs of values, which are stored XORed with flip and begin step apart,
// to the sums.
func Sum(sums []int32, src []int8, count, step int, flip int8) {
	for i := range count {
		for j, v := range src[i*step:][:len(sums)] {
			sums[j] += int32(v ^ flip)
		}
	}
}
