package quantize_test

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// searched is a network with a table that has all that a search can find.
func searched(t testing.TB) (*models.Graph, *quantize.RangeTable) {
	g, images := graphtest.StreamClassifier(t, rand.New(rand.NewPCG(1, 3)))
	return g, wholeTable(t, g, images)
}

func wholeTable(t testing.TB, g *models.Graph, images dataset.Images) *quantize.RangeTable {
	t.Helper()
	s := seen(t, g, images)
	table := s.Table(quantize.MSE)
	table.Equalization = quantize.NewEqualization(g, s.Peaks(), 0.25)
	table.Shifts, table.Scales, table.Steps = map[string]quantize.PerChannel{}, map[string]quantize.PerChannel{}, map[string]quantize.Steps{}
	for _, n := range g.Nodes {
		op, ok := n.Op.(models.Linear)
		if !ok {
			continue
		}
		p := op.Parameters()
		shifts, scales, steps := make(quantize.PerChannel, p.Out), make(quantize.PerChannel, p.Out), make(quantize.Steps, len(p.Weight))
		for o := range shifts {
			shifts[o] = 0.01 * float64(o)
		}
		for i, w := range p.Weight {
			steps[i] = int8.Value(i%3 - 1)
			o := i * p.Out / len(p.Weight)
			scales[o] = max(scales[o], math.Abs(float64(w))/100)
		}
		table.Shifts[n.Name], table.Scales[n.Name], table.Steps[n.Name] = shifts.Rounded(), scales.Rounded(), steps
	}
	return table
}

// tiny is a network that is quantized in no time.
func tiny(t testing.TB, rng *rand.Rand) (*models.Graph, graphtest.Images) {
	b := models.NewBuilder("image", tensor.Shape{H: 2, W: 2, C: 3})
	add := func(name string, op models.Op, inputs ...string) { _, _ = b.Add(name, op, inputs...) }
	add("a", pointwise(rng, 3, 2), "image")
	add("relu", models.ReLU{}, "a")
	add("b", graphtest.Conv(rng, tensor.Square(1, 1, 0), 2, 2, 2), "relu")
	add("sum", models.Add{}, "b", "relu")
	add("average", models.GlobalAveragePool{}, "sum")
	add("fc", graphtest.Dense(rng, 2, 2), "average")
	g := graphtest.ForImages(graphtest.Graph(t, b, "tiny"), preprocess.Torchvision())
	return g, graphtest.Images{N: 4, Values: g.Input().Elements()}
}

func quantizedBy(t *testing.T, g *models.Graph, table *quantize.RangeTable) *int8.Network {
	t.Helper()
	n, err := quantize.Network(g, table)
	require.NoError(t, err)
	return n
}

// stored is a table as a file has it.
func stored(t *testing.T, table *quantize.RangeTable) *quantize.RangeTable {
	t.Helper()
	read, err := quantize.ReadRanges(bytes.NewReader(written(t, table)))
	require.NoError(t, err)
	return read
}

func TestWholeTableIsTheSameOnceStored(t *testing.T) {
	g, table := searched(t)
	read := stored(t, table)
	require.Equal(t, table, read)
	require.Equal(t, quantizedBy(t, g, table), quantizedBy(t, g, read))
	for name, without := range map[string]func(r *quantize.RangeTable){
		"equalization": func(r *quantize.RangeTable) { r.Equalization = nil }, "shifts": func(r *quantize.RangeTable) { r.Shifts = nil },
		"scales": func(r *quantize.RangeTable) { r.Scales = nil }, "steps": func(r *quantize.RangeTable) { r.Steps = nil },
	} {
		less := *read
		without(&less)
		require.NotEqual(t, quantizedBy(t, g, read), quantizedBy(t, g, &less), "%s count", name)
	}
}

