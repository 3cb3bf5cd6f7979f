package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/stretchr/testify/require"

	"edgeclassify/stream"
)

// fill is a SHA-256 of one digit.
func fill(digit string) string { return strings.Repeat(digit, 64) }

func orderOf(digit string) []byte {
	return fmt.Appendf(nil, `{"url": "https://models/%s.q8", "sha256": "%s"}`, digit, fill(digit))
}

func TestOrders(t *testing.T) {
	o, err := parseOrder(fmt.Appendf(nil, `{"url": "https://u:p@models:8443/a.q8?x=y", "sha256": %q, "note": 1}`, strings.ToUpper(fill("a"))))
	require.NoError(t, err)
	require.Equal(t, order{"https://u:p@models:8443/a.q8?x=y", fill("a")}, o)
	o, err = parseOrder(nil)
	require.NoError(t, err)
	require.Zero(t, o)
	for want, text := range map[string]string{
		`want {"url": "https://...", "sha256": "..."}`: "resnet50.q8",
		"model/set: url: want https://HOST/FILE.q8":    `{"url": "http://models/a.q8", "sha256": "` + fill("a") + `"}`,
		"url: want https":                    `{"url": "https:///a.q8", "sha256": "` + fill("a") + `"}`,
		"sha256: want 64 hexadecimal digits": `{"url": "https://models/a.q8", "sha256": "abc"}`,
		"sha256: want":                       `{"url": "https://models/a.q8"}`,
	} {
		_, err := parseOrder([]byte(text))
		require.ErrorContains(t, err, want)
	}
}

