package torch

import (
	"archive/zip"
	"bytes"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/importer/weights"
	"edgeclassify/internal/testneed"
	"edgeclassify/labels"
)

// makeTorch runs testdata/make_torch.py, which PyTorch must be there for.
func makeTorch(t *testing.T) (dir string) {
	t.Helper()
	python := testneed.Python(t, "apt-get install python3-torch", "torch")
	dir = t.TempDir()
	out, err := exec.Command(python, "testdata/make_torch.py", dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

// tensors reads the network of a file.
func tensors(b []byte) (map[string]weights.Array, error) {
	c, err := Read(b)
	if err != nil {
		return nil, err
	}
	return c.Weights.Tensors, nil
}

// values decodes a tensor.
func values(t *testing.T, a weights.Array) []float32 {
	t.Helper()
	v, err := a.Floats()
	require.NoError(t, err)
	return v
}

// checkTorchFiles reads what make_torch.py writes.
func checkTorchFiles(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"tensors.pth", "tensors_legacy.pth"} {
		arrays, err := tensors(read(t, filepath.Join(dir, name)))
		require.NoError(t, err)
		for name, want := range map[string]struct {
			shape  []int
			values []float32
		}{
			"float":      {[]int{2, 3}, []float32{1, -2.5, 3, 4, 5, 6}},
			"double":     {[]int{2}, []float32{1.25, -1e30}},
			"half":       {[]int{3}, []float32{0.5, 65504, -1}},
			"bfloat16":   {[]int{2}, []float32{1.5, -3}},
			"view":       {[]int{4}, []float32{4, 5, 6, 7}},
			"transposed": {[]int{4, 3}, []float32{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}},
			"parameter":  {[]int{1}, []float32{7}},
			"scalar":     {[]int{}, []float32{2}},
			"none":       {[]int{0, 3}, []float32{}},
			"counter":    {[]int{}, []float32{5}},
		} {
			require.Equal(t, want.shape, arrays[name].Shape, name)
			require.Equal(t, want.values, values(t, arrays[name]), name)
		}
		require.Len(t, arrays, 11)
		require.False(t, arrays["counter"].DType.Float())
		_, err = arrays["quantized"].Floats()
		require.EqualError(t, err, "elements are torch.QInt8Storage, which is not supported")
	}

	for _, name := range []string{"checkpoint.pth", "checkpoint4.pth"} {
		c, err := Read(read(t, filepath.Join(dir, name)))
		require.NoError(t, err)
		require.Equal(t, "state_dict", c.Weights.Key)
		require.Equal(t, "model_ema.shadow", c.Average.Key)
		require.Len(t, c.Weights.Tensors, 2)
		require.Equal(t, []float32{1, 2}, values(t, c.Weights.Tensors["module.weight"]))
		require.Equal(t, []float32{5, 6}, values(t, c.Average.Tensors["module.weight"]))
		var keys []string
		for _, found := range c.Classes {
			require.Equal(t, []labels.Class{{ID: "0", Name: "cat"}, {ID: "1", Name: "dog"}}, found.Names, found.Key)
			keys = append(keys, found.Key)
		}
		require.ElementsMatch(t, []string{"classes", "hyper_parameters.class_to_idx", "args.class_names", "data.idx_to_class"}, keys)
	}

	arrays, err := tensors(read(t, filepath.Join(dir, "legacy.pth")))
	require.NoError(t, err)
	require.Equal(t, []float32{1, 2}, values(t, arrays["module.weight"]))
	for name, class := range map[string]string{"model.pth": "torch.nn.modules.linear.Linear", "model_in_dict.pth": "torch.nn.modules.container.Sequential"} {
		_, err = Read(read(t, filepath.Join(dir, name)))
		require.ErrorContains(t, err, "is a whole pickled object of class "+class)
		require.ErrorContains(t, err, "torch.save(model.state_dict()")
	}
}

func TestTorchFiles(t *testing.T)          { checkTorchFiles(t, "testdata") }
func TestTorchOfThisMachine(t *testing.T)  { checkTorchFiles(t, makeTorch(t)) }
func TestTorchTruncated(t *testing.T)      { everyPrefixFails(t, "testdata/tensors.pth") }
func TestCheckpointTruncated(t *testing.T) { everyPrefixFails(t, "testdata/checkpoint.pth") }
func TestLegacyTruncated(t *testing.T)     { everyPrefixFails(t, "testdata/tensors_legacy.pth") }

func everyPrefixFails(t *testing.T, path string) {
	b := read(t, path)
	for n := range b {
		_, err := Read(b[:n:n])
		require.Error(t, err, "the first %d of %d bytes", n, len(b))
	}
}

// TestTorchDamage flips bits of the storages.
func TestTorchDamage(t *testing.T) {
	b := read(t, "testdata/tensors.pth")
	at := bytes.Index(b, []byte{0, 0, 0x20, 0xc0}) // -2.5
	require.Positive(t, at)
	b[at] ^= 1
	_, err := Read(b)
	require.ErrorContains(t, err, "is damaged: its checksum is wrong")
}

// archive is a file with the given pickle and one storage of 4 floats.
func archive(t testing.TB, pickle string) []byte {
	t.Helper()
	return zipped(t, zip.Store, "x/data.pkl", pickle, "x/data/0", strings.Repeat("\x00\x00\x80\x3f", 4))
}

func zipped(t testing.TB, method uint16, namesAndContents ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(namesAndContents); i += 2 {
		content := []byte(namesAndContents[i+1])
		h := &zip.FileHeader{Name: namesAndContents[i], Method: method, CRC32: crc32.ChecksumIEEE(content),
			CompressedSize64: uint64(len(content)), UncompressedSize64: uint64(len(content))}
		f, err := w.CreateRaw(h)
		require.NoError(t, err)
		_, err = f.Write(content)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// Parts of pickles.
const (
	// floats pushes a reference to data/0, 4 floats.
	floats  = "(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
	rebuild = "ctorch._utils\n_rebuild_tensor_v2\n("
	// hooks are the arguments behind the strides.
	hooks = "\x89N"
)

// dict is a pickle of {"w": what value pushes}.
func dict(value string) string { return "\x80\x02}X\x01\x00\x00\x00w" + value + "s." }

// tensor rebuilds one from the storage and the pickled offset, shape and strides.
func tensorOf(offset, shape, strides string) string {
	return dict(rebuild + floats + offset + shape + strides + hooks + "tR")
}

// tensorOfPart rebuilds a tensor of 4 elements from a part of the storage, as the
// legacy format refers to it.
func tensorOfPart(offset, n string) string {
	part := "(X\x01\x00\x00\x00v" + offset + n + "t"
	return dict(rebuild + strings.Replace(floats, "tQ", part+"tQ", 1) + "K\x00K\x04\x85K\x01\x85" + hooks + "tR")
}

func TestTorchPickles(t *testing.T) {
	for name, c := range map[string]struct{ pickle, want string }{
		"row-major":          {tensorOf("K\x00", "K\x02K\x02\x86", "K\x02K\x01\x86"), ""},
		"transposed":         {tensorOf("K\x00", "K\x02K\x02\x86", "K\x01K\x02\x86"), ""},
		"repeated element":   {tensorOf("K\x03", "K\x04\x85", "K\x00\x85"), ""},
		"more than storage":  {tensorOf("K\x00", "K\x05\x85", "K\x00\x85"), "larger than its storage of 4 elements"},
		"huge":               {tensorOf("K\x00", "J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", "K\x00K\x00\x86"), "larger than its storage"},
		"out by offset":      {tensorOf("K\x01", "K\x04\x85", "K\x01\x85"), "leaves its storage of 4 elements"},
		"out by strides":     {tensorOf("K\x00", "K\x02K\x02\x86", "K\x03K\x01\x86"), "leaves its storage"},
		"offset far out":     {tensorOf("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", "K\x02\x85", "K\x01\x85"), "leaves a storage of 4 elements"},
		"negative offset":    {tensorOf("J\xff\xff\xff\xff", "K\x02\x85", "K\x01\x85"), "offset -1 leaves"},
		"huge stride":        {tensorOf("K\x01", "K\x02K\x02\x86", "J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"), "leaves its storage"},
		"negative stride":    {tensorOf("K\x03", "K\x02\x85", "J\xff\xff\xff\xff\x85"), "malformed tensor"},
		"negative dimension": {tensorOf("K\x00", "J\xff\xff\xff\xff\x85", "K\x01\x85"), "malformed tensor"},
		"fewer strides":      {tensorOf("K\x00", "K\x02K\x02\x86", "K\x01\x85"), "malformed tensor"},
		"nine dimensions":    {tensorOf("K\x00", "("+strings.Repeat("K\x01", 9)+"t", "("+strings.Repeat("K\x01", 9)+"t"), "malformed tensor"},
		"shape of strings":   {tensorOf("K\x00", "X\x00\x00\x00\x00\x85", "K\x01\x85"), "malformed tensor"},
		"no storage":         {dict(rebuild + "NK\x00K\x01\x85K\x01\x85" + hooks + "tR"), "malformed tensor"},
		"too few arguments":  {dict("ctorch._utils\n_rebuild_tensor_v2\n)R"), "called with 0 arguments"},
		"unlike sizes":       {dict(strings.Replace(floats, "K\x04", "K\x05", 1)), `storage "0" has 16 bytes, expected 5 elements of 4 bytes`},
		"negative size":      {dict(strings.Replace(floats, "K\x04", "J\xff\xff\xff\xff", 1)), `storage "0" has -1 elements`},
		"missing storage":    {dict(strings.Replace(floats, "\x000", "\x001", 1)), `entry "data/1" is missing`},
		"path in a key":      {dict(strings.Replace(floats, "\x01\x00\x00\x000", "\x0b\x00\x00\x00../data.pkl", 1)), `entry "data/../data.pkl" is missing`},
		"storage class":      {dict(strings.Replace(floats, "FloatStorage", "Float4Storage", 1)), "class torch.Float4Storage is not supported"},
		"storage module":     {dict(strings.Replace(floats, "ctorch", "cos", 1)), "class os.FloatStorage is not supported"},
		"part of a storage":  {tensorOfPart("K\x00", "K\x04"), ""},
		"beyond the storage": {tensorOfPart("K\x02", "K\x03"), "a part leaves its 4 elements"},
		"negative part":      {tensorOfPart("J\xff\xff\xff\xff", "K\x03"), "a part leaves its 4 elements"},
		"other reference":    {dict("NQ"), "unknown kind of reference"},
		"shell":              {"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00ls\x85R.", "holds a value of type posix.system without tensors"},
		"shell, protocol 4":  {"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02ls\x85R.", "holds a value of type posix.system without tensors"},
		"call of no tuple":   {"\x80\x02cposix\nsystem\nNR.", "cannot call a value of type class with one of type None"},
		"instance":           {"\x80\x02cposix\nsystem\n)\x81.", "holds a value of type posix.system without tensors"},
		"instance and tensor": {"\x80\x02}(X\x01\x00\x00\x00acposix\nsystem\n)\x81}X\x01\x00\x00\x00xK\x01sbX\x01\x00\x00\x00w" +
			rebuild + floats + "K\x00K\x04\x85K\x01\x85" + hooks + "tRu.", ""},
		"old instance":       {"\x80\x02(cposix\nsystem\no.", "opcode 0x6f is not one that torch.save writes"},
		"no dict":            {"\x80\x02K\x01.", "holds a value of type int without tensors, expected a state dict"},
		"value is no tensor": {dict("K\x01"), `type dict without tensors`},
		"key is no string":   {"\x80\x02}K\x01K\x01s.", "type dict without tensors"},
		"inner is no dict":   {"\x80\x02}X\x0a\x00\x00\x00state_dictK\x01s.", `type dict without tensors`},
		"dict in itself":     {"\x80\x02}q\x00X\x01\x00\x00\x00wh\x00s.", `type dict without tensors`},
		"object in itself":   {"\x80\x02cposix\nsystem\n)\x81q\x00X\x01\x00\x00\x00wh\x00s.", `without tensors`},
		"attributes again and again": {"\x80\x02cposix\nsystem\n)\x81}q\x00(" + strings.Repeat("K\x01K\x01", 1000) + "ub" + strings.Repeat("h\x00b", 2000) + ".",
			"holds more than 1048576 values"},
		"many values":        {"\x80\x02" + strings.Repeat("}", maxValues+1) + ".", "holds more than 1048576 values"},
		"much remembered":    {"\x80\x04}" + strings.Repeat("\x94", maxValues+1) + ".", "remembers more than 1048576 values"},
		"list in itself":     {dict("]q\x00h\x00aQ"), "unknown kind of reference"},
		"odd items":          {"\x80\x02}(K\x01u.", "cannot set 1 keys and values"},
		"append to a number": {"\x80\x02K\x01K\x02a.", "cannot append to a value of type int"},
		"empty stack":        {"\x80\x02.", "too few values"},
		"below the mark":     {"\x80\x02K\x01(\x85.", "too few values"},
		"no mark":            {"\x80\x02t.", "there is no mark"},
		"memo":               {"\x80\x02h\x07.", "memo 7 is not set"},
		"put of nothing":     {"\x80\x02q\x00.", "too few values"},
		"huge string":        {"\x80\x02X\xff\xff\xff\xffa.", "cut short"},
		"huge frame":         {"\x80\x04\x95\xff\xff", "cut short"},
		"long integer":       {"\x80\x02\x8a\x09123456789.", "holds a value of type int without tensors"},
		"endless line":       {"\x80\x02cposix", "cut short"},
		"empty":              {"", "cut short"},
		"huge pickle":        {strings.Repeat("(", maxPickle+1), "expected at most 16777216"},
	} {
		t.Run(name, func(t *testing.T) {
			arrays, err := tensors(archive(t, c.pickle))
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.Equal(t, []float32{1, 1, 1, 1}, values(t, arrays["w"]))
		})
	}
}

func TestPickleIntegers(t *testing.T) {
	for text, want := range map[string]int64{
		"K\xff": 255, "M\xff\xff": 65535, "J\xfe\xff\xff\xff": -2, "\x8a\x00": 0, "\x8a\x01\x80": -128,
		"\x8a\x02\xff\x00": 255, "\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80": -1 << 63,
	} {
		v, err := new(unpickler).unpickle([]byte(text + "."))
		require.NoError(t, err)
		require.Equal(t, want, v, "%q", text)
	}
	v, err := new(unpickler).unpickle([]byte("(G\x3f\xf8\x00\x00\x00\x00\x00\x00\x88\x89N]\x94h\x00(K\x01K\x02et."))
	require.NoError(t, err)
	list := &pyList{items: []any{int64(1), int64(2)}}
	require.Equal(t, pyTuple{1.5, true, false, nil, list, list}, v)
}

func TestTorchArchives(t *testing.T) {
	good := tensorOf("K\x00", "K\x04\x85", "K\x01\x85")
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"compressed":    {zipped(t, zip.Deflate, "x/data.pkl", good), `entry "x/data.pkl" is compressed`},
		"no folder":     {zipped(t, zip.Store, "data.pkl", good), "is in no folder"},
		"no pickle":     {zipped(t, zip.Store, "x/version", "3"), `entry "data.pkl" is missing`},
		"twice":         {zipped(t, zip.Store, "x/data.pkl", good, "y/data.pkl", good), `entry "data.pkl" appears twice`},
		"big-endian":    {zipped(t, zip.Store, "x/data.pkl", good, "x/byteorder", "big"), `byte order is "big"`},
		"odd storage":   {zipped(t, zip.Store, "x/data.pkl", good, "x/data/0", "123"), "has 3 bytes, expected 4 elements"},
		"no zip at all": {[]byte("\x80\x02."), "not a valid zip file: it is cut short or damaged"},
	} {
		_, err := Read(c.file)
		require.ErrorContains(t, err, c.want, name)
	}
}

func FuzzTorch(f *testing.F) {
	f.Add(read(f, "testdata/legacy.pth"))
	f.Add(archive(f, tensorOf("K\x00", "K\x04\x85", "K\x01\x85")))
	f.Fuzz(func(_ *testing.T, b []byte) {
		decode(tensors(b))
	})
}

// FuzzPickle spares the fuzzer the checksums.
func FuzzPickle(f *testing.F) {
	f.Add(tensorOf("K\x00", "K\x02K\x02\x86", "K\x01K\x02\x86"))
	f.Add("\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02ls\x85R.")
	f.Add("(G\x3f\xf8\x00\x00\x00\x00\x00\x00\x88\x89N]\x94h\x00(K\x01K\x02et.")
	f.Fuzz(func(t *testing.T, pickle string) {
		decode(tensors(archive(t, pickle)))
	})
}

// decode reads every element; it must neither panic nor take much memory.
func decode(arrays map[string]weights.Array, _ error) {
	for _, a := range arrays {
		_, _ = a.Floats()
	}
}