func TestTablesOfAnotherNetworkNameTheLayer(t *testing.T) {
	g, table := searched(t)
	for _, c := range []struct {
		edit func(r *quantize.RangeTable)
		want string
	}{
		{func(r *quantize.RangeTable) { delete(r.Ranges, "c_conv") }, `layer "c_conv": the range table has no entry for it`},
		{func(r *quantize.RangeTable) { r.Ranges["c_conv"] = quantize.Range{Min: -1} }, `layer "c_conv": range [0, 0] is empty`},
		{func(r *quantize.RangeTable) { r.Means["c_conv"] = quantize.PerChannel{1} }, `layer "d": the range table has 1 means of its input "c_conv", want 24`},
		{func(r *quantize.RangeTable) { r.Shifts["c_conv"] = quantize.PerChannel{1, 2} }, `layer "c_conv": the range table has 2 shifts of its biases, want 24`},
		{func(r *quantize.RangeTable) { r.Shifts["fc"] = quantize.PerChannel{} }, `layer "fc": the range table has 0 shifts of its biases, want 10`},
		{func(r *quantize.RangeTable) { r.Shifts["c_conv"][3] = 1e29 }, `layer "c_conv" (conv): channel 3: the accumulator can reach`},
		{func(r *quantize.RangeTable) { r.Shifts["fc"][3] = -1e29 }, `layer "fc" (dense): class 3: the accumulator can reach`},
		{func(r *quantize.RangeTable) { r.Scales["c_conv"] = quantize.PerChannel{1} }, `layer "c_conv": the range table has 1 scales of its weights, want 24`},
		{func(r *quantize.RangeTable) { r.Steps["c_conv"] = quantize.Steps{1} }, `layer "c_conv": the range table has 1 steps of its weights, want 6912`},
		{func(r *quantize.RangeTable) { r.Equalization["c_conv"] = quantize.Log2Scales{1} }, `group "c_conv": 1 exponents, want 24`},
		{func(r *quantize.RangeTable) { r.Equalization["c_conv"][7] = 1 << 40 }, `group "c_conv": channel 7: the exponent 1099511627776`},
		{func(r *quantize.RangeTable) { r.Equalization["other"] = quantize.Log2Scales{1} }, "none of this network"},
	} {
		r := stored(t, table)
		c.edit(r)
		_, err := quantize.Network(g, r)
		require.ErrorContains(t, err, c.want)
	}
}

func TestTablesThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		``:                                  "EOF",
		`[]`:                                "array",
		`{"ranges": {"a": {"min": 1}}}`:     `layer "a": range [1, 0]`,
		`{"ranges": {"a": {"max": 1e31}}}`:  `layer "a": range [0, 1e+31]`,
		`{"ranges": {"a": {"max": 1e400}}}`: "1e400",
		`{"shifts": {"a": "1 NaN"}}`:        "a channel's mean is NaN",
		`{"weight_scales": {"a": "Inf"}}`:   "a channel's mean is +Inf",
		`{"exponents": {"a": "1.5"}}`:       "a channel's exponent",
		`{"exponents": {"a": "9e9"}}`:       "a channel's exponent",
		`{"exponents": {"a": [1]}}`:         "array",
		`{"weight_steps": {"a": "no"}}`:     "steps of weights",
		`{"weight_steps": {"a": "AAAA"}}`:   "steps of weights",
		`{"wonders": 1}`:                    "wonders",
	} {
		_, err := quantize.ReadRanges(strings.NewReader(text))
		require.ErrorContains(t, err, want, text)
	}
}

