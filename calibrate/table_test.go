package calibrate

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// searched is a network with a table that has all that a search can find.
func searched(t testing.TB) (*models.Graph, *RangeTable) {
	g, pictures := streamClassifier(rand.New(rand.NewPCG(1, 3)))
	return g, wholeTable(t, g, pictures)
}

func wholeTable(t testing.TB, g *models.Graph, pictures Images) *RangeTable {
	t.Helper()
	s, err := Observe(t.Context(), g, pictures, ObserveOptions{Threads: 2})
	require.NoError(t, err)
	table := s.Table(MSE)
	table.Exponents, err = Balance(g, s.peaks, 0.25)
	require.NoError(t, err)
	units, err := lower(g)
	require.NoError(t, err)
	table.Shifts, table.Scales, table.Steps = map[string]Means{}, map[string]Means{}, map[string]Steps{}
	rounder := newRounder(g, units)
	for _, u := range units {
		weight, bias := rounder.exact(u)
		if len(bias) == 0 {
			continue
		}
		shifts, scales, steps := make(Means, len(bias)), Means(rounder.nearest(u).scales), make(Steps, len(weight))
		for o := range shifts {
			shifts[o] = 0.01 * float64(o)
		}
		for i := range steps {
			steps[i] = int8.Value(i%3 - 1)
		}
		table.Shifts[u.name], table.Scales[u.name], table.Steps[u.name] = shifts.rounded(), scales.rounded(), steps
	}
	return table
}

// tiny is a network that is quantized in no time.
func tiny(rng *rand.Rand) (*models.Graph, noise) {
	g := &models.Graph{Name: "tiny", InputName: "image", Input: tensor.Shape{H: 2, W: 2, C: 3},
		Preprocess: preprocess.Torchvision(), Classes: make([]labels.Class, 2), Nodes: []models.Node{
			{Name: "a", Inputs: []string{"image"}, Op: conv2d(rng, tensor.Square(1, 1, 0), 1, 3, 2)},
			{Name: "relu", Inputs: []string{"a"}, Op: models.ReLU{}},
			{Name: "b", Inputs: []string{"relu"}, Op: conv2d(rng, tensor.Square(1, 1, 0), 2, 2, 2)},
			{Name: "sum", Inputs: []string{"b", "relu"}, Op: models.Add{}},
			{Name: "average", Inputs: []string{"sum"}, Op: models.GlobalAveragePool{}},
			{Name: "fc", Inputs: []string{"average"}, Op: &models.Dense{In: 2, Out: 2, Weight: normal(rng, 4), Bias: normal(rng, 2)}},
		}}
	g.Preprocess.Crop = 2
	return g, noise{n: 4, values: g.Input.Elements()}
}

func TestWholeTableIsTheSameOnceStored(t *testing.T) {
	g, table := searched(t)
	read := stored(t, table)
	require.Equal(t, table, read)
	require.Equal(t, quantizedBy(t, g, table), quantizedBy(t, g, read))
	for name, without := range map[string]func(r *RangeTable){
		"exponents": func(r *RangeTable) { r.Exponents = nil }, "shifts": func(r *RangeTable) { r.Shifts = nil },
		"scales": func(r *RangeTable) { r.Scales = nil }, "steps": func(r *RangeTable) { r.Steps = nil },
	} {
		less := *read
		without(&less)
		require.NotEqual(t, quantizedBy(t, g, read), quantizedBy(t, g, &less), "%s count", name)
	}
}

func TestTablesOfAnotherNetworkNameTheLayer(t *testing.T) {
	g, table := searched(t)
	for _, c := range []struct {
		edit func(r *RangeTable)
		want string
	}{
		{func(r *RangeTable) { delete(r.Ranges, "c_conv") }, `layer "c_conv": the range table has no entry for it`},
		{func(r *RangeTable) { r.Ranges["c_conv"] = Range{Min: -1} }, `layer "c_conv": range [0, 0] is empty`},
		{func(r *RangeTable) { r.Means["c_conv"] = Means{1} }, `layer "d": the range table has 1 means of its input "c_conv", want 24`},
		{func(r *RangeTable) { r.Shifts["c_conv"] = Means{1, 2} }, `layer "c_conv": the range table has 2 shifts of its biases, want 24`},
		{func(r *RangeTable) { r.Shifts["fc"] = Means{} }, `layer "fc": the range table has 0 shifts of its biases, want 10`},
		{func(r *RangeTable) { r.Shifts["c_conv"][3] = 1e29 }, `layer "c_conv" (conv): channel 3: the accumulator can reach`},
		{func(r *RangeTable) { r.Shifts["fc"][3] = -1e29 }, `layer "fc" (dense): class 3: the accumulator can reach`},
		{func(r *RangeTable) { r.Scales["c_conv"] = Means{1} }, `layer "c_conv": the range table has 1 scales of its weights, want 24`},
		{func(r *RangeTable) { r.Steps["c_conv"] = Steps{1} }, `layer "c_conv": the range table has 1 steps of its weights, want 6912`},
		{func(r *RangeTable) { r.Exponents["c_conv"] = Powers{1} }, `group "c_conv": 1 exponents, want 24`},
		{func(r *RangeTable) { r.Exponents["c_conv"][7] = 1 << 40 }, `group "c_conv": channel 7: the exponent 1099511627776`},
		{func(r *RangeTable) { r.Exponents["other"] = Powers{1} }, "none of this network"},
	} {
		r := stored(t, table)
		c.edit(r)
		_, err := Quantize(g, r)
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
		_, err := ReadRanges(strings.NewReader(text))
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
			if requireValidOrError(t, g, text) == nil {
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

func written(t testing.TB, table *RangeTable) []byte {
	t.Helper()
	var file bytes.Buffer
	require.NoError(t, table.Write(&file))
	return file.Bytes()
}

func requireValidOrError(t *testing.T, g *models.Graph, text []byte) error {
	t.Helper()
	table, err := ReadRanges(bytes.NewReader(text))
	if err != nil {
		return err
	}
	n, err := Quantize(g, table)
	if err != nil {
		return err
	}
	require.NoError(t, n.Validate())
	return nil
}

func FuzzTable(f *testing.F) {
	g, pictures := tiny(rand.New(rand.NewPCG(2, 3)))
	table := wholeTable(f, g, pictures)
	whole := written(f, table)
	f.Add(whole)
	f.Add(bytes.ReplaceAll(whole, []byte("0.0"), []byte("-1e29")))
	table.Scales, table.Steps, table.Exponents = nil, nil, nil
	f.Add(written(f, table))
	f.Fuzz(func(t *testing.T, text []byte) { _ = requireValidOrError(t, g, text) })
}
