// Package classify tells what images show, with a quantized network that the
// quantize command has made: Open its file, hand it images.
package classify

import (
	"errors"
	"fmt"
	"image"
	"sync/atomic"
	"time"

	"edgeclassify/labels"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/runtime"
)

// Options of Open.
type Options struct {
	Threads int    // goroutines that share an image's work; 0 is one for each fast core
	Kernel  string // a name from runtime.Kernels; "" picks the fastest
	Top     int    // predictions of an image; 0 stands for 5
	// MemoryLimit is the bytes that weights and activations may take; 0 stands for what
	// the machine has to spare.
	MemoryLimit int64
	Layerwise   bool // see runtime.Options

	// Of files and images; Run takes what it is given.
	Orientation preprocess.Orientation // how they are turned, after Exif's
	ROI         preprocess.ROI         // what of them is looked at, as turned; zero is all
	Limits      preprocess.Limits      // on what decoding files takes
}

const defaultTop = 5

// Model classifies images, one at a time: it serves one goroutine. Others
// take a Clone each.
type Model struct {
	*shared
	session *runtime.Session
	resizer *preprocess.Resizer
	rgb     []uint8   // [Crop][Crop][3]
	logits  []int32   // of the last image, the session's
	scores  []float64 // the same as real numbers
	phases  Phases
	closed  bool
}

// shared is what the clones of a model have in common.
type shared struct {
	file  *q8.File
	plan  *runtime.Plan
	scale []float32 // of the logits; not the file's, so that results outlive it
	// activation is that behind the logits.
	activation labels.Activation
	top        int
	turn       preprocess.Orientation
	roi        preprocess.ROI
	limits     preprocess.Limits
	users      atomic.Int32 // models that are not closed
}

// Phases are the times that an image took, in milliseconds.
type Phases struct {
	Decode     float64 `json:"decode"`
	Preprocess float64 `json:"preprocess"`
	Infer      float64 `json:"infer"`
}

