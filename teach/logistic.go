package teach

import (
	"context"
	"math"

	"edgeclassify/internal/elementary"
)

// logistic is a regression on the products of samples: with weights W = sum of Alpha
// times embedding for each class, it minimizes
//
//	|W|^2/2 + strength * sum of weight * loss(W x + b, target)
//
// where the loss is the negative log-likelihood of the softmax, or the sum of those of
// independent sigmoids; biases are not held down (Bishop, Pattern Recognition and Machine
// Learning, 2006, 4.3.4). The form is scikit-learn's, strength is its C. That the best W
// is such a sum is the representer theorem (Schölkopf et al., 2001). By Alpha, an
// iteration takes one multiplication by the matrix of products, whatever the embedding's
// length.
type logistic struct {
	products products
	samples  int
	classes  int
	multi    bool
	weight   []float64 // [samples]
	target   []float64 // [classes][samples], 0 or 1
}

// products multiplies the matrix of products of samples by each class's v
// [classes][samples].
type products interface{ mul(dst, v []float64) }

// vector is weights of classes by what they are made of.
type vector struct {
	alpha []float64 // [classes][samples]
	dots  []float64 // [classes][samples]: products of the weights with each embedding
	bias  []float64 // [classes]
}

func (l *logistic) vector() *vector {
	n := l.classes * l.samples
	return &vector{make([]float64, n), make([]float64, n), make([]float64, l.classes)}
}

func (v *vector) copy(o *vector) {
	copy(v.alpha, o.alpha)
	copy(v.dots, o.dots)
	copy(v.bias, o.bias)
}

func (v *vector) add(factor float64, o *vector) {
	add(v.alpha, factor, o.alpha)
	add(v.dots, factor, o.dots)
	add(v.bias, factor, o.bias)
}

func (v *vector) scale(factor float64) {
	for _, s := range [][]float64{v.alpha, v.dots, v.bias} {
		for i := range s {
			s[i] *= factor
		}
	}
}

// times is the inner product of weights and biases.
func (v *vector) times(o *vector) float64 { return dot(v.alpha, o.dots) + dot(v.bias, o.bias) }

const (
	history       = 8 // of L-BFGS
	maxIterations = 500
)

// solve minimizes by L-BFGS (Nocedal, Wright: Numerical Optimization, 2006, algorithm
// 7.5), starting from and changing x, until the decrease to be expected is below
// tolerance times the value. Its inner product is that of the weights, not of Alpha.
func (l *logistic) solve(ctx context.Context, x *vector, strength, tolerance float64) error {
	gradient, before, direction := l.vector(), l.vector(), l.vector()
	var steps, changes []*vector
	residual := make([]float64, len(x.alpha))
	for iteration := range maxIterations {
		if err := ctx.Err(); err != nil {
			return err
		}
		value := l.gradient(gradient, x, residual, strength)
		if iteration > 0 {
			steps, changes = remember(steps, changes, l, direction, gradient, before)
		}
		before.copy(gradient)
		descend(direction, gradient, steps, changes)
		slope := gradient.times(direction)
		if -slope <= float64(tolerance*value) {
			return nil
		}
		step := l.search(x, direction, slope, strength)
		direction.scale(step)
		x.add(1, direction)
	}
	return nil
}

// remember keeps the last step and the change of the gradient over it.
func remember(steps, changes []*vector, l *logistic, step, gradient, before *vector) (_, _ []*vector) {
	var s, y *vector
	if len(steps) == history {
		s, y = steps[0], changes[0]
		steps, changes = steps[1:], changes[1:]
	} else {
		s, y = l.vector(), l.vector()
	}
	s.copy(step)
	y.copy(gradient)
	y.add(-1, before)
	if s.times(y) <= 0 { // rounding alone can bring this about
		return steps, changes
	}
	return append(steps, s), append(changes, y)
}