// Each value of a table, replaced by a hostile one, is refused or gives a valid
// network.
func TestHostileTables(t *testing.T) {
	g, table := searched(t)
	var whole map[string]any
	require.NoError(t, json.Unmarshal(written(t, table), &whole))
	valid, refused := 0, 0
	try := func(set func(v any), old any) {
		for _, v := range []any{nil, "", "1", "0 0 0", "1e29 -1e29", -1e29, 1e-29, 0, 1e29, map[string]any{"min": -1e29, "max": 1e-29}, strings.Repeat("-1e29 ", 24), strings.Repeat("24 ", 32)} {
			set(v)
			text, err := json.Marshal(whole)
			require.NoError(t, err)
			if quantizedByText(g, text) == nil {
				valid++
			} else {
				refused++
			}
		}
		set(old)
	}
	for field, values := range whole {
		try(func(v any) { whole[field] = v }, values)
		layers, _ := values.(map[string]any)
		for layer, value := range layers {
			try(func(v any) { layers[layer] = v }, value)
			ends, _ := value.(map[string]any)
			for end, old := range ends {
				try(func(v any) { ends[end] = v }, old)
			}
		}
	}
	t.Logf("%d valid networks, %d errors", valid, refused)
	require.Greater(t, valid, 20)
	require.Greater(t, refused, 200)
}

func written(t testing.TB, table *quantize.RangeTable) []byte {
	t.Helper()
	var file bytes.Buffer
	require.NoError(t, table.Write(&file))
	return file.Bytes()
}

// quantizedByText makes a network, which is valid then, of a table as it is stored.
func quantizedByText(g *models.Graph, text []byte) error {
	table, err := quantize.ReadRanges(bytes.NewReader(text))
	if err != nil {
		return err
	}
	_, err = quantize.Network(g, table)
	return err
}

func FuzzTable(f *testing.F) {
	g, pictures := tiny(f, rand.New(rand.NewPCG(2, 3)))
	table := wholeTable(f, g, pictures)
	whole := written(f, table)
	f.Add(whole)
	f.Add(bytes.ReplaceAll(whole, []byte("0.0"), []byte("-1e29")))
	table.Scales, table.Steps, table.Equalization = nil, nil, nil
	f.Add(written(f, table))
	f.Fuzz(func(t *testing.T, text []byte) { _ = quantizedByText(g, text) })
}

func TestMeansOfAnotherNetwork(t *testing.T) {
	g, images := graphtest.Classifier(t, rand.New(rand.NewPCG(4, 1)))
	table := seen(t, g, images).Table(quantize.ClipMSE)
	name := g.Nodes[7].Name
	table.Means[name] = table.Means[name][1:]
	_, err := quantize.Network(g, table)
	require.ErrorContains(t, err, name)
	require.ErrorContains(t, err, "23 means")
}

func TestHostileMeansGiveAValidNetwork(t *testing.T) {
	g, images := graphtest.Classifier(t, rand.New(rand.NewPCG(6, 1)))
	table := seen(t, g, images).Table(quantize.ClipMSE)
	for _, means := range table.Means {
		for c := range means {
			means[c] = 5e29
		}
	}
	for _, b := range quantizedBy(t, g, table).Layers[1].Op.Parameters().Bias {
		require.Less(t, math.Abs(float64(b)), float64(1<<29))
	}
}

func TestBlendCountsThePriorAsOneImage(t *testing.T) {
	table := &quantize.RangeTable{Images: 3, Method: quantize.ClipMSE,
		Ranges: map[string]quantize.Range{"a": {Min: -1, Max: 16}, "b": {Max: 2}, "own": {Max: 5}},
		Means:  map[string]quantize.PerChannel{"a": {4, 8}, "own": {1}}}
	prior := &quantize.RangeTable{
		Ranges: map[string]quantize.Range{"a": {Min: -16, Max: 1}, "b": {Min: -3, Max: 2}},
		Means:  map[string]quantize.PerChannel{"a": {8, 0}, "own": {1, 2}}}
	got := table.Blend(prior)
	require.Equal(t, map[string]quantize.Range{"a": {Min: -2, Max: 8}, "b": {Min: -3, Max: 2}, "own": {Max: 5}}, got.Ranges)
	require.Equal(t, map[string]quantize.PerChannel{"a": {5, 6}, "own": {1}}, got.Means)
	require.Equal(t, 16.0, table.Ranges["a"].Max, "the table itself stays")
	require.Equal(t, quantize.ClipMSE, got.Method)
}
