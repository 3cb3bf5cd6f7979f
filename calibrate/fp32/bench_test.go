package fp32

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// BenchmarkMobileNet runs a network of MobileNetV2's blocks (arXiv:1801.04381).
func BenchmarkMobileNet(b *testing.B) {
	for name, relu6 := range map[string]models.Op{"clip": models.Clip{Max: 6}, "swish": models.Activation{Function: models.Swish, Alpha: 1}} {
		b.Run(name, func(b *testing.B) {
			g := mobileNet(b, relu6)
			e, err := NewExecutor(g, 1)
			if err != nil {
				b.Fatal(err)
			}
			image := make([]float32, g.Input().Elements())
			for b.Loop() {
				if _, err := e.Run(image, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(2*float64(macs(g))*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}

func macs(g *models.Graph) (n int) {
	for _, node := range g.Nodes {
		if l, ok := node.Op.(models.Linear); ok {
			n += len(l.Parameters().Weight) * node.Shape.H * node.Shape.W
		}
	}
	return n
}

func mobileNet(t testing.TB, activation models.Op) *models.Graph {
	rng := rand.New(rand.NewPCG(1, 2))
	b := models.NewBuilder("image", tensor.Shape{H: 224, W: 224, C: 3})
	n := 0
	add := func(op models.Op, inputs ...string) string {
		n++
		_, _ = b.Add(fmt.Sprint(n), op, inputs...)
		return fmt.Sprint(n)
	}
	conv := func(k, stride, groups, in, out int, from string) string {
		return add(graphtest.Conv(rng, tensor.Square(k, stride, k/2), groups, in, out), from)
	}
	x, channels := add(activation, conv(3, 2, 1, 3, 32, "image")), 32
	for _, s := range []struct{ expand, out, blocks, stride int }{
		{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1},
	} {
		for i := range s.blocks {
			y, hidden, stride := x, s.expand*channels, 1
			if i == 0 {
				stride = s.stride
			}
			if s.expand > 1 {
				y = add(activation, conv(1, 1, 1, channels, hidden, x))
			}
			y = add(activation, conv(3, stride, hidden, hidden, hidden, y))
			y = conv(1, 1, 1, hidden, s.out, y)
			if i > 0 {
				y = add(models.Add{}, x, y)
			}
			x, channels = y, s.out
		}
	}
	x = add(models.GlobalAveragePool{}, add(activation, conv(1, 1, 1, channels, 1280, x)))
	add(graphtest.Dense(rng, 1280, 1000), x)
	return graphtest.Graph(t, b, "mobilenet")
}
