package hdf5

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// content is a file of testdata, which make.py wrote.
func content(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open("testdata/" + name + ".h5.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	b, err := io.ReadAll(z)
	require.NoError(t, err)
	return b
}

func open(t testing.TB, name string) *Object {
	t.Helper()
	f, err := Parse(content(t, name))
	require.NoError(t, err)
	root, err := f.Root()
	require.NoError(t, err)
	return root
}

func at(t testing.TB, o *Object, path ...string) *Object {
	t.Helper()
	o, err := o.Object(path...)
	require.NoError(t, err)
	require.NotNil(t, o, path)
	return o
}

func TestAttributes(t *testing.T) {
	for _, name := range []string{"old", "new"} {
		root := open(t, name)
		for key, want := range map[string][]string{
			"text": {"größer"}, "bytes": {"fixed"}, "many": {"a", "bcd", "ef"}, "variable": {"x", "yz", ""},
			"none": {}, "absent": nil, "long": {strings.Repeat("0123456789", 7000)},
		} {
			got, err := root.Strings(key)
			require.NoError(t, err, key)
			require.Equal(t, want, got, "%s of %s", key, name)
		}
		_, err := root.Strings("number")
		require.EqualError(t, err, `hdf5: attribute "number" holds integers of 8 bytes, expected strings`)
	}
}

// number decodes value i of a dataset.
func number(t testing.TB, o *Object, b []byte, i int) float64 {
	v := b[i*o.Type.Size:][:o.Type.Size]
	switch {
	case o.Type == Type{Float, 8}:
		return math.Float64frombits(binary.LittleEndian.Uint64(v))
	case o.Type == Type{Float, 4}:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(v)))
	case o.Type.Class == Integer:
		n := 0
		for k := range v {
			n |= int(v[k]) << (8 * k)
		}
		return float64(n)
	}
	require.Fail(t, "no number", "%v", o.Type)
	return 0
}

func TestTypes(t *testing.T) {
	root := open(t, "old")
	for kind, want := range map[string]Type{"f4": {Float, 4}, "f8": {Float, 8},
		"i1": {Integer, 1}, "i2": {Integer, 2}, "i4": {Integer, 4}, "i8": {Integer, 8}, "u2": {Integer, 2}} {
		o := at(t, root, "types", kind)
		require.Equal(t, want, o.Type)
		require.Equal(t, []int{2, 5, 3}, o.Shape)
		b, err := o.Bytes()
		require.NoError(t, err)
		require.Len(t, b, 30*want.Size)
		for i := range 30 {
			require.Equal(t, float64(i), number(t, o, b, i), "%s", kind)
		}
	}
	half := at(t, root, "types", "f2")
	require.Equal(t, Type{Float, 2}, half.Type)
	b, err := half.Bytes()
	require.NoError(t, err)
	require.Equal(t, []byte{0, 0x3c, 0, 0x40}, b[2:6], "1 and 2")
	require.Equal(t, Type{Integer, 1}, at(t, root, "types", "bool").Type)
	for _, other := range []string{"big", "complex"} {
		require.Equal(t, Other, at(t, root, "types", other).Type.Class)
	}
}

func TestLayouts(t *testing.T) {
	for _, name := range []string{"old", "new"} {
		root := open(t, name)
		compact := at(t, root, "compact")
		require.Equal(t, []int{2, 3}, compact.Shape)
		b, err := compact.Bytes()
		require.NoError(t, err)
		for i := range 6 {
			require.Equal(t, float64(i), number(t, compact, b, i))
		}
		b, err = at(t, root, "scalar").Bytes()
		require.NoError(t, err)
		require.Equal(t, []byte{0, 0, 0x20, 0x40}, b)
		b, err = at(t, root, "empty").Bytes()
		require.NoError(t, err)
		require.Empty(t, b)
	}
	root := open(t, "old")
	for _, name := range []string{"plain", "deflate", "all"} {
		o := at(t, root, "chunks", name)
		b, err := o.Bytes()
		require.NoError(t, err)
		require.Len(t, b, 4*7*5*3)
		for i := range 7 * 5 * 3 {
			require.Equal(t, float64(i), number(t, o, b, i), name)
		}
	}
	for name, want := range map[string]string{
		"lzf":     "hdf5: values are written with filter 32000, only deflate, shuffle and fletcher32 are supported",
		"missing": "hdf5: 0 chunks of values, expected 100",
		"bomb":    "bytes cannot hold a shape of [4000 1000]",
	} {
		_, err := at(t, root, "chunks", name).Bytes()
		require.ErrorContains(t, err, want)
	}
}

