package samples

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"image/jpeg"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// content is what a store holds: each photograph, by its number, with its label and
// the number of its base model; each label; the heads that are in use one after the other.
type content map[string]string

// do makes a change, of the words op, to what is held.
func (c content) do(op []string) {
	switch op[0] {
	case "label":
		c["label "+op[1]] = ""
	case "rename", "remove":
		delete(c, "label "+op[1])
		maps.DeleteFunc(c, func(key, label string) bool {
			return op[0] == "remove" && strings.HasPrefix(key, "photograph") && strings.HasPrefix(label, op[1]+" ")
		})
		for key, label := range c {
			if base, ok := strings.CutPrefix(label, op[1]+" "); ok && strings.HasPrefix(key, "photograph") {
				c[key] = op[2] + " " + base
			}
		}
		if op[0] == "rename" {
			c["label "+op[2]] = ""
		}
	case "add":
		c["photograph "+op[2]] = op[1] + " a"
	case "features":
		c["photograph "+op[3]] = op[1] + " b"
	case "delete":
		delete(c, "photograph "+op[3])
	case "train": // heads go, and cannot be used again
		c["used"] = strings.Join(op[1:], " ")
	case "use":
		used := append(strings.Fields(c["used"]), op[1])
		c["used"] = strings.Join(slices.Compact(used), " ")
	case "undo":
		c["used"] = c["used"][:strings.LastIndexByte(c["used"], ' ')]
	}
}

// number is that of a photograph with such features.
func number(f *Features) int { return int(f.Values[0])<<16 | int(uint16(f.Values[1])) }

func numbered(n int, base string) *Features {
	return &Features{strings.Repeat(base, 2*hashBytes), int64(n), []int16{int16(n >> 16), int16(n)}}
}

// contentOf reads it, and tests that nothing is half there.
func contentOf(t *testing.T, s *Store) content {
	c := content{"used": "0"}
	files := 0
	for _, l := range s.Labels() {
		c["label "+l.Name] = ""
		files += l.Count
	}
	for _, one := range all(t, s) {
		require.Len(t, one.Values, 2)
		require.EqualValues(t, one.Group, number(&one.Features))
		c[fmt.Sprintf("photograph %d", number(&one.Features))] = one.Label + " " + one.Base[:1]
		file, err := s.JPEG(one.Label, one.ID)
		require.NoError(t, err)
		_, err = jpeg.Decode(bytes.NewReader(file))
		require.NoError(t, err)
	}
	kept, _ := s.Heads()
	files += len(kept)
	require.LessOrEqual(t, len(kept), maxHeads)
	for _, n := range kept {
		b, err := os.ReadFile(s.Head(n))
		require.NoError(t, err)
		require.Equal(t, head(n), b, "a head is whole")
	}
	if len(s.heads.used) > 0 {
		c["used"] = strings.Trim(fmt.Sprint(s.heads.used), "[]")
	}
	require.NoError(t, filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if !e.IsDir() && e.Name() != ".lock" && e.Name() != "state.json" {
			require.NotEqual(t, '.', rune(e.Name()[0]), "what was half done is removed: %s", path)
			files--
		}
		return err
	}))
	require.Zero(t, files, "nothing else is there")
	return c
}

// head is the file of a head: more than one write of it.
func head(n int) []byte {
	sum := sha256.Sum256([]byte(strconv.Itoa(n)))
	return bytes.Repeat(sum[:], 4096)
}

// Environment variables of TestKilledProgram.
const (
	crashFolder = "SAMPLES_TEST_FOLDER"
	crashNumber = "SAMPLES_TEST_NUMBER" // of its first photograph
)

// TestKilledProgram is the program that TestKill kills. It tells what it begins and
// what is done.
func TestKilledProgram(t *testing.T) {
	dir := os.Getenv(crashFolder)
	if dir == "" {
		t.Skip("runs within TestKill")
	}
	s := open(t, dir, Options{MaxSamples: 40})
	next, err := strconv.Atoi(os.Getenv(crashNumber))
	require.NoError(t, err)
	for {
		op, do := randomChange(t, s, next)
		next++
		if do == nil {
			continue
		}
		fmt.Println("begin", op)
		require.NoError(t, do(), op)
		fmt.Println("done", op)
	}
}

