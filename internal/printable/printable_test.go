package printable_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/printable"
)

// hostile has what terminals obey, each kind once.
const hostile = "\x1b]0;title\a\r\n\t\x00\x7f\u0085\u009b31m\u202ereversed\u2066\u200f\u061c\u2028\x9b31m\xe2\x80"

const escaped = `\u001b]0;title\u0007\u000d\u000a\u0009\u0000\u007f\u0085\u009b31m\u202ereversed\u2066\u200f\u061c\u2028\x9b31m\xe2\x80`

func TestText(t *testing.T) {
	require.Equal(t, escaped, printable.Text(hostile))
	for _, s := range []string{"", "tabby cat", "größer \\u202e", "شعر نص", "👩‍🔬", "\ufffd", "\U000e0041"} {
		require.Equal(t, s, printable.Text(s))
	}
}

func TestWriterKeepsLines(t *testing.T) {
	var out bytes.Buffer
	n, err := printable.Writer{Raw: &out}.Write([]byte(hostile))
	require.NoError(t, err)
	require.Equal(t, len(hostile), n)
	require.Equal(t, strings.NewReplacer(`\u000a`, "\n", `\u0009`, "\t").Replace(escaped), out.String())

	_, err = printable.Writer{Raw: broken{}}.Write([]byte("x"))
	require.ErrorIs(t, err, errBroken)
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

// obeyed lists what a terminal obeys, apart from how the package finds it.
const obeyed = "\r\x7f\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

func requirePrintable(t *testing.T, s, but string) {
	t.Helper()
	require.True(t, utf8.ValidString(s), "%q", s)
	for _, r := range s {
		bad := r < ' ' || r >= 0x7f && r <= 0x9f || strings.ContainsRune(obeyed, r)
		require.False(t, bad && !strings.ContainsRune(but, r), "%q has %U", s, r)
	}
}

func FuzzPrintable(f *testing.F) {
	for _, seed := range []string{"cat", hostile, "\xff", "a\u202eb"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := printable.Text(s)
		requirePrintable(t, text, "")
		require.Equal(t, text, printable.Text(text))

		var out bytes.Buffer
		_, err := printable.Writer{Raw: &out}.Write([]byte(s))
		require.NoError(t, err)
		requirePrintable(t, out.String(), "\n\t")

		// JSON means the same.
		out.Reset()
		require.NoError(t, json.NewEncoder(printable.Writer{Raw: &out}).Encode(s))
		requirePrintable(t, out.String(), "\n")
		var back string
		require.NoError(t, json.Unmarshal(out.Bytes(), &back))
		require.Equal(t, string([]rune(s)), back)
	})
}
