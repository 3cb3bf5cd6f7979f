package live

import (
	"archive/zip"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// teacher keeps what a Teacher does in memory, and takes a sample of each frame
// that it is shown. Training goes on for as many steps as it is told.
type teacher struct {
	mu       sync.Mutex
	state    TeachState
	files    map[string][]byte // by id
	made     int               // samples so far
	read     int               // samples
	before   []int             // numbers that were in use
	trained  int               // number of the newest classifier
	calls    []string          // that changed something
	broken   error             // what everything answers, if set
	changed  chan struct{}
	exported func(io.Writer) error // in place of the samples
}

func newTeacher(labels ...string) *teacher {
	t := &teacher{files: map[string][]byte{}, changed: make(chan struct{}, 1)}
	for _, name := range labels {
		t.state.Labels = append(t.state.Labels, TeachLabel{Name: name})
	}
	return t
}

func (t *teacher) Changed() <-chan struct{} { return t.changed }

func (t *teacher) tell() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

func (t *teacher) State() TeachState {
	t.mu.Lock()
	defer t.mu.Unlock()
	state := t.state
	state.Labels = slices.Clone(t.state.Labels)
	filled := 0
	for i := range state.Labels {
		l := &state.Labels[i]
		l.Count, l.IDs = len(l.IDs), slices.Clone(l.IDs)
		if l.Count > 0 {
			filled++
		}
	}
	if filled < 2 {
		state.Missing = "photographs of two labels at least"
	}
	return state
}

// change does what was asked for, unless the teacher is broken.
func (t *teacher) change(call string, do func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.tell()
	if t.broken != nil {
		return t.broken
	}
	t.calls = append(t.calls, call)
	return do()
}

// find returns a label's place, or where it would be.
func (t *teacher) find(name string) (int, error) {
	i := slices.IndexFunc(t.state.Labels, func(l TeachLabel) bool { return l.Name == name })
	if i < 0 {
		return len(t.state.Labels), fmt.Errorf("samples: there is no label %q", name)
	}
	return i, nil
}

func (t *teacher) AddLabel(name string) error {
	return t.change("add "+name, func() error {
		if _, err := t.find(name); err == nil {
			return fmt.Errorf("samples: there is a label %q already", name)
		}
		t.state.Labels = append(t.state.Labels, TeachLabel{Name: name})
		return nil
	})
}

func (t *teacher) RenameLabel(from, to string) error {
	return t.change("rename "+from+" "+to, func() error {
		i, err := t.find(from)
		if err == nil {
			t.state.Labels[i].Name = to
		}
		return err
	})
}

func (t *teacher) RemoveLabel(name string) error {
	return t.change("remove "+name, func() error {
		i, err := t.find(name)
		if err == nil {
			t.state.Labels = slices.Delete(t.state.Labels, i, i+1)
		}
		return err
	})
}

func (t *teacher) Collect(label string, on bool) error {
	return t.change(fmt.Sprint("collect ", label, " ", on), func() error {
		_, err := t.find(label)
		switch {
		case on && err == nil:
			t.state.Collecting = label
		case t.state.Collecting == label:
			t.state.Collecting = ""
		}
		return err
	})
}

// take takes a sample while there is a label to collect.
func (t *teacher) take(file []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i, err := t.find(t.state.Collecting); err == nil {
		t.add(i, file)
		t.tell()
	}
}

func (t *teacher) add(label int, file []byte) {
	t.made++
	id := fmt.Sprintf("%06d", t.made)
	t.files[id] = file
	l := &t.state.Labels[label]
	l.IDs = slices.Insert(l.IDs, 0, id)
}

func (t *teacher) Sample(label, id string) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, err := t.find(label)
	if err != nil || !slices.Contains(t.state.Labels[i].IDs, id) {
		return nil, fmt.Errorf("samples: there is no photograph %q of %q", id, label)
	}
	t.read++
	return t.files[id], nil
}

func (t *teacher) DeleteSample(label, id string) error {
	return t.change("delete "+label+" "+id, func() error {
		i, err := t.find(label)
		if err == nil {
			l := &t.state.Labels[i]
			l.IDs = slices.DeleteFunc(l.IDs, func(other string) bool { return other == id })
		}
		return err
	})
}

