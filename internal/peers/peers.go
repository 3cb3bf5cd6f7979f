// Package peers runs models in other engines, to compare with: ONNX Runtime's Node.js
// package, and OpenVINO and LiteRT from PyPI.
package peers

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// ErrMissing says that an engine is not installed, and how to install it.
var ErrMissing = errors.New("an engine to compare with is not installed; run: make peers")

var (
	//go:embed onnxruntime.js
	onnxRuntimeScript string
	//go:embed peer.py
	pythonScript string
)

// Session is a model in a process of its own. It serves one goroutine.
type Session struct {
	Version string // of the engine
	process *exec.Cmd
	stdin   io.WriteCloser
	stdout  *json.Decoder
	log     bytes.Buffer // of errors, to read once the process has ended
}

type request struct {
	Input  []byte `json:"input"`
	Frames int    `json:"frames"`
}

type answer struct {
	Version string    `json:"version"`
	Error   string    `json:"error"`
	Output  []byte    `json:"output"`
	Millis  []float64 `json:"millis"`
}

// Options of ONNXRuntime.
type Options struct {
	Threads int
	// Exact forbids sums of 16 bits, which saturate and are the default on x86
	// CPUs without VNNI (session.x64quantprecision). It is slower there.
	Exact bool
}

// ONNXRuntime loads an ONNX model. folder is where `make peers` installs.
func ONNXRuntime(folder, model string, o Options) (*Session, error) {
	module, err := filepath.Abs(filepath.Join(folder, "node_modules", "onnxruntime-node"))
	if err != nil {
		return nil, err
	}
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(module)
	}
	if err != nil {
		return nil, fmt.Errorf("ONNX Runtime: %w (%v)", ErrMissing, err)
	}
	exact := "0"
	if o.Exact {
		exact = "1"
	}
	return start(model, exec.Command(node, "-e", onnxRuntimeScript, "--", module, model, strconv.Itoa(o.Threads), exact))
}

// OpenVINO loads an ONNX model.
func OpenVINO(folder, model string, threads int) (*Session, error) {
	return inPython(folder, "openvino", model, threads)
}

// LiteRT loads a TFLite model; its operations run in XNNPACK.
func LiteRT(folder, model string, threads int) (*Session, error) {
	return inPython(folder, "litert", model, threads)
}

func inPython(folder, engine, model string, threads int) (*Session, error) {
	python, err := python(folder)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", engine, err)
	}
	return start(model, exec.Command(python, "-c", pythonScript, engine, model, strconv.Itoa(threads)))
}

func python(folder string) (string, error) {
	path := filepath.Join(folder, "venv", "bin", "python")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w (%v)", ErrMissing, err)
	}
	return path, nil
}

func start(model string, process *exec.Cmd) (*Session, error) {
	s := &Session{process: process}
	process.Stderr = &s.log
	var err error
	if s.stdin, err = process.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	s.stdout = json.NewDecoder(stdout)
	ready, err := s.answer()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", model, s.failed(err))
	}
	s.Version = ready.Version
	return s, nil
}

func (s *Session) answer() (answer, error) {
	var a answer
	if err := s.stdout.Decode(&a); err != nil {
		return a, fmt.Errorf("no answer: %w", err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// Run runs the model on the same input, values of the type that it takes, that
// many times. It returns the output and the time of each run.
func (s *Session) Run(input any, frames int) (output []float32, times []time.Duration, err error) {
	raw, err := binary.Append(nil, binary.LittleEndian, input)
	if err != nil {
		return nil, nil, err
	}
	if err := json.NewEncoder(s.stdin).Encode(request{raw, frames}); err != nil {
		return nil, nil, s.failed(err)
	}
	a, err := s.answer()
	if err != nil {
		return nil, nil, s.failed(err)
	}
	output = make([]float32, len(a.Output)/4)
	if err := binary.Read(bytes.NewReader(a.Output), binary.LittleEndian, output); err != nil {
		return nil, nil, err
	}
	for _, ms := range a.Millis {
		times = append(times, time.Duration(ms*float64(time.Millisecond)))
	}
	return output, times, nil
}

// failed ends the process and adds what it said to an error.
func (s *Session) failed(err error) error {
	err = errors.Join(err, s.Close())
	if said := bytes.TrimSpace(s.log.Bytes()); len(said) > 0 {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// Close ends the process.
func (s *Session) Close() error {
	return errors.Join(s.stdin.Close(), s.process.Wait())
}
