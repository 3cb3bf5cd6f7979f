package teach

import (
	"context"
	"sync"
	"sync/atomic"

	"edgeclassify/int8"
	"edgeclassify/runtime"
)

// unit is the value of a vector's length 1 while embeddings are compared: its two bytes
// are in -127..127 each.
const unit = 127 << 8

// gram is the products of all samples' embeddings with each other, for each of the two
// parts: exact integers, of which a product of any weights of the parts is made.
type gram struct {
	samples        int
	pooled, logits []int32 // [samples][samples]; unit*unit is 1, and rounding leaves them in int32
}

// newGram multiplies vectors.
func newGram(ctx context.Context, v *vectors, threads int) (*gram, error) {
	g := &gram{samples: v.samples}
	var err error
	if g.pooled, err = allProducts(ctx, v, 0, v.pooled, threads); err == nil {
		g.logits, err = allProducts(ctx, v, v.pooled, v.width, threads)
	}
	return g, err
}

// allProducts of the values [from, to) of all vectors with each other. The classifier's
// kernel, which multiplies int16 by int8, does it in two halves: v = 256*high + low.
func allProducts(ctx context.Context, v *vectors, from, to, threads int) ([]int32, error) {
	n, width := v.samples, to-from
	dst := make([]int32, n*n)
	if width == 0 {
		return dst, nil
	}
	high, low := &int8.Dense{In: width, Out: n, Bias: make([]int32, n)}, &int8.Dense{In: width, Out: n, Bias: make([]int32, n)}
	high.Weight, low.Weight = make([]int8.Value, n*width), make([]int8.Value, n*width)
	for i := range n {
		for j, q := range v.row(i)[from:to] {
			low.Weight[i*width+j] = int8.Value(q)
			high.Weight[i*width+j] = int8.Value((q - int16(int8.Value(q))) >> 8)
		}
	}
	dense := runtime.Kernels()[0].Dense
	err := parallel(ctx, threads, n, func(_, i int) error {
		row := v.row(i)[from:to]
		dense(high, dst[i*n:(i+1)*n], row, 0, i+1)
		halves := make([]int32, i+1)
		dense(low, halves, row, 0, i+1)
		for j, half := range halves {
			dst[i*n+j] = dst[i*n+j]<<8 + half
		}
		return nil
	})
	for i := range n {
		for j := range i {
			dst[j*n+i] = dst[i*n+j]
		}
	}
	return dst, err
}

// mix is the products among the samples of an index, of embeddings in which the pooled
// part has this share of the square of the length. It is written to the buffer, which
// must hold the square of their number.
func (g *gram) mix(share float64, index []int, buffer []float64) *kernel {
	k := &kernel{len(index), buffer[:len(index)*len(index)]}
	for i, sample := range index {
		g.row(k.values[i*len(index):(i+1)*len(index)], share, sample, index)
	}
	return k
}

// row is the products of one sample with those of an index.
func (g *gram) row(dst []float64, share float64, sample int, index []int) {
	p, l := share/unit/unit, (1-share)/unit/unit
	pooled, logits := g.pooled[sample*g.samples:(sample+1)*g.samples], g.logits[sample*g.samples:(sample+1)*g.samples]
	for i, j := range index {
		dst[i] = float64(p*float64(pooled[j])) + float64(l*float64(logits[j]))
	}
}

// kernel is a symmetric matrix of products of samples.
type kernel struct {
	samples int
	values  []float64 // [samples][samples]
}

// mul is dst = values * v for each class's v [classes][samples].
func (k *kernel) mul(dst, v []float64) {
	n := k.samples
	for ; len(v) >= 4*n; dst, v = dst[4*n:], v[4*n:] {
		for i := range n {
			dst[i], dst[n+i], dst[2*n+i], dst[3*n+i] = dot4(k.values[i*n:(i+1)*n], v)
		}
	}
	for ; len(v) >= n; dst, v = dst[n:], v[n:] {
		for i := range n {
			dst[i] = dot(k.values[i*n:(i+1)*n], v[:n])
		}
	}
}

// dot4 multiplies one row by four that follow each other: four sums at once do not
// wait for each other.
func dot4(row, v []float64) (s0, s1, s2, s3 float64) {
	n := len(row)
	v0, v1, v2, v3 := v[:n], v[n:2*n], v[2*n:3*n], v[3*n:4*n]
	v1, v2, v3 = v1[:len(v0)], v2[:len(v0)], v3[:len(v0)]
	row = row[:len(v0)]
	for j, a := range v0 {
		x := row[j]
		s0 += float64(x * a)
		s1 += float64(x * v1[j])
		s2 += float64(x * v2[j])
		s3 += float64(x * v3[j])
	}
	return s0, s1, s2, s3
}

// explicit is the matrix of products where samples are so many that it would not fit
// into memory: it multiplies by the embeddings, twice.
type explicit struct {
	*vectors
	share   float64
	threads int
}

func (e *explicit) mul(dst, v []float64) {
	n := e.samples
	// The context ends the solver between multiplications.
	_ = parallel(context.Background(), e.threads, len(v)/n, func(_, class int) error {
		w := make([]float64, e.width)
		for i, a := range v[class*n : (class+1)*n] {
			for j, q := range e.row(i) {
				w[j] += float64(a * float64(q))
			}
		}
		for j := range w {
			if share := e.share; j < e.pooled {
				w[j] *= share / unit / unit
			} else {
				w[j] *= (1 - share) / unit / unit
			}
		}
		for i := range n {
			sum := 0.0
			for j, q := range e.row(i) {
				sum += float64(w[j] * float64(q))
			}
			dst[class*n+i] = sum
		}
		return nil
	})
}

// parallel calls f for 0 to n-1 on so many threads, in the caller's own where there is
// one, until the context ends or a call fails. f is told its thread's number.
func parallel(ctx context.Context, threads, n int, f func(thread, i int) error) error {
	var next atomic.Int64
	errs := make([]error, max(1, min(threads, n)))
	work := func(thread int) {
		for errs[thread] == nil {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			if errs[thread] = ctx.Err(); errs[thread] == nil {
				errs[thread] = f(thread, i)
			}
		}
	}
	var wait sync.WaitGroup
	for thread := 1; thread < len(errs); thread++ {
		wait.Go(func() { work(thread) })
	}
	work(0)
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