func (t *teacher) Train() error {
	return t.change("train", func() error {
		t.state.Training = Training{Running: true, Step: "comparing methods", Total: 40}
		return nil
	})
}

// step is the progress of training.
func (t *teacher) step(training Training) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.tell()
	t.state.Training = training
	if !training.Running && training.Error == "" {
		t.trained++
		t.state.Trained = true
	}
}

func (t *teacher) Cancel() {
	_ = t.change("cancel", func() error {
		t.state.Training = Training{}
		return nil
	})
}

func (t *teacher) Use() error {
	return t.change("use", func() error {
		if !t.state.Trained {
			return errors.New("trainer: nothing is trained that could be used")
		}
		t.before = append(t.before, t.state.InUse)
		t.state.InUse, t.state.Trained, t.state.CanUndo = t.trained, false, true
		return nil
	})
}

func (t *teacher) Undo() error {
	return t.change("undo", func() error {
		last := len(t.before) - 1
		if last < 0 {
			return errors.New("trainer: there is nothing to undo")
		}
		t.state.InUse, t.before = t.before[last], t.before[:last]
		t.state.CanUndo = last > 0
		return nil
	})
}

func (t *teacher) Export(w io.Writer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.exported != nil {
		return t.exported(w)
	}
	z := zip.NewWriter(w)
	for _, l := range t.state.Labels {
		for _, id := range l.IDs {
			f, err := z.Create(l.Name + "/" + id + ".jpg")
			if err != nil {
				return err
			}
			if _, err := f.Write(t.files[id]); err != nil {
				return err
			}
		}
	}
	return z.Close()
}

// asked returns what changed something since it was last called.
func (t *teacher) asked() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	calls := t.calls
	t.calls = nil
	return calls
}

// ask posts a body as JSON unless headers say otherwise.
func ask(t *testing.T, url, body string, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := client(t).Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}

func TestTeachingOverHTTP(t *testing.T) {
	pupil := newTeacher()
	s := serve(t, Options{Token: token, Teach: pupil})
	know := []string{"Authorization", "Bearer " + token}
	for _, c := range []struct {
		path, body string
		status     int
		text, call string
	}{
		{"add", `{"label": "<b>cup</b> & /../ \"ä\""}`, 204, "", `add <b>cup</b> & /../ "ä"`},
		{"add", `{"label": "keys"}`, 204, "", "add keys"},
		{"add", `{"label": "keys"}`, 409, "there is a label \"keys\" already", "add keys"},
		{"rename", `{"label": "keys", "to": "key"}`, 204, "", "rename keys key"},
		{"collect", `{"label": "key", "on": true}`, 204, "", "collect key true"},
		{"collect", `{"label": "key"}`, 204, "", "collect key false"},
		{"collect", `{"label": "spoon", "on": true}`, 409, "there is no label", "collect spoon true"},
		{"delete", `{"label": "key", "id": "1"}`, 204, "", "delete key 1"},
		{"train", `{}`, 204, "", "train"},
		{"cancel", `{}`, 204, "", "cancel"},
		{"use", `{}`, 409, "nothing is trained", "use"},
		{"undo", `{}`, 409, "nothing to undo", "undo"},
		{"remove", `{"label": "key"}`, 204, "", "remove key"},
		{"add", `{"label": 5}`, 400, "want JSON such as", ""},
		{"add", `{"labels": "x"}`, 400, "want JSON such as", ""},
		{"train", ``, 400, "want JSON such as", ""},
		{"add", `{"label": "` + strings.Repeat("x", maxWish) + `"}`, 413, "at most 4096 bytes", ""},
		{"explode", `{}`, 404, "", ""},
	} {
		status, text := ask(t, s.url(teachPath+c.path), c.body, know...)
		require.Equal(t, c.status, status, "%s %s: %s", c.path, c.body, text)
		require.Contains(t, text, c.text)
		require.Equal(t, c.call, strings.Join(pupil.asked(), "; "))
	}
	response, _ := get(t, s.url(teachPath+"train"), know...)
	require.Equal(t, http.StatusMethodNotAllowed, response.StatusCode, "no GET changes anything")

	pupil.mu.Lock()
	pupil.add(0, []byte("a photograph"))
	pupil.mu.Unlock()
	response, text := get(t, s.url(teachPath), know...)
	require.Equal(t, "application/json", response.Header.Get("Content-Type"))
	require.Contains(t, text, `"count": 1`)
	response, text = get(t, s.url(teachPath+"sample.jpg?id=000001&label=%3Cb%3Ecup%3C/b%3E+%26+/../+%22%C3%A4%22"), know...)
	require.Equal(t, "image/jpeg", response.Header.Get("Content-Type"))
	require.Equal(t, "a photograph", text)
	response, _ = get(t, s.url(teachPath+"sample.jpg?label=cup&id=../../etc/passwd"), know...)
	require.Equal(t, http.StatusNotFound, response.StatusCode)

	response, text = get(t, s.url(teachPath+"export.zip"), know...)
	require.Equal(t, "application/zip", response.Header.Get("Content-Type"))
	require.Regexp(t, `^attachment; filename="taught-.*\.zip"$`, response.Header.Get("Content-Disposition"))
	z, err := zip.NewReader(strings.NewReader(text), int64(len(text)))
	require.NoError(t, err)
	require.Len(t, z.File, 1)
	head, err := client(t).Head(s.url(teachPath + "export.zip?token=" + strings.ReplaceAll(token, " ", "+")))
	require.NoError(t, err)
	head.Body.Close()
	require.Equal(t, http.StatusOK, head.StatusCode)
}

