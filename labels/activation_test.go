package labels

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnswers(t *testing.T) {
	logits := []float32{-1, -2, 5}
	require.Equal(t, logits[:2], Softmax.Answers(logits[:2]))
	require.Equal(t, []float32{-1, -2, 0}, Sigmoid.Answers(logits[:2]))
	require.Equal(t, []float32{0, -1}, Sigmoid.Answers(logits[:1]))
	require.Equal(t, []float32{-1, -2, 5}, logits, "they are left alone")
}

func TestProbabilities(t *testing.T) {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	for _, c := range []struct {
		a            Activation
		logits, want []float64
		independent  bool
	}{
		{Softmax, []float64{0, math.Log(3)}, []float64{0.25, 0.75}, false},
		{Softmax, []float64{1000, -1000}, []float64{1, 0}, false},
		{Softmax, []float64{7}, []float64{1}, false},
		{Sigmoid, []float64{0, 2, -2}, []float64{0.5, sigmoid(2), sigmoid(-2)}, true},
		{Sigmoid, []float64{1000, -1000}, []float64{1, 0}, true},
		{Sigmoid, []float64{1.5}, []float64{sigmoid(-1.5), sigmoid(1.5)}, false},
		{Sigmoid, []float64{-1000}, []float64{1, 0}, false},
		{Sigmoid, nil, []float64{}, false},
	} {
		n := len(c.logits)
		require.Equal(t, len(c.want), c.a.Classes(n))
		require.Equal(t, c.independent, c.a.Independent(n))
		room := append(c.logits, 9, 9)
		scores := c.a.Scores(room, n)
		c.a.Probabilities(scores, n)
		require.InDeltaSlice(t, c.want, scores, 1e-12, "%s of %v", c.a, c.logits)
		require.Equal(t, 9.0, room[len(room)-1], "what is behind is left alone")
	}
}