func TestGroups(t *testing.T) {
	groups := at(t, open(t, "old"), "groups")
	require.Len(t, groups.Links(), 300)
	for i := range 300 {
		got, err := at(t, groups, fmt.Sprintf("group%03d", i)).Strings("number")
		require.NoError(t, err)
		require.Equal(t, []string{fmt.Sprint(i)}, got)
	}
	root := open(t, "new")
	require.Len(t, at(t, root, "groups").Links(), 5)
	_, err := root.Object("types")
	require.ErrorContains(t, err, `types: hdf5: object at`)
	require.ErrorContains(t, err, "links lie in a fractal heap, which is not supported")
	none, err := root.Object("groups", "nobody")
	require.NoError(t, err)
	require.Nil(t, none)
	require.NotContains(t, open(t, "old").Links(), "link", "soft links lead nowhere")
}

func TestOtherFiles(t *testing.T) {
	for want, b := range map[string][]byte{
		"hdf5: the file does not begin with HDF5's signature":                    []byte("no"),
		"hdf5: superblock has version 9, expected 0 to 3":                        []byte(signature + "\x09"),
		"hdf5: the file ends early or is damaged: copy it again from its source": []byte(signature + "\x00"),
	} {
		_, err := Parse(b)
		require.EqualError(t, err, want)
	}
}

// readAll reads whatever there is, and counts the bytes of values.
func readAll(b []byte) (n int, err error) {
	f, err := Parse(b)
	if err != nil {
		return 0, err
	}
	root, err := f.Root()
	if err != nil {
		return 0, err
	}
	var first error
	var visit func(o *Object, depth int)
	visit = func(o *Object, depth int) {
		for name := range o.attributes {
			values, err := o.Strings(name)
			for _, v := range values {
				n += len(v)
			}
			if first == nil {
				first = err
			}
		}
		if o.Type.Size > 0 {
			values, err := o.Bytes()
			n += len(values)
			if first == nil {
				first = err
			}
		}
		for _, name := range o.Links() {
			inner, err := o.Object(name)
			if first == nil {
				first = err
			}
			if err == nil && depth < 10 {
				visit(inner, depth+1)
			}
		}
	}
	visit(root, 0)
	return n, first
}

// Damaged files give errors or other values, never a panic, and never take more
// memory than they justify.
func TestDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"old", "new"} {
		good := content(t, name)
		for range 300 {
			bad := bytes.Clone(good)
			for range 1 + rng.IntN(20) {
				bad[rng.IntN(min(len(bad), 1<<rng.IntN(20)))] = byte(rng.Uint32())
			}
			n, _ := readAll(bad)
			require.LessOrEqual(t, n, bound(bad))
			_, _ = readAll(bad[:rng.IntN(len(bad))])
		}
	}
}

// bound is the most that a file of so many bytes may be read to.
func bound(b []byte) int { return (rereads*len(b) + 1<<16) * 2 * inflation }

// FuzzParse changes bytes of small files, of which the fuzzer sees the changes alone: it
// would spend its time on making whole files smaller.
func FuzzParse(f *testing.F) {
	files := [][]byte{content(f, "tiny"), content(f, "newtiny")}
	f.Add(true, uint16(0), []byte{0, 0, 0})
	f.Add(false, uint16(50), []byte{0, 9, 1, 1, 0, 7})
	f.Fuzz(func(t *testing.T, old bool, cut uint16, edits []byte) {
		b := files[1]
		if old {
			b = files[0]
		}
		b = bytes.Clone(b[:max(1, len(b)-int(cut))])
		for ; len(edits) >= 3; edits = edits[3:] { // where, and how
			b[int(binary.BigEndian.Uint16(edits))%len(b)] ^= edits[2]
		}
		n, _ := readAll(b)
		require.LessOrEqual(t, n, bound(b))
	})
}