// An export that fails says why where it still can, and is not whole where it cannot.
func TestExportFails(t *testing.T) {
	pupil := newTeacher()
	s := serve(t, Options{Teach: pupil})
	sent := 0
	pupil.exported = func(w io.Writer) error {
		_, _ = w.Write(make([]byte, sent))
		return errors.New("samples: the disk is gone")
	}
	response, text := get(t, s.url(teachPath+"export.zip"))
	require.Equal(t, http.StatusInternalServerError, response.StatusCode)
	require.Equal(t, "samples: the disk is gone\n", text)
	require.Empty(t, response.Header.Get("Content-Disposition"))
	sent = 4 * sendBuffer
	cut, err := client(t).Get(s.url(teachPath + "export.zip"))
	require.NoError(t, err)
	defer cut.Body.Close()
	_, err = io.ReadAll(cut.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestTeachingIsProtected(t *testing.T) {
	pupil := newTeacher("cup")
	s := serve(t, Options{Token: token, Teach: pupil})
	know := []string{"Authorization", "Bearer " + token}
	own := "http://" + s.Addr().String()
	for name, c := range map[string]struct {
		headers []string
		status  int
	}{
		"no token":                {nil, 401},
		"wrong token":             {[]string{"Authorization", "Bearer guess"}, 401},
		"another site":            {append(know, "Sec-Fetch-Site", "cross-site", "Origin", own), 403},
		"another port":            {append(know, "Sec-Fetch-Site", "same-site"), 403},
		"another origin":          {append(know, "Origin", "http://example.com"), 403},
		"a page of no origin":     {append(know, "Origin", "null"), 403},
		"another port's origin":   {append(know, "Origin", "http://127.0.0.1:1"), 403},
		"a form":                  {append(know, "Content-Type", "text/plain"), 415},
		"a program":               {know, 204},
		"the page":                {append(know, "Sec-Fetch-Site", "same-origin", "Origin", own), 204},
		"the page in an old tool": {append(know, "Origin", own), 204},
		"with a charset":          {append(know, "Content-Type", "application/json; charset=utf-8"), 204},
	} {
		status, text := ask(t, s.url(teachPath+"train"), `{}`, c.headers...)
		require.Equal(t, c.status, status, "%s: %s", name, text)
		require.Equal(t, c.status == 204, len(pupil.asked()) == 1, name)
	}
	for _, path := range []string{"", "sample.jpg?label=cup&id=1", "export.zip"} {
		response, _ := get(t, s.url(teachPath+path))
		require.Equal(t, http.StatusUnauthorized, response.StatusCode, path)
	}
	status, _ := ask(t, s.url("/api/latest"), `{}`, know...)
	require.Equal(t, http.StatusRequestEntityTooLarge, status, "nothing else takes a body")
	for i := range freeGuesses + 1 {
		status, _ = ask(t, s.url(teachPath+"train"), `{}`, "Authorization", fmt.Sprint("Bearer wrong ", i))
	}
	require.Equal(t, http.StatusTooManyRequests, status)
	require.Empty(t, pupil.asked())
}

func TestTeachingNeedsATokenOnANetwork(t *testing.T) {
	_, err := Listen(":0", Options{Teach: newTeacher()})
	require.ErrorContains(t, err, "everyone on the network could teach")
	s, err := Listen(":0", Options{Teach: newTeacher(), Token: token})
	require.NoError(t, err)
	require.NoError(t, s.listener.Close())

	rebound := serve(t, Options{Teach: newTeacher()})
	response, _ := get(t, rebound.url(teachPath), "Host", "attacker.example")
	require.Equal(t, http.StatusMisdirectedRequest, response.StatusCode)
}

func TestWithoutATeacher(t *testing.T) {
	s := serve(t, Options{})
	for _, path := range []string{"", "export.zip"} {
		response, _ := get(t, s.url(teachPath+path))
		require.Equal(t, http.StatusNotFound, response.StatusCode)
	}
	status, _ := ask(t, s.url(teachPath+"train"), `{}`)
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
}

// What a browser began ends soon behind its last word.
func TestCollectingEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pupil := newTeacher("cup", "keys")
		wishes := &teaching{Teacher: pupil}
		collecting := func() string { return pupil.State().Collecting }
		require.NoError(t, wishes.collect("cup", true))
		for range 5 {
			time.Sleep(stillHeld - time.Millisecond)
			require.NoError(t, wishes.collect("cup", true))
			require.Equal(t, "cup", collecting())
		}
		time.Sleep(stillHeld - time.Millisecond)
		require.Equal(t, "cup", collecting())
		time.Sleep(2 * time.Millisecond)
		require.Empty(t, collecting())

		require.NoError(t, wishes.collect("cup", true))
		time.Sleep(time.Second)
		require.NoError(t, wishes.collect("keys", true))
		require.NoError(t, wishes.collect("cup", false), "another browser lets go")
		time.Sleep(stillHeld - time.Millisecond)
		require.Equal(t, "keys", collecting(), "the first label's end is not the second's")
		time.Sleep(2 * time.Millisecond)
		require.Empty(t, collecting())

		require.NoError(t, wishes.collect("cup", true))
		require.NoError(t, wishes.collect("cup", false))
		require.Error(t, wishes.collect("spoon", true))
		pupil.asked()
		time.Sleep(time.Minute)
		require.Empty(t, pupil.asked(), "what has ended is not ended again")
	})
}

