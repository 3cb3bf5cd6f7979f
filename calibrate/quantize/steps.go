package quantize

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"edgeclassify/int8"
)

// Steps are by how much to move rounded weights: -1, 0 or 1 each. In JSON they
// are one string: a byte for each, 0, 1 or 2 for -1, 0 and 1, deflated (RFC
// 1951), in base64.
type Steps []int8.Value

// MarshalText writes the string.
func (s Steps) MarshalText() ([]byte, error) {
	raw := make([]byte, len(s))
	for i, step := range s {
		raw[i] = byte(step + 1)
	}
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(raw); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return base64.StdEncoding.AppendEncode(nil, packed.Bytes()), nil
}

// maxSteps is more than any layer has weights.
const maxSteps = 1 << 25

// UnmarshalText reads what MarshalText wrote.
func (s *Steps) UnmarshalText(text []byte) error {
	packed, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return fmt.Errorf("steps of weights: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxSteps))
	if err != nil {
		return fmt.Errorf("steps of weights: %w", err)
	}
	*s = make(Steps, len(raw))
	for i, b := range raw {
		if b > 2 {
			return errors.New("a step of a weight is none of -1, 0 and 1")
		}
		(*s)[i] = int8.Value(b) - 1
	}
	return nil
}
