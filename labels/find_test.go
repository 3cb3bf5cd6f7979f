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
		require.ErrorIs(t, err, ErrUnknown)
	}
	_, err := Find([]Class{{"0", "cat"}, {"1", "dog"}}, "elephant")
	require.EqualError(t, err, `no class "elephant" among the model's 2: cat, dog`)
	found, err := Find([]Class{{"0", "1"}, {"1", "2"}}, "1")
	require.NoError(t, err)
	require.Equal(t, []int{0}, found, "names come before ids")
}
