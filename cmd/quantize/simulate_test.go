package main

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/diagnose"
	"edgeclassify/calibrate/fp32"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/evaluate"
	"edgeclassify/models"
	"edgeclassify/runtime"
	"edgeclassify/tensor"
)

// exactSums is the largest magnitude up to which float32 has all integers.
const exactSums = 1 << 24

// The float simulation of ResNet50 and the integer engine give the same logits,
// to the bit. Some layers have weights with which a sum of products could pass
// 2^24 and become inexact; for these the sums of positive and of negative
// products alone, between which all partial sums lie, show that on these
// photographs none does.
func TestSimulationOfResNet50IsTheEngine(t *testing.T) {
	needWeights(t)
	g, err := load("resnet50-keras", models.ImportOptions{})
	require.NoError(t, err)
	folded, err := g.Fold()
	require.NoError(t, err)
	table, _, err := shippedRanges(g.Hash())
	require.NoError(t, err)
	network, err := quantize.Network(folded, table)
	require.NoError(t, err)
	simulation, err := diagnose.Simulate(folded, network, nil)
	require.NoError(t, err)
	simulation, doubtful := splitSums(t, simulation, diagnose.Inexact(network))
	t.Logf("sums that could pass 2^24: %q", simulation.Topology().Names(doubtful))
	executor, err := fp32.NewExecutor(simulation, 2, doubtful...)
	require.NoError(t, err)
	plan, err := runtime.Compile(network, runtime.Options{Threads: 2})
	require.NoError(t, err)
	engine := plan.NewSession()
	defer engine.Close()

	photographs, err := evaluate.Draw("../../testdata/photos", g.Preprocess, 2, 1)
	require.NoError(t, err)
	require.Equal(t, 2, photographs.Len())
	for i, file := range photographs.Files {
		rgb, err := photographs.Load(i)
		require.NoError(t, err)
		got, err := executor.RunImage(rgb, func(id tensor.ID, sums []float32) error {
			require.Less(t, max(slices.Max(sums), -slices.Min(sums)), float32(exactSums), simulation.Topology().Name(id))
			return nil
		})
		require.NoError(t, err)
		logits, err := engine.Run(rgb)
		require.NoError(t, err)
		want := make([]float32, len(logits))
		network.Classifier().Scaled(want, logits)
		require.Equal(t, want, got, file)
	}
}

// splitSums adds to a simulation the sums of the positive and of the negative
// products of some layers, which read what a ReLU made, and returns them, too.
func splitSums(t *testing.T, g *models.Graph, layers []string) (split *models.Graph, sums []tensor.ID) {
	var names []string
	split, err := g.Rewrite(func(b *models.Builder, n models.Node, inputs []string) error {
		op, conv := n.Op.(*models.Conv)
		if conv && slices.ContainsFunc(layers, func(layer string) bool { return n.Name == layer+"/products" }) {
			for sign, name := range map[float32]string{1: "/positive", -1: "/negative"} {
				part := *op
				part.Weight = slices.Clone(op.Weight)
				for k, w := range part.Weight {
					if w*sign < 0 {
						part.Weight[k] = 0
					}
				}
				names = append(names, n.Name+name)
				if _, err := b.Add(n.Name+name, &part, inputs...); err != nil {
					return err
				}
			}
		}
		_, err := b.Add(n.Name, n.Op, inputs...)
		return err
	})
	require.NoError(t, err)
	sums, err = split.Topology().IDs(names)
	require.NoError(t, err)
	return split, sums
}
