// Package onnxruntime runs ONNX models in ONNX Runtime's Node.js package, to
// compare with.
package onnxruntime

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

// ErrMissing says that ONNX Runtime is not installed, and how to install it.
var ErrMissing = errors.New("ONNX Runtime is not installed; run: make peers")

//go:embed peer.js
var script string

// Session is a model in a process of its own. It serves one goroutine.
type Session struct {
	Version string // of ONNX Runtime
	process *exec.Cmd
	stdin   io.WriteCloser
	stdout  *json.Decoder
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

// Options of Open.
type Options struct {
	Threads int
	// Exact forbids sums of 16 bits, which saturate and are the default on x86
	// CPUs without VNNI (session.x64quantprecision). It is slower there.
	Exact bool
}

// Open loads a model. folder is where npm has installed onnxruntime-node.
func Open(folder, model string, o Options) (*Session, error) {
	module, err := filepath.Abs(filepath.Join(folder, "node_modules", "onnxruntime-node"))
	if err != nil {
		return nil, err
	}
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(module)
	}
	if err != nil {
		return nil, fmt.Errorf("%w (%v)", ErrMissing, err)
	}
	exact := "0"
	if o.Exact {
		exact = "1"
	}
	s := &Session{process: exec.Command(node, "-e", script, "--", module, model, strconv.Itoa(o.Threads), exact)}
	s.process.Stderr = os.Stderr
	if s.stdin, err = s.process.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	s.stdout = json.NewDecoder(stdout)
	ready, err := s.answer()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: ONNX Runtime: %w", model, err), s.Close())
	}
	s.Version = ready.Version
	return s, nil
}

func (s *Session) answer() (answer, error) {
	var a answer
	if err := s.stdout.Decode(&a); err != nil {
		return a, err
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
		return nil, nil, err
	}
	a, err := s.answer()
	if err != nil {
		return nil, nil, fmt.Errorf("ONNX Runtime: %w", err)
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

// Close ends the process.
func (s *Session) Close() error {
	return errors.Join(s.stdin.Close(), s.process.Wait())
}
