package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"edgeclassify/int8"
)

// measured is what edge-classify bench -json prints, as far as it is compared.
type measured struct {
	Network string  `json:"network"`
	Board   string  `json:"board"`
	Kernel  string  `json:"kernel"`
	Threads int     `json:"threads"`
	P50Ms   float64 `json:"p50_ms"`
	MACs    int64   `json:"macs_per_frame"`
	Before  struct {
		MHz float64 `json:"measured_mhz"`
	} `json:"before"`
	After struct {
		MHz float64 `json:"measured_mhz"`
	} `json:"after"`
	Layers []struct {
		Name string  `json:"name"`
		Ms   float64 `json:"ms"`
	} `json:"layers"`
}

// readMeasured reads a board's measurement of this network.
func readMeasured(file string, n *int8.Network) (*measured, board, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, board{}, err
	}
	m := &measured{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, board{}, fmt.Errorf("%s: want what 'edge-classify bench -json' prints: %w", file, err)
	}
	var macs int64
	for i := range n.Layers {
		macs += n.Layers[i].MACs()
	}
	if m.P50Ms <= 0 || m.MACs != macs {
		return nil, board{}, fmt.Errorf("%s: %.2f ms for network %q of %d multiply-accumulates; the model of -model has %d", file, m.P50Ms, m.Network, m.MACs, macs)
	}
	b, err := m.on()
	if err != nil {
		return nil, b, fmt.Errorf("%s: %w", file, err)
	}
	return m, b, nil
}

// on is the board at the clock and with the threads that were measured.
func (m *measured) on() (board, error) {
	var names []string
	for _, b := range boards() {
		names = append(names, b.Model)
		if !strings.HasPrefix(m.Board, b.Model) {
			continue
		}
		for _, c := range modelled() {
			if c.name == b.Core && c.kernel.Name != m.Kernel {
				return b, fmt.Errorf("kernel %q, the model has %s on a %s: bench without -kernel", m.Kernel, c.kernel.Name, b.Name)
			}
		}
		if m.Threads < 1 || m.Threads > b.Threads {
			return b, fmt.Errorf("%d threads, the model has 1 to %d: bench with -threads", m.Threads, b.Threads)
		}
		b.Threads = m.Threads
		if mhz := max(m.Before.MHz, m.After.MHz); mhz > 0 {
			b.GHz = mhz / 1e3
		}
		return b, nil
	}
	return board{}, fmt.Errorf("board %q is none that the model has: %s", m.Board, strings.Join(names, ", "))
}

// comparison is a prediction beside a measurement.
type comparison struct {
	Ms     float64           `json:"measured_p50_ms"`
	Model  span              `json:"model_ms"`
	Within bool              `json:"within"` // the model's range
	Layers []layerComparison `json:"layers,omitempty"`
}

type layerComparison struct {
	Name  string  `json:"name"`
	Ms    float64 `json:"measured_ms"`
	Model span    `json:"model_ms"`
}

func (m *measured) compare(p *prediction) *comparison {
	c := &comparison{Ms: m.P50Ms, Model: p.Ms, Within: p.Ms.contains(m.P50Ms)}
	model := map[string]span{}
	for _, l := range p.Layers {
		model[l.Name] = l.Ms
	}
	for _, l := range m.Layers {
		if ms, ok := model[l.Name]; ok {
			c.Layers = append(c.Layers, layerComparison{l.Name, l.Ms, ms})
		}
	}
	return c
}

func (s span) contains(v float64) bool { return s[best] <= v && v <= s[worst] }

// verdict says where a measured time lies.
func (s span) verdict(ms float64) string {
	switch {
	case ms < s[best]:
		return fmt.Sprintf("%.0f %% below the range", 100*(1-ms/s[best]))
	case ms > s[worst]:
		return fmt.Sprintf("%.0f %% above the range", 100*(ms/s[worst]-1))
	}
	return "within the range"
}

func (c *comparison) print(w io.Writer, b board) {
	fmt.Fprintf(w, "\n%s, %d threads at %.2f GHz: measured %.2f ms, model %.1f to %.1f: %s\n",
		b.Name, b.Threads, b.GHz, c.Ms, c.Model[best], c.Model[worst], c.Model.verdict(c.Ms))
	if len(c.Layers) == 0 {
		fmt.Fprintln(w, "With -layers, bench measures each layer, too.")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\nlayer\tmeasured ms\tmodel ms\t\t")
	for _, l := range c.Layers {
		fmt.Fprintf(t, "%s\t%.3f\t%.3f-%.3f\t%s\t\n", l.Name, l.Ms, l.Model[best], l.Model[worst], l.Model.verdict(l.Ms))
	}
	t.Flush()
}

// howToCompare ends a report.
const howToCompare = `
Compare with a board, on which this model file lies:
    ssh pi ./edge-classify bench -model MODEL.q8 -layers -json >bench.json
    go run ./internal/perfmodel -model MODEL.q8 -compare bench.json
README.md has a table for what is measured.
`