// randomChange is a change that a store takes; nil where it takes none of that kind.
func randomChange(t *testing.T, s *Store, next int) (op string, do func() error) {
	names := []string{"a", "b", "c", "AC/DC"}
	list := s.Labels()
	if len(list) == 0 {
		return "label a", func() error { return s.AddLabel("a") }
	}
	l := list[rand.IntN(len(list))]
	to := names[rand.IntN(len(names))]
	taken := slices.ContainsFunc(list, func(l Label) bool { return l.Name == to })
	kept, _ := s.Heads()
	_, before := s.Before()
	switch kind := rand.IntN(20); {
	case kind < 8:
		if count := len(s.view()); count < s.options.MaxSamples {
			return fmt.Sprintf("add %s %d", l.Name, next), func() error {
				_, err := s.Add(l.Name, photo(t, uint8(next)), numbered(next, "a"))
				return err
			}
		}
	case kind < 13 && l.Count > 0:
		id := l.IDs[rand.IntN(l.Count)]
		n := 0
		_ = s.Each(func(one *Sample) error {
			if one.ID == id {
				n = number(&one.Features)
			}
			return nil
		})
		if kind < 11 {
			return fmt.Sprintf("delete %s %s %d", l.Name, id, n), func() error { return s.Delete(l.Name, id) }
		}
		return fmt.Sprintf("features %s %s %d", l.Name, id, n), func() error { return s.SetFeatures(l.Name, id, numbered(n, "b")) }
	case kind == 13 && !taken:
		return "label " + to, func() error { return s.AddLabel(to) }
	case kind == 14 && !taken:
		return "rename " + l.Name + " " + to, func() error { return s.RenameLabel(l.Name, to) }
	case kind == 15 && len(list) > 1:
		return "remove " + l.Name + " -", func() error { return s.RemoveLabel(l.Name) }
	case kind == 16 || kind == 17:
		return "train " + usedAfter(s, kept), func() error {
			_, err := s.Trained(func(path string) error { return os.WriteFile(path, head(last(kept)+1), 0o600) })
			return err
		}
	case kind == 18 && len(kept) > 0:
		n := kept[rand.IntN(len(kept))]
		return fmt.Sprintf("use %d", n), func() error { return s.Use(n) }
	case kind == 19 && before:
		return "undo", s.Undo
	}
	return "", nil
}

// usedAfter is which heads are in use, one after the other, when one more is kept.
func usedAfter(s *Store, kept []int) string {
	_, inUse := s.Heads()
	kept = append(kept, last(kept)+1)
	for len(kept) > maxHeads {
		at := slices.IndexFunc(kept, func(n int) bool { return n != inUse })
		kept = slices.Delete(kept, at, at+1)
	}
	used := []string{"0"}
	for _, n := range s.heads.used {
		if slices.Contains(kept, n) || n == 0 {
			used = append(used, strconv.Itoa(n))
		}
	}
	return strings.Join(slices.Compact(used), " ")
}

// A program is killed at any moment: what a call returned for is there, what had begun
// is there or not, and nothing else is.
func TestKill(t *testing.T) {
	dir, want := t.TempDir(), content{"used": "0"}
	rounds := 50
	if testing.Short() {
		rounds = 10
	}
	for round := range rounds {
		program := exec.Command(os.Args[0], "-test.run", "^TestKilledProgram$")
		program.Env = append(os.Environ(), crashFolder+"="+dir, fmt.Sprintf("%s=%d", crashNumber, 1_000_000*(round+1)))
		output, err := program.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, program.Start())
		lines, begun, done := bufio.NewScanner(output), []string(nil), 0
		for most := rand.IntN(30); lines.Scan(); {
			op := strings.Fields(lines.Text())
			switch op[0] {
			case "begin":
				if begun = op[1:]; done == most {
					time.Sleep(rand.N(3 * time.Millisecond))
					require.NoError(t, program.Process.Kill())
				}
			case "done":
				want.do(begun)
				begun, done = nil, done+1
			default:
				t.Fatal(lines.Text())
			}
		}
		_ = program.Wait()
		s := open(t, dir, Options{})
		got := contentOf(t, s)
		require.NoError(t, s.Close())
		after := maps.Clone(want)
		if begun != nil {
			after.do(begun)
		}
		require.Contains(t, []content{want, after}, got, "round %d: %v", round, begun)
		want = got
	}
}
