package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"edgeclassify/classify"
	"edgeclassify/labels"
	"edgeclassify/q8"
	"edgeclassify/runtime"
)

const (
	speedFrames = 20
	speedTime   = time.Second // after which no further frame is measured
)

// checkModel opens the model, which verifies its checksum, and runs it.
func checkModel(ctx context.Context, e *engine) []check {
	m, err := e.open(classify.Options{})
	if err != nil {
		return []check{failure("model", err.Error(), "copy the file again, or make it with 'quantize build'")}
	}
	defer m.Close()
	return []check{describeModel(e.model, m.File()), checkLabels(m.File()), checkAnswer(m), checkSpeed(ctx, m)}
}

func describeModel(path string, f *q8.File) check {
	return fine("model", fmt.Sprintf("%s: %s by %s, %s, SHA-256 %s is right", path, f.Name, f.Provenance.Tool, megabytes(f.Size), f.SHA256))
}

// checkLabels tells what the model tells apart.
func checkLabels(f *q8.File) check {
	n := len(f.Classes)
	kind := "one of them in a picture"
	if f.Independent() {
		kind = "none or several in a picture"
	}
	found := fmt.Sprintf("%d, %s to %s, by %s: %s", n, f.Classes[0].Name, f.Classes[n-1].Name, f.Activation, kind)
	if labels.Numbered(f.Classes) {
		return warning("labels", found, "classes have no names: give them some with 'quantize label'")
	}
	return fine("labels", found)
}

// checkAnswer compares the answer to the picture that the file carries.
func checkAnswer(m *classify.Model) check {
	const name = "self-test"
	if m.File().SelfTest == nil {
		return warning(name, "the file carries none", "make the file again with 'quantize build' of this version")
	}
	if err := selfTest(m); err != nil {
		return failure(name, err.Error(), "the memory, the processor or this program is faulty: try -kernel generic, a lower clock and another board, and report it")
	}
	return fine(name, "all logits are right to the bit")
}

// selfTest runs the model on the picture that its file carries, if any.
func selfTest(m *classify.Model) error {
	test := m.File().SelfTest
	if test == nil {
		return nil
	}
	logits, err := m.Session().Run(test.Image(m.File().Network))
	if err != nil {
		return err
	}
	return test.Check(logits)
}

// checkSpeed measures how long a picture takes.
func checkSpeed(ctx context.Context, m *classify.Model) check {
	plan, rgb := m.Plan(), make([]uint8, m.File().Input.Shape.Elements())
	var times []time.Duration
	for start := time.Now(); len(times) < speedFrames && (len(times) == 0 || time.Since(start) < speedTime) && ctx.Err() == nil; {
		before := time.Now()
		if _, err := m.Session().Run(rgb); err != nil {
			return failure("speed", err.Error(), "report it")
		}
		times = append(times, time.Since(before))
	}
	if len(times) == 0 {
		return warning("speed", "not measured", "")
	}
	slices.Sort(times)
	p50, p99 := percentile(times, 50), percentile(times, 99)
	found := fmt.Sprintf("%.1f ms a picture with %s of %s (p99 %.1f ms)", ms(p50), count(plan.Threads(), "thread"), plan.Kernel(), ms(p99))
	switch most := runtime.DefaultThreads(); {
	case plan.Threads() < most:
		return warning("speed", found, fmt.Sprintf("-threads %d uses all fast cores", most))
	case p99 > 3*p50:
		return warning("speed", found, "some pictures take much longer: other programs want the cores too")
	}
	return fine("speed", found)
}
