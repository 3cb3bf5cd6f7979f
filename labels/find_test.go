package labels

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFind(t *testing.T) {
	classes := ImageNet()
	for name, want := range map[string][]int{
		"tabby":     {281},
		"TABBY":     {281},
		"n02123045": {281},
		"crane":     {134, 517}, // the bird and the machine
	} {
		found, err := Find(classes, name)
		require.NoError(t, err)
		require.Equal(t, want, found, name)
	}
	for name, want := range map[string]string{
		"cat":         "Persian cat",
		"expresso":    "did you mean espresso",
		"golden":      "golden retriever",
		"tench ":      "did you mean tench",
		"":            `no class "" among the model's 1000`,
		"helicopters": `no class "helicopters" among`,
	} {
		_, err := Find(classes, name)
		require.ErrorContains(t, err, want, name)
	}
}

func TestDistance(t *testing.T) {
	for pair, want := range map[[2]string]int{
		{"", ""}: 0, {"a", ""}: 1, {"", "ab"}: 2, {"kitten", "sitting"}: 3, {"flaw", "lawn"}: 2, {"same", "same"}: 0,
	} {
		require.Equal(t, want, distance(pair[0], pair[1]), pair)
	}
}
