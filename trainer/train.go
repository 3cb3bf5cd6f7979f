package trainer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"edgeclassify/classify"
	"edgeclassify/int8"
	"edgeclassify/live"
	"edgeclassify/q8"
	"edgeclassify/samples"
	"edgeclassify/teach"
)

// Train implements live.Teacher.
func (t *Trainer) Train() error {
	if missing := missing(t.options.Store.Labels()); missing != "" {
		return fmt.Errorf("trainer: training needs %s", missing)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cancel != nil {
		return errors.New("trainer: training goes on already")
	}
	var ctx context.Context
	ctx, t.cancel = context.WithCancel(t.ended)
	t.training = live.Training{Running: true}
	t.note()
	t.working.Go(func() {
		background(func() { t.finish(t.train(ctx)) })
	})
	return nil
}

// Cancel implements live.Teacher.
func (t *Trainer) Cancel() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cancel != nil {
		t.cancel()
	}
}

// step tells what training is at: of how much, how much is done.
func (t *Trainer) step(name string, done, total int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.training.Step, t.training.Done, t.training.Total = name, done, total
	t.note()
}

// finish tells what came of training.
func (t *Trainer) finish(report *teach.Report, err error) {
	debug.FreeOSMemory()
	var training live.Training
	switch {
	case errors.Is(err, context.Canceled):
	case err != nil:
		t.options.Log.Warn("training failed", "err", err) // not under the lock: it may wait
		training.Error = err.Error()
	default:
		training = summary(report)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cancel()
	t.cancel, t.training = nil, training
	t.note()
}

// train trains a head on all samples and keeps its model.
func (t *Trainer) train(ctx context.Context) (*teach.Report, error) {
	base := t.options.Models.Base()
	selfTest, err := t.compute(ctx, base)
	if err != nil {
		return nil, err
	}
	set, err := t.read(base)
	if err != nil {
		return nil, err
	}
	file, err := t.open(base)
	if err != nil {
		return nil, err
	}
	defer file.Close() // of which the head reads the classifier
	releaseConvolutions(file)
	head, report, err := teach.Train(ctx, file.Network, set, teach.Options{
		Threads: 1, Progress: func(done, total int) { t.step("training", done, total) },
	})
	if err != nil {
		return nil, err
	}
	from := file.Provenance
	from.Tool, from.Base, from.Method, from.Seed = t.options.Tool, base, report.Method.String(), 0
	from.Images, from.ImagesHash = len(set.Samples), hash(set)
	set = nil
	debug.FreeOSMemory() // for all weights
	return report, t.write(ctx, head, from, selfTest)
}

// releaseConvolutions gives back the memory of weights that training does not read.
func releaseConvolutions(file *q8.File) {
	for i := range file.Layers {
		if conv, ok := file.Layers[i].Op.(*int8.Conv); ok {
			file.Release(conv.Weight)
		}
	}
}

// write keeps the base's model with a head as a trained one.
func (t *Trainer) write(ctx context.Context, head *teach.Head, from q8.Provenance, selfTest []int16) error {
	t.step("writing", 0, 0)
	file, err := t.open(from.Base)
	if err != nil {
		return err
	}
	defer file.Close()
	model, err := head.Model(file.Model, from, selfTest)
	if err != nil {
		return err
	}
	_, err = t.options.Store.Trained(func(path string) error { return errors.Join(ctx.Err(), q8.Write(path, model)) })
	return err
}

// open opens the base's file, if it is still what runs.
func (t *Trainer) open(base string) (*q8.File, error) {
	file, err := q8.Open(t.options.Model)
	if err != nil {
		return nil, err
	}
	if err := t.check(file, base); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func (t *Trainer) check(file *q8.File, base string) error {
	if file.SHA256 != base {
		return fmt.Errorf("trainer: %s is another model than the one that runs: train again once it is taken up", t.options.Model)
	}
	return nil
}

// compute computes the features of samples that have another model's, and returns those
// of the self-test.
func (t *Trainer) compute(ctx context.Context, base string) (selfTest []int16, err error) {
	m, err := classify.Open(t.options.Model, classify.Options{Threads: 1, Limits: t.options.Limits})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if err := t.check(m.File(), base); err != nil {
		return nil, err
	}
	if _, err := m.Session().Run(teach.SelfTestImage(m.File().Network)); err != nil {
		return nil, err
	}
	selfTest = slices.Clone(m.Session().Features())
	old, err := t.foreign(base)
	for i, s := range old {
		t.step("computing features again", i, len(old))
		if err := errors.Join(ctx.Err(), t.again(m, s)); err != nil {
			return nil, err
		}
	}
	return selfTest, err
}

// foreign lists the samples that have no features of the base.
func (t *Trainer) foreign(base string) (list []samples.Sample, err error) {
	err = t.options.Store.Each(func(s *samples.Sample) error {
		if s.Base != base {
			list = append(list, samples.Sample{Label: s.Label, ID: s.ID, Features: samples.Features{Base: base, Group: s.Group}})
		}
		return nil
	})
	return list, err
}

// again gives a sample the base's features, unless it is gone.
func (t *Trainer) again(m *classify.Model, s samples.Sample) error {
	file, err := t.options.Store.JPEG(s.Label, s.ID)
	if err == nil {
		_, err = m.ClassifyBytes(file)
	}
	if err == nil {
		s.Values = m.Features()
		err = t.options.Store.SetFeatures(s.Label, s.ID, &s.Features)
	}
	if err == nil || errors.Is(err, samples.ErrNone) {
		return nil
	}
	return fmt.Errorf("trainer: picture %s of %q: delete it, or see to this: %w", s.ID, s.Label, err)
}

// read reads all samples' features.
func (t *Trainer) read(base string) (*teach.Set, error) {
	set := &teach.Set{}
	err := t.options.Store.Each(func(s *samples.Sample) error {
		if s.Base != base {
			return nil // it has come since
		}
		class := slices.Index(set.Labels, s.Label)
		if class < 0 {
			class = len(set.Labels)
			set.Labels = append(set.Labels, s.Label)
		}
		set.Samples = append(set.Samples, teach.Sample{
			Features: slices.Clone(s.Values), Classes: []int{class}, Group: int(s.Group), Name: s.Label + "/" + s.ID,
		})
		return nil
	})
	return set, err
}

// hash is the SHA-256, in hexadecimal, of all samples' labels and features.
func hash(set *teach.Set) string {
	sum := sha256.New()
	var b []byte
	for _, s := range set.Samples {
		b = append(append(b[:0], set.Labels[s.Classes[0]]...), 0)
		for _, v := range s.Features {
			b = binary.LittleEndian.AppendUint16(b, uint16(v))
		}
		sum.Write(b)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// summary is what the page shows of a report.
func summary(r *teach.Report) live.Training {
	a := r.Accuracy
	s := live.Training{Of: a.Of, Accuracy: a.Value, Low: a.Low, High: a.High, Warnings: r.Warnings}
	for _, suspect := range r.Suspects {
		at := strings.LastIndexByte(suspect.Name, '/')
		s.Suspects = append(s.Suspects, live.TeachSample{Label: suspect.Name[:at], ID: suspect.Name[at+1:]})
	}
	return s
}
