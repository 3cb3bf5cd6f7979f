package observe

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Of 256 images whose maxima have a Pareto tail, what one of 3000 goes beyond is found
// within a quarter, in any order and by parts.
func TestReturnLevelOfParetoTail(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	whole, parts := maxima{}, []maxima{{}, {}}
	for _, i := range rng.Perm(256) {
		magnitude := float32(20 * math.Pow((float64(i)+0.5)/256, -0.2))
		whole.add(magnitude)
		parts[i%2].add(magnitude)
	}
	require.InEpsilon(t, 20*math.Pow(ReturnPeriod, 0.2), whole.returnLevel(), 0.25)
	parts[0].join(parts[1])
	require.Equal(t, whole, parts[0])
}

func TestReturnLevelHasLimits(t *testing.T) {
	few, alike, mixed := maxima{}, maxima{}, maxima{}
	for i := range leastTail*tailShare - 1 {
		few.add(float32(i + 1))
		alike.add(8)
		mixed.add(1)
	}
	require.Zero(t, few.returnLevel(), "one image too few")
	alike.add(8)
	require.Equal(t, 8.0, alike.returnLevel())
	alike.add(0) // no response at all
	require.Equal(t, 8.0, alike.returnLevel())
	for range 4 { // which respond by far more than all others are no tail
		mixed.add(64)
	}
	require.Equal(t, 64.0*farthest, mixed.returnLevel())
}