// Viewers are told what is taught when it changes, and nothing is asked meanwhile.
func TestViewersAreToldWhatIsTaught(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pupil := newTeacher("cup")
		counted := &countedTeacher{teacher: pupil}
		s := &Server{options: Options{Teach: counted}, pupil: make(chan struct{}, 1), lessons: newFanout[[]byte](1, 2, 2)}
		ctx, stop := context.WithCancel(t.Context())
		go s.tellTaught(ctx)
		pupil.tell()
		time.Sleep(time.Second)
		require.Zero(t, counted.states.Load(), "nobody looks")
		box, err := s.lessons.join(here)
		require.NoError(t, err)
		s.pupil <- struct{}{}
		require.Contains(t, string(<-box), `"name":"cup"`)
		time.Sleep(time.Hour)
		require.EqualValues(t, 1, counted.states.Load(), "nothing changed")
		for range 1000 {
			pupil.tell()
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		require.InDelta(t, 11, counted.states.Load(), 2, "ten times a second at most")
		require.NotEmpty(t, <-box)
		stop()
		synctest.Wait()
	})
}

type countedTeacher struct {
	*teacher
	states atomic.Int32
}

func (t *countedTeacher) State() TeachState {
	t.states.Add(1)
	return t.teacher.State()
}

// Collecting and training are seen in the page's events, from the first on.
func TestTeachEvents(t *testing.T) {
	pupil := newTeacher("cup")
	s := serve(t, Options{Teach: pupil})
	lines := bufio.NewScanner(open(t, s.url("/api/events")).Body)
	next := func() string {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == "event: teach" && lines.Scan() {
				return lines.Text()
			}
		}
		require.NoError(t, lines.Err())
		return ""
	}
	require.Contains(t, next(), `"count":0`)
	require.NoError(t, pupil.Collect("cup", true))
	require.Contains(t, next(), `"collecting":"cup"`)
	pupil.take([]byte("a photograph"))
	require.Contains(t, next(), `"ids":["000001"]`)
}