// descend makes the direction: minus the gradient times the inverse Hessian, as far as
// steps and changes know it.
func descend(direction, gradient *vector, steps, changes []*vector) {
	direction.copy(gradient)
	factors := make([]float64, len(steps))
	for i := len(steps) - 1; i >= 0; i-- {
		factors[i] = steps[i].times(direction) / steps[i].times(changes[i])
		direction.add(-factors[i], changes[i])
	}
	if last := len(steps) - 1; last >= 0 {
		direction.scale(steps[last].times(changes[last]) / changes[last].times(changes[last]))
	}
	for i := range steps {
		direction.add(factors[i]-changes[i].times(direction)/steps[i].times(changes[i]), steps[i])
	}
	direction.scale(-1)
}

// gradient returns the value.
func (l *logistic) gradient(g, x *vector, residual []float64, strength float64) float64 {
	loss := l.residuals(residual, x)
	l.products.mul(g.dots, residual)
	for i, r := range residual {
		g.alpha[i] = x.alpha[i] + float64(strength*r)
		g.dots[i] = x.dots[i] + float64(strength*g.dots[i])
	}
	for k := range g.bias {
		sum := 0.0
		for _, r := range residual[k*l.samples : (k+1)*l.samples] {
			sum += r
		}
		g.bias[k] = float64(strength * sum)
	}
	return float64(dot(x.alpha, x.dots)/2) + float64(strength*loss)
}

// residuals are weight * (probability - target), [classes][samples]; the loss is returned.
func (l *logistic) residuals(dst []float64, x *vector) float64 {
	z, loss := make([]float64, l.classes), 0.0
	for i, w := range l.weight {
		for k := range z {
			z[k] = x.dots[k*l.samples+i] + x.bias[k]
		}
		loss += float64(w * losses(z, l.target[i:], l.samples, l.multi))
		for k, p := range z {
			dst[k*l.samples+i] = float64(w * (p - l.target[k*l.samples+i]))
		}
	}
	return loss
}

// losses is the loss of logits, which become probabilities; every stride-th target counts.
func losses(z, target []float64, stride int, multi bool) float64 {
	loss := 0.0
	for k, v := range z {
		loss -= float64(v * target[k*stride])
	}
	if !multi {
		return loss + softmax(z)
	}
	for k, v := range z {
		loss += softplus(v)
		z[k] = sigmoid(v)
	}
	return loss
}

// softmax turns logits into probabilities and returns the log of the sum of e^logit.
func softmax(z []float64) float64 {
	top, sum := math.Inf(-1), 0.0
	for _, v := range z {
		top = max(top, v)
	}
	for k, v := range z {
		z[k] = elementary.Exp(v - top)
		sum += z[k]
	}
	for k := range z {
		z[k] /= sum
	}
	return top + elementary.Log(sum)
}

func sigmoid(z float64) float64 {
	if z < 0 {
		e := elementary.Exp(z)
		return e / (1 + e)
	}
	return 1 / (1 + elementary.Exp(-z))
}

// softplus is log(1 + e^z).
func softplus(z float64) float64 { return max(z, 0) + elementary.Log(1+elementary.Exp(-math.Abs(z))) }

// search finds about the best step along a direction. It takes no product of samples.
func (l *logistic) search(x, d *vector, slope, strength float64) float64 {
	linear, square := dot(x.alpha, d.dots), dot(d.alpha, d.dots)
	z, v := make([]float64, l.classes), make([]float64, l.classes)
	return minimum(0, 1, -0.1*slope, func(at float64) (first, second float64) {
		for i, w := range l.weight {
			for k := range z {
				v[k] = d.dots[k*l.samples+i] + d.bias[k]
				z[k] = x.dots[k*l.samples+i] + x.bias[k] + float64(at*v[k])
			}
			_, f, s := along(z, l.target[i:], v, l.samples, l.multi)
			first += float64(w * f)
			second += float64(w * s)
		}
		return linear + float64(at*square) + float64(strength*first), square + float64(strength*second)
	})
}
