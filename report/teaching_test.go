package report_test

import (
	"bytes"
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/nettest"
	"edgeclassify/internal/stats"
	"edgeclassify/preprocess"
	"edgeclassify/report"
	"edgeclassify/teach"
)

// teaching is a report as of four classes, with invented numbers.
func teaching(t *testing.T) *report.Teaching {
	t.Helper()
	share := func(count, total int) stats.Share {
		return stats.Share{Count: count, Of: total, Value: float64(count) / float64(total), Low: 0.6, High: 0.95}
	}
	r := &report.Teaching{Warnings: []string{"left out: cup/7.jpg: damaged"}, Taught: &teach.Report{
		Photographs: 40, Samples: 40, Method: teach.Method{Name: "logistic", Pooled: 0.5, Strength: 100, Temperature: 0.3, Folds: 10},
		Accuracy: share(34, 40), Calibration: 0.04,
		Confusion: [][]int{{8, 1, 0, 0, 1}, {3, 7, 0, 0, 0}, {0, 0, 10, 0, 0}, {0, 0, 0, 9, 1}},
		Suspects: []teach.Suspect{
			{Name: "cup/3.jpg", Label: "cup", Reason: teach.Mislabelled, Looks: "mug", Probability: 0.97},
			{Name: "mug/5.jpg", Label: "mug", Reason: teach.Redundant, Other: "mug/6.jpg"},
		},
		Curve:        []teach.Point{{Photographs: 2, Accuracy: 0.6}, {Photographs: 9, Accuracy: 0.875}, {Photographs: 18, Accuracy: 0.93, Expected: true}},
		Unknown:      &teach.OpenSet{AUC: 0.91, Found: 0.7, Mistaken: 0.05},
		Quantization: teach.Quantization{Samples: 40, Difference: 0.002},
	}}
	for i, label := range []string{"cup", "mug", "keys", "<b>"} {
		r.Taught.Classes = append(r.Taught.Classes, teach.ClassReport{Label: label, Photographs: 10 - i, Accuracy: share(r.Taught.Confusion[i][i], 10)})
	}
	require.NoError(t, r.Complete(nettest.Colours(), func(name string, _ preprocess.Spec) ([]byte, error) { return []byte(name), nil }))
	return r
}

func page(t *testing.T, r *report.Teaching) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, r.WriteHTML(&b))
	return b.Bytes()
}

func TestTeachingSaysWhatToDo(t *testing.T) {
	r := teaching(t)
	require.True(t, r.Good)
	require.Contains(t, r.Advice[0], "look at cup/3.jpg:")
	require.Contains(t, r.Advice[1], `more photographs of "<b>", which has 7`)
	require.Contains(t, r.Advice[2], `what tells "mug" from "cup"`)
	require.Contains(t, r.Advice[3], "twice as many photographs may be right on 93.0\u00a0% instead of 87.5")
	require.Contains(t, r.Advice[4], "a folder none")
	var text strings.Builder
	require.NoError(t, r.WriteText(&text))
	for _, want := range []string{"34 of 40", "cup/3.jpg: looks like another class, mug (97.0", "mug taken for cup: 3", "18: 93.0\u00a0% expected", "next"} {
		require.Contains(t, text.String(), want)
	}

	r.Taught.Accuracy = stats.Share{Count: 10, Of: 40, Value: 0.25}
	require.NoError(t, r.Complete(nettest.Colours(), func(string, preprocess.Spec) ([]byte, error) { return nil, nil }))
	require.False(t, r.Good, "as often as by always naming one class")
	r.Taught.Accuracy = stats.Share{}
	require.NoError(t, r.Complete(nettest.Colours(), func(string, preprocess.Spec) ([]byte, error) { return nil, nil }))
	require.True(t, r.Good, "nothing is known against it")
	require.Contains(t, r.Summary(), "not known")
}

func TestTeachingPageIsWellFormed(t *testing.T) {
	r := teaching(t)
	elements := parse(t, page(t, r))
	require.Equal(t, []string{"warnings", "suspects", "learning", "classes", "provenance"}, sections(elements))
	require.Empty(t, named(elements, "script"))
	require.Empty(t, slices.DeleteFunc(named(elements, "b"), func(e element) bool { return e.text != "" }), "labels stay text")
	require.Len(t, named(elements, "svg"), 1)
	require.Len(t, named(elements, "img"), 3)
	require.Len(t, named(elements, "th"), 1+5+2+4)
	require.Len(t, named(elements, "td"), 4*7)
	require.Equal(t, page(t, r), page(t, r))

	r.Taught.Confusion, r.Taught.Curve, r.Taught.Unknown, r.Taught.Suspects, r.Warnings, r.Taught.Accuracy = nil, nil, nil, nil, nil, stats.Share{}
	require.Equal(t, []string{"classes", "provenance"}, sections(parse(t, page(t, r))))

	var b bytes.Buffer
	require.NoError(t, r.WriteJSON(&b))
	require.NoError(t, json.Unmarshal(b.Bytes(), new(report.Teaching)))
}

func TestTeachingPageFitsScreens(t *testing.T) {
	mux := http.NewServeMux()
	for pattern, content := range map[string][]byte{"/{$}": []byte(gauge), "/report": page(t, teaching(t))} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write(content) // without it the browser has nothing to show, and the test fails
		})
	}
	server := httptest.NewServer(mux)
	defer server.Close()
	dom, log := chromium(t, "--virtual-time-budget=10000", "--dump-dom", server.URL+"/")
	answer := regexp.MustCompile(`<pre>(.*)</pre>`).FindStringSubmatch(dom)
	require.NotNil(t, answer, "%s\n%s", dom, log)
	var screens []struct{ Width, Content, Charts int }
	require.NoError(t, json.Unmarshal([]byte(html.UnescapeString(answer[1])), &screens))
	for i, width := range []int{360, 1280} {
		require.Equal(t, width, screens[i].Width)
		require.LessOrEqual(t, screens[i].Content, width, "no sideways scrolling")
		require.Equal(t, 1, screens[i].Charts)
	}
}
