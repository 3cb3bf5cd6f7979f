package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/testneed"
)

// tests end in all ways that tests end. TestEnd does as the variable END says.
const tests = `package some

import ("fmt"; "os"; "testing"; "time")

func TestPass(t *testing.T) { fmt.Println("printed"); t.Log("of no interest") }
func TestSkip(t *testing.T) { t.Log("before"); t.Skip("gcc is missing:\napt-get install gcc") }
func TestSubtests(t *testing.T) {
	t.Run("pass", func(t *testing.T) {})
	t.Run("skip", func(t *testing.T) { t.SkipNow() })
}
func TestEnd(t *testing.T) {
	switch os.Getenv("END") {
	case "fail":
		t.Run("sub", func(t *testing.T) { t.Error("2 is not 3") })
	case "panic":
		panic("out of order")
	case "exit":
		os.Exit(3)
	case "kill":
		self, _ := os.FindProcess(os.Getpid())
		self.Kill()
		fallthrough
	case "hang":
		time.Sleep(time.Hour)
	}
}
`

// inModule works in a new module of three packages: some has the tests, none
// has none, and broken does not build.
func inModule(t *testing.T) {
	testneed.Program(t, "go", "see https://go.dev/dl")
	t.Chdir(t.TempDir())
	for path, text := range map[string]string{
		"go.mod": "module m\n", "some/some_test.go": tests, "none/none.go": "package none\n",
		"broken/broken_test.go": "package broken\n\nvar _ = missing\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
}

// gotest runs the program.
func gotest(words ...string) (code int, out string) {
	var b strings.Builder
	code = testAll(split(words), newSummary(&b))
	return code, b.String()
}

const skips = `1 skipped: gcc is missing: apt-get install gcc
	m/some.TestSkip
1 skipped: no reason given
	m/some.TestSubtests/skip
`

func TestSkipsAreListed(t *testing.T) {
	inModule(t)
	code, out := gotest("./some", "./none")
	require.Zero(t, code)
	require.Regexp(t, `^== go test ./some ./none
(ok  	m/some	\S+s\n|\?   	m/none	\[no test files\]\n){2}`+skips+`3 passed, 0 failed, 2 skipped
$`, out)
}

func TestFailuresAreShown(t *testing.T) {
	inModule(t)
	for end, want := range map[string]string{
		"END=fail": `--- FAIL: TestEnd \(\S+s\)
    some_test.go:14: 2 is not 3
--- FAIL: TestEnd/sub \(\S+s\)
FAIL
FAIL	m/some	\S+s
` + skips + `2 passed, 2 failed, 2 skipped
$`,
		"END=panic": `--- FAIL: TestEnd \(\S+s\)\npanic: out of order(.*\n)+FAIL	m/some	\S+s\n` + skips + `2 passed, 1 failed, 2 skipped\n$`,
		"END=exit":  `--- FAIL: TestEnd did not end\nFAIL	m/some	\S+s\n` + skips + `2 passed, 1 failed, 2 skipped\n$`,
		"END=kill":  `--- FAIL: TestEnd did not end\n.*killed\nFAIL	m/some	\S+s\n` + skips + `2 passed, 1 failed, 2 skipped\n$`,
		"END=hang":  `panic: test timed out after 3s\n(.*\n)+.*some_test.go:24(.*\n)+FAIL	m/some	\S+s\n` + skips + `2 passed, 1 failed, 2 skipped\n$`,
	} {
		code, out := gotest(end, "-timeout", "3s", "./some")
		require.Equal(t, 1, code, end)
		require.Regexp(t, want, out, end)
		require.NotContains(t, out, "of no interest")
	}
	code, out := gotest("./broken", "./some")
	require.Equal(t, 1, code)
	require.Contains(t, out, "broken_test.go:3:9: undefined: missing\n")
	require.Contains(t, out, "FAIL\tm/broken [build failed]\n")
	require.Contains(t, out, "\n3 passed, 1 failed, 2 skipped\n")
}

// go test that was killed has told of no end.
func TestEventsThatBreakOff(t *testing.T) {
	var b strings.Builder
	s := newSummary(&b)
	require.NoError(t, s.read(strings.NewReader(`{"Action":"start","Package":"m/some"}
{"Action":"run","Package":"m/some","Test":"TestEnd"}
{"Action":"output","Package":"m/some","Test":"TestEnd","Output":"=== RUN   TestEnd\n"}
{"Action":"output","Package":"m/some","Test":"TestEnd","Output":"so far\n"}
no event
{"Action":"outp`)))
	s.print()
	require.Equal(t, "no event\n{\"Action\":\"outp--- FAIL: TestEnd did not end\nso far\n0 passed, 1 failed, 0 skipped\n", b.String())
}

func TestWhereNothingIsTestedFails(t *testing.T) {
	inModule(t)
	for _, tests := range []string{"TestSkip", "TestSubtests/skip"} {
		code, out := gotest("-run", tests, "./some")
		require.Equal(t, 1, code, tests)
		require.Contains(t, out, "FAIL: nothing was tested\n")
		require.Contains(t, out, "\n0 passed, 0 failed, 1 skipped\n")
	}
}

func TestRunsAreSummedUp(t *testing.T) {
	inModule(t)
	const need = "no-such-program: apt-get install it"
	t.Setenv("CI", "")
	code, out := gotest("-run", "TestPass", "./some", "--", "-need", "go: see https://go.dev", "END=fail", "./some", "--", "-need", need, "A=1", "./some")
	require.Equal(t, 1, code)
	require.Contains(t, out, "== END=fail go test ./some\n")
	require.Contains(t, out, "1 skipped: no-such-program is missing: apt-get install it\n\tA=1 go test ./some\n")
	require.Contains(t, out, "\n3 passed, 2 failed, 3 skipped\n")

	t.Setenv("CI", "true")
	code, out = gotest("-run", "TestPass", "./some", "--", "-need", need, "./some")
	require.Equal(t, 1, code)
	require.Contains(t, out, "FAIL: no-such-program is missing: apt-get install it\n1 passed, 1 failed, 0 skipped\n")
}

// Errors of go test itself have its exit code, though no test failed.
func TestErrorsOfGoTest(t *testing.T) {
	inModule(t)
	code, out := gotest("-timeout", "soon", "./some")
	require.Equal(t, 2, code)
	require.Contains(t, out, "FAIL: exit status 2\n0 passed, 1 failed, 0 skipped\n")
}
