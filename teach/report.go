package teach

import (
	"fmt"

	"edgeclassify/internal/stats"
)

// Report says how a head was made, and what is to be expected of it. Shares are of
// photographs that were left out of training.
type Report struct {
	Classes     []ClassReport `json:"classes"`
	Photographs int           `json:"photographs"`
	Samples     int           `json:"samples"` // with all views of the photographs
	Method      Method        `json:"method"`
	// Without cross-validation, as where there is one photograph of each class, Accuracy
	// is of 0 photographs.
	Accuracy     stats.Share  `json:"accuracy"`
	Confusion    [][]int      `json:"confusion,omitempty"` // [true class][answer], in the order of Classes; answers may have one more, Unknown
	Calibration  float64      `json:"calibration_error"`   // expected: of probabilities, against shares of right answers
	Suspects     []Suspect    `json:"suspects,omitempty"`
	Curve        []Point      `json:"curve,omitempty"`
	Unknown      *OpenSet     `json:"unknown,omitempty"`
	Quantization Quantization `json:"quantization"`
	Warnings     []string     `json:"warnings,omitempty"`
}

// ClassReport is of one class.
type ClassReport struct {
	Label       string      `json:"label"`
	Photographs int         `json:"photographs"`
	Accuracy    stats.Share `json:"accuracy"`
}

// Method is what was chosen, and how.
type Method struct {
	Name        string      `json:"name"`        // "logistic"
	Pooled      float64     `json:"pooled"`      // share of the pooled part in the embedding
	Strength    float64     `json:"strength"`    // see logistic
	Temperature float64     `json:"temperature"` // of the logits
	Folds       int         `json:"folds"`       // of the cross-validation; 0: there was none
	Candidates  []Candidate `json:"candidates,omitempty"`
}

// String is for people and provenances.
func (m Method) String() string {
	return fmt.Sprintf("%s regression of strength %g on an embedding, of which pooled features are %g %%, temperature %.3g",
		m.Name, m.Strength, 100*m.Pooled, m.Temperature)
}

// Candidate is one that cross-validation tried.
type Candidate struct {
	Pooled   float64     `json:"pooled"`
	Strength float64     `json:"strength"`
	Loss     float64     `json:"loss"` // mean negative log-likelihood at the best temperature
	Accuracy stats.Share `json:"accuracy"`
}

// Suspect is a photograph that is likely mislabelled or of no use.
type Suspect struct {
	Name        string  `json:"name"`
	Sample      int     `json:"sample"` // in the set
	Label       string  `json:"label"`
	Reason      string  `json:"reason"`
	Looks       string  `json:"looks,omitempty"`       // the label that it looks like
	Probability float64 `json:"probability,omitempty"` // of Looks, by those that were taught without it
	Other       string  `json:"other,omitempty"`       // name of the photograph that it is like
}

// Reasons for suspicion.
const (
	Mislabelled = "looks like another class"
	Ambiguous   = "the same picture has another label, too"
	Redundant   = "almost the same as another photograph of the class"
)

// Point is the accuracy with so many photographs of each class.
type Point struct {
	Photographs float64 `json:"photographs"`
	Accuracy    float64 `json:"accuracy"`
	Expected    bool    `json:"expected"` // by extrapolation
}

// OpenSet tells how well photographs of classes that were left out are known as such.
type OpenSet struct {
	AUC      float64 `json:"auc"`      // area under the curve, taught against left out
	Found    float64 `json:"found"`    // share of those left out that are answered with Unknown
	Mistaken float64 `json:"mistaken"` // share of the taught ones that are
}

// Quantization is the int8 head beside the float one, on all samples.
type Quantization struct {
	Samples    int     `json:"samples"`
	Differ     int     `json:"differ"`     // in the answer
	Difference float64 `json:"difference"` // largest, of a probability
}