func FuzzOrder(f *testing.F) {
	f.Add(orderOf("a"))
	f.Add([]byte(`{"url": "https://[::1", "sha256": 7}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if o, err := parseOrder(text); err == nil && o != (order{}) {
			require.True(t, strings.HasPrefix(strings.ToLower(o.URL), "https://"), o.URL)
			require.Len(t, o.SHA256, 64)
		}
	})
}

// attempts records what an updater does, by the clock of the test's bubble.
type attempts struct {
	start time.Time
	mu    sync.Mutex
	lines []string
	fail  int // attempts that fail
	hang  bool
}

func (a *attempts) note(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines = append(a.lines, fmt.Sprintf("%v "+format, append([]any{time.Since(a.start).Round(time.Second)}, args...)...))
}

func (a *attempts) update(ctx context.Context, url, _ string) error {
	a.note("get %s", url)
	if a.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if a.fail--; a.fail >= 0 {
		return errors.New("no route")
	}
	return nil
}

func (a *attempts) report(state, wanted string, err error) {
	a.note("%s %.1s %v", state, wanted, err)
}

// followed runs an updater, which messages says when to send what, for a day.
func followed(t *testing.T, a *attempts, messages func(u *updater)) []string {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		a.start = time.Now()
		u := newUpdater(a.update, a.report, slog.New(slog.DiscardHandler))
		go u.run(ctx)
		messages(u)
		time.Sleep(24 * time.Hour)
		stop()
		synctest.Wait()
	})
	return a.lines
}

func TestOrderIsFollowedOnce(t *testing.T) {
	require.Equal(t, []string{"2s downloading a <nil>", "2s get https://models/a.q8", "2s installed a <nil>"},
		followed(t, &attempts{}, func(u *updater) {
			for range 100 { // connections
				u.receive(orderOf("a"))
				time.Sleep(time.Minute)
			}
		}))
}

// A retained order that fails is tried ever more seldom, however often it comes.
func TestFailedOrderIsTriedAgain(t *testing.T) {
	a := &attempts{fail: 1000}
	followed(t, a, func(u *updater) {
		for range 1000 {
			u.receive(orderOf("a"))
			time.Sleep(time.Second)
		}
	})
	require.Equal(t, []string{"2s downloading a <nil>", "2s get https://models/a.q8", "2s failed a no route",
		"1m2s downloading a <nil>", "1m2s get https://models/a.q8", "1m2s failed a no route", "3m2s downloading a <nil>"}, a.lines[:7])
	require.Len(t, a.lines, 3*11, "after 0, 1, 3, 7, ... 1023 minutes")
	a = &attempts{fail: 1}
	require.Contains(t, followed(t, a, func(u *updater) { u.receive(orderOf("a")) }), "1m2s installed a <nil>")
}

// Of several orders the last one counts; it ends what the one before has begun.
func TestNewestOrderCounts(t *testing.T) {
	a := &attempts{hang: true}
	lines := followed(t, a, func(u *updater) {
		u.receive(orderOf("a"))
		time.Sleep(time.Hour)
		for _, digit := range []string{"b", "c", "d"} {
			u.receive(orderOf(digit))
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		u.receive([]byte("nonsense"))
		u.receive(nil)
	})
	require.Equal(t, []string{"2s downloading a <nil>", "2s get https://models/a.q8", "1h0m4s downloading d <nil>", "1h0m4s get https://models/d.q8"}, lines[:4])
	require.Contains(t, lines[4], `2h0m3s failed  model/set: want {"url"`)
	require.Equal(t, []string{"2h0m5s idle  <nil>"}, lines[5:])
}

// publish leaves a message at the broker, as a user does.
func (b *broker) publish(topic string, payload []byte) {
	_, err := b.listen().client.Publish(b.t.Context(), &paho.Publish{Topic: topic, QoS: 1, Retain: true, Payload: payload})
	require.NoError(b.t, err)
}

// contains asks whether a payload has that part.
func contains(part string) func([]byte) bool {
	return func(payload []byte) bool { return strings.Contains(string(payload), part) }
}

// A retained order is followed, is not followed again when it comes again, and how it
// went is retained, too.
func TestModelIsSet(t *testing.T) {
	const set, is = "edge-classify/kitchen/model/set", "edge-classify/kitchen/model/state"
	b := newBroker(t, "allow_anonymous true").start()
	b.publish(set, orderOf("a"))
	var times atomic.Int64
	var m *MQTT
	ready := make(chan struct{})
	m = open(t, Options{URL: b.url(), Update: func(_ context.Context, url, sum string) error {
		<-ready
		times.Add(1)
		if sum == fill("b") {
			return errors.New("the server is down")
		}
		other := pets
		other.Name, other.SHA256 = url, fill("e")
		m.Model(other)
		return nil
	}})
	close(ready)
	l := b.listen()
	state := func(want modelState) {
		l.until(t, is, func(payload []byte) bool {
			var got modelState
			return json.Unmarshal(payload, &got) == nil && got == want
		}, want)
		require.True(t, b.listen().last(t, is).Retain)
	}
	done := modelState{State: installed, Wanted: fill("a"), Model: "https://models/a.q8", SHA256: fill("e"), Kernel: "portable"}
	state(done)
	b.publish(set, orderOf("b"))
	state(modelState{State: failed, Wanted: fill("b"), Error: "the server is down", Model: done.Model, SHA256: done.SHA256, Kernel: done.Kernel})
	b.stop() // forgets what was retained
	b.start()
	b.publish(set, orderOf("b"))
	l = b.listen()
	state(modelState{State: failed, Wanted: fill("b"), Error: "the server is down", Model: done.Model, SHA256: done.SHA256, Kernel: done.Kernel})
	b.publish(set, []byte("?"))
	l.until(t, is, contains(`"error":"model/set: want`))
	require.EqualValues(t, 2, times.Load())
}

// Without the option nobody is heard.
func TestModelIsNotSet(t *testing.T) {
	b := newBroker(t, "allow_anonymous true").start()
	b.publish("edge-classify/kitchen/model/set", orderOf("a"))
	m := open(t, Options{URL: b.url()})
	l := b.listen()
	require.Contains(t, string(l.last(t, "model/state").Payload), `{"state":"idle","model":"pets"`)
	m.receive(&paho.Publish{Topic: "edge-classify/kitchen/model/set", Payload: orderOf("a")})
	require.Empty(t, m.updater.orders)
}

func TestWatchedLabels(t *testing.T) {
	b := newBroker(t, "allow_anonymous true").start()
	const base, entity = "edge-classify/kitchen/watched/", "homeassistant/binary_sensor/kitchen/watched_"
	o := Options{URL: b.url(), Discovery: "homeassistant", Watch: []string{"tabby", "n02123045", "persian CAT"}}
	m, err := Connect(t.Context(), o)
	require.NoError(t, err)
	m.Model(pets)
	cat := slugOf("Persian cat")
	require.Regexp(t, "^persian_cat_[0-9a-f]{6}$", cat)
	kind := func(l *listener, slug, want string) {
		l.until(t, base+slug, func(payload []byte) bool {
			var e stream.Event
			return json.Unmarshal(payload, &e) == nil && e.Kind == want
		}, want)
	}
	l := b.listen()
	kind(l, "tabby", stream.End)
	m.Event(stream.Event{Label: "tabby", Kind: stream.Start, Prob: 0.9, Time: time.Unix(1e9, 0)}, nil)
	kind(l, "tabby", stream.Start)
	kind(b.listen(), "tabby", stream.Start) // retained
	kind(b.listen(), cat, stream.End)
	require.Contains(t, string(b.listen().last(t, entity+cat+"/config").Payload), `"name":"Persian cat"`)
	require.NoError(t, m.Close())

	// Another watch list: what was retained of the first one goes, and only that.
	b.publish(base+"not/ours", []byte("x"))
	b.publish(base+"NotOurs", []byte("x"))
	o.Watch = []string{"dog", "tabby"}
	open(t, o)
	require.Eventually(t, func() bool {
		later := b.listen()
		later.last(t, "kitchen/watched/dog")
		later.last(t, "NotOurs")
		return len(later.all(cat)) == 0 && len(later.all(cat+"/config")) == 0
	}, soon, 10*time.Millisecond)
	later := b.listen()
	kind(later, "tabby", stream.End) // nobody has seen it since the start
	require.NotEmpty(t, later.last(t, entity+"dog/config").Payload)
	require.NotEmpty(t, later.last(t, entity+"tabby/config").Payload)
	later.last(t, "not/ours")
}

// Another model has other labels.
func TestLabelsOfAnotherModel(t *testing.T) {
	b := newBroker(t, "allow_anonymous true").start()
	m := open(t, Options{URL: b.url(), Discovery: "homeassistant", Watch: []string{"tabby", "wolf"}})
	l := b.listen()
	l.last(t, "watched/tabby")
	other := pets
	other.Name, other.Classes = "wild", append(pets.Classes[1:], pets.Classes[0])
	other.Classes[0].Name = "wolf"
	other.Classes = other.Classes[:2]
	m.Model(other)
	l.last(t, "watched/wolf")
	l.wait(t, "watched/tabby", "")
	l.wait(t, "watched_tabby/config", "")
	l.until(t, "model/state", contains(`"model":"wild"`))
}

func TestSlugs(t *testing.T) {
	seen := map[string]string{}
	for _, label := range []string{"tabby", "Tabby", "tab by", "tab_by", "", "猫", "犬", strings.Repeat("long", 20), strings.Repeat("long", 21), "a/+#b"} {
		slug := slugOf(label)
		require.Regexp(t, validSlug, slug)
		require.NotContains(t, seen, slug, "%s and %s", label, seen[slug])
		seen[slug] = label
	}
	require.Equal(t, "tabby", slugOf("tabby"))
}