// Open reads a model file and makes it ready to run on this machine. Nothing is
// read from the file afterwards, whatever becomes of it. Weights that the kernel
// has packed leave memory, so that they are held once. Errors name the file.
func Open(path string, o Options) (*Model, error) {
	file, err := q8.Open(path)
	if err != nil {
		return nil, err
	}
	m, err := compile(file, o)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func compile(file *q8.File, o Options) (*Model, error) {
	if o.Threads == 0 {
		o.Threads = runtime.DefaultThreads()
	}
	if o.Top == 0 {
		o.Top = defaultTop
	}
	if o.Top < 0 {
		return nil, fmt.Errorf("classify: %d predictions: want 1 or more", o.Top)
	}
	plan, err := runtime.Compile(file.Network, runtime.Options{Threads: o.Threads, Kernel: o.Kernel, MemoryLimit: o.MemoryLimit, Packed: file.Release, Layerwise: o.Layerwise})
	if err != nil {
		return nil, err
	}
	scale := append([]float32(nil), file.Classifier().Scale...)
	return newModel(&shared{
		file: file, plan: plan, scale: scale, activation: file.Activation, top: min(o.Top, len(file.Classes)),
		turn: o.Orientation, roi: o.ROI, limits: o.Limits,
	})
}

func newModel(s *shared) (*Model, error) {
	resizer, err := preprocess.NewResizer(s.file.Preprocess)
	if err != nil {
		return nil, err
	}
	s.users.Add(1)
	return &Model{
		shared: s, session: s.plan.NewSession(), resizer: resizer,
		rgb: make([]uint8, s.file.Input.Shape.Elements()), scores: make([]float64, len(s.file.Classes)),
	}, nil
}

// Clone is the same model for another goroutine. It shares the weights and has
// threads and memory of its own, Plan().ArenaBytes() most of all. It is to be
// closed like the model, in any order.
func (m *Model) Clone() (*Model, error) {
	if m.closed {
		return nil, errors.New("classify: the model is closed")
	}
	return newModel(m.shared)
}

// Close ends the model's threads and, when its clones are closed too, gives the
// file's memory back. The model cannot run afterwards; what came of the last image can
// still be read. Closing twice is fine.
func (m *Model) Close() error {
	if m.closed {
		return nil
	}
	m.closed = true
	m.session.Close()
	if m.users.Add(-1) > 0 {
		return nil
	}
	return m.file.Close()
}

// ClassifyFile tells what the picture file at path shows: the Options.Top
// most probable classes, best first. Errors name the file; for their kinds see
// preprocess.ErrFormat and its neighbours.
func (m *Model) ClassifyFile(path string) ([]Prediction, error) {
	start := time.Now()
	p, err := m.limits.DecodeFile(path)
	if err != nil {
		return nil, err
	}
	top, err := m.classify(p, start)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return top, nil
}

// ClassifyBytes is ClassifyFile for a file in memory.
func (m *Model) ClassifyBytes(file []byte) ([]Prediction, error) {
	start := time.Now()
	p, err := m.limits.Decode(file)
	if err != nil {
		return nil, err
	}
	return m.classify(p, start)
}

// Classify is ClassifyFile for an image in memory. What image.Decode makes of a
// file has the file's logits; but it does not turn upright what Exif says is
// turned, and not tell that the range of a lossy WebP is limited.
func (m *Model) Classify(img image.Image) ([]Prediction, error) {
	start := time.Now()
	var p preprocess.Image
	if err := p.Set(img); err != nil {
		return nil, err
	}
	return m.classify(&p, start)
}

// classify runs on an image that has been decoded since start.
func (m *Model) classify(p *preprocess.Image, start time.Time) ([]Prediction, error) {
	m.turn.Turn(p)
	if err := m.roi.Crop(p); err != nil {
		return nil, err
	}
	decode := ms(time.Since(start))
	if err := m.Run(p); err != nil {
		return nil, err
	}
	m.phases.Decode = decode
	return m.Top(make([]Prediction, m.top)), nil
}

// Run classifies an image whose planes it reads where they are, such as a
// camera's. Top, Probabilities, Logits and Phases tell what came of it. They
// allocate nothing, nor does Run for an image of the last one's Geometry.
func (m *Model) Run(p *preprocess.Image) error {
	start := time.Now()
	if err := m.resizer.Resize(m.rgb, p); err != nil {
		return err
	}
	resized := time.Now()
	logits, err := m.session.Run(m.rgb)
	if err != nil {
		return err
	}
	m.logits = logits
	m.phases = Phases{Preprocess: ms(resized.Sub(start)), Infer: ms(time.Since(resized))}
	return nil
}

// Logits are the last image's, one for each class, or one for two, with the same
// bits on every machine: see int8.HashLogits. They are the model's, until its next
// image.
func (m *Model) Logits() []int32 { return m.logits }

// Features are what the network's classifier read of the last image, as steps of
// FeatureScale, with the same bits on every machine: images alike have features that
// point in like directions. They are the model's, until its next image; nil where the
// network has none, see int8.Network.Features, and before the first image.
func (m *Model) Features() []int16 {
	if m.logits == nil {
		return nil
	}
	return m.session.Features()
}

// FeatureScale is the real value of one step of Features; 0 where there are none.
func (m *Model) FeatureScale() float32 {
	id, ok := m.file.Network.Features()
	if !ok {
		return 0
	}
	return m.file.Network.Tensor(id).Scale
}

// Phases tell how long the last image took. Decode is 0 behind Run.
func (m *Model) Phases() Phases { return m.phases }

// Classes are what the model tells apart, in the order of the logits.
func (m *Model) Classes() []labels.Class { return m.file.Classes }

// Independent says whether classes are independent of each other, so that none, or
// several, may be in an image. Else it shows one of them.
func (m *Model) Independent() bool { return m.activation.Independent(len(m.scale)) }

// File is the model's file: its network, preprocessing, provenance, self-test
// and checksum. Weights of the network's convolutions may have left memory, see
// q8.File.Release, and are not to be read.
func (m *Model) File() *q8.File { return m.file }

// Plan is how the network runs on this machine: kernel, threads and memory.
func (m *Model) Plan() *runtime.Plan { return m.plan }

// Session runs the plan on pixels of the network's input size.
func (m *Model) Session() *runtime.Session { return m.session }

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
