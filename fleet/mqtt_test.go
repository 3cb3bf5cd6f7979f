package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"image/jpeg"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"edgeclassify/capture"
	"edgeclassify/internal/testneed"
	"edgeclassify/stream"
)

var streaming = capture.Status{Device: "test", State: capture.Streaming, Since: time.Unix(1e9, 0), Format: capture.YUYV, Width: 64, Height: 32, FPS: 30, Frames: 7}

func frameOf(format capture.Format) *capture.Frame {
	const width, height = 64, 32
	return &capture.Frame{Format: format, Width: width, Height: height, Stride: 2 * width, Data: make([]byte, 2*width*2*height)}
}

func TestEverythingIsPublished(t *testing.T) {
	b := newBroker(t, "allow_anonymous true").start()
	l := b.listen()
	m := open(t, Options{URL: b.url(), Version: "1.2", Snapshots: time.Hour, Diagnostics: 50 * time.Millisecond})
	m.Status(streaming)
	r := *seen
	r.TemperatureC, r.Throttled, r.Dropped, r.AgeMS = 71.5, []string{"under-voltage"}, 3, 85
	m.Result(&r, frameOf(capture.YUYV))
	m.Event(stream.Event{Label: "tabby", Kind: stream.Start, Prob: 0.9}, nil)

	const base = "edge-classify/kitchen/"
	available := l.last(t, base+"availability")
	require.Equal(t, "online", string(available.Payload))
	require.True(t, available.Retain)
	require.EqualValues(t, 1, available.QoS)

	var result stream.Result
	message := l.last(t, base+"result")
	require.NoError(t, json.Unmarshal(message.Payload, &result))
	require.Equal(t, r.Top, result.Top)
	require.True(t, message.Retain)
	require.Zero(t, message.QoS)

	message = l.last(t, base+"event")
	require.EqualValues(t, 1, message.QoS)
	require.False(t, message.Retain)
	var event stream.Event
	require.NoError(t, json.Unmarshal(message.Payload, &event))
	require.Equal(t, stream.Event{Label: "tabby", Kind: stream.Start, Prob: 0.9}, event)

	message = l.last(t, base+"picture")
	require.Equal(t, "image/jpeg", message.Properties.ContentType)
	picture, err := jpeg.Decode(bytes.NewReader(message.Payload))
	require.NoError(t, err)
	require.Equal(t, 64, picture.Bounds().Dx())

	message = l.last(t, base+"camera")
	require.True(t, message.Retain)
	var camera capture.Status
	require.NoError(t, json.Unmarshal(message.Payload, &camera))
	require.Equal(t, streaming.State, camera.State)
	require.EqualValues(t, 7, camera.Frames)

	var d diagnostics
	require.NoError(t, json.Unmarshal(l.last(t, base+"diagnostics").Payload, &d))
	require.Equal(t, 71.5, d.TemperatureC)
	require.Equal(t, []string{"under-voltage"}, d.Throttled)
	require.EqualValues(t, 3, d.Dropped)

	m.Status(capture.Status{State: capture.Missing, Error: "unplugged"})
	l.until(t, base+"camera", func(payload []byte) bool {
		return json.Unmarshal(payload, &camera) == nil && camera.State == capture.Missing
	})
	require.Equal(t, "unplugged", camera.Error)
}

// needed are keys that Home Assistant needs of each component.
var needed = map[string][]string{
	"sensor":        {"state_topic", "value_template"},
	"binary_sensor": {"state_topic", "value_template"},
	"image":         {"image_topic", "content_type"},
	"event":         {"state_topic", "event_types", "value_template"},
	"update":        {"state_topic", "value_template"},
}

// documented are further keys that it knows, of all components and of some.
var documented = map[string][]string{
	"": {"name", "unique_id", "device", "origin", "availability", "availability_mode", "entity_category", "icon",
		"json_attributes_topic", "json_attributes_template"},
	"sensor": {"device_class", "state_class", "unit_of_measurement", "suggested_display_precision"},
	"device": {"identifiers", "name", "model", "sw_version", "configuration_url"},
}

func TestHomeAssistantDiscovery(t *testing.T) {
	b := newBroker(t, "allow_anonymous true").start()
	o := Options{
		URL: b.url(), Version: "1.2", Snapshots: time.Second, Discovery: "home/assistant", Watch: []string{"tabby", "persian cat", "n02123045", "unicorn"},
		Page: "http://192.0.2.7:8080", Update: func(context.Context, string, string) error { return nil },
	}
	open(t, o)
	l := b.listen() // after them: they are retained
	topics, ids := map[string]bool{}, map[string]bool{}
	for _, e := range entities(&target{id: "kitchen", discovery: "home/assistant"}, []string{"tabby", "Persian cat"}) {
		topic := "home/assistant/" + e.component + "/kitchen/" + e.object + "/config"
		message := l.last(t, topic)
		require.True(t, message.Retain, topic)
		require.Less(t, len(message.Payload), 2000, "some brokers take no long ones")
		var got map[string]any
		require.NoError(t, json.Unmarshal(message.Payload, &got), topic)
		for _, key := range append([]string{"name", "unique_id", "availability", "availability_mode"}, needed[e.component]...) {
			require.NotEmpty(t, got[key], "%s: %s", topic, key)
		}
		require.Subset(t, slices.Concat(needed[e.component], documented[""], documented[e.component]), slices.Collect(maps.Keys(got)), topic)
		device := got["device"].(map[string]any)
		require.Subset(t, documented["device"], slices.Collect(maps.Keys(device)))
		require.Equal(t, map[string]any{"name": "edge-classify", "sw_version": "1.2"}, got["origin"])
		require.Equal(t, []any{"kitchen"}, device["identifiers"])
		require.Equal(t, "1.2", device["sw_version"])
		require.Equal(t, "http://192.0.2.7:8080", device["configuration_url"])
		require.Equal(t, "edge-classify/kitchen/availability", got["availability"].([]any)[0].(map[string]any)["topic"])
		topics[topic], ids[got["unique_id"].(string)] = true, true
	}
	require.Len(t, topics, 12)
	require.Len(t, ids, 12)
	require.Contains(t, topics, "home/assistant/sensor/kitchen/label/config")
	require.Contains(t, topics, "home/assistant/image/kitchen/picture/config")
	require.Contains(t, topics, "home/assistant/binary_sensor/kitchen/watched_tabby/config")
	require.Contains(t, topics, "home/assistant/update/kitchen/update/config")
	l.wait(t, "kitchen/availability", "online")
	require.Len(t, l.all("/config"), 12)
}

func TestWithoutDiscovery(t *testing.T) {
	b := newBroker(t, "allow_anonymous true").start()
	l := b.listen()
	open(t, Options{URL: b.url(), Watch: []string{"tabby"}})
	l.wait(t, "availability", "online")
	require.Empty(t, l.all("/config"))
	require.NotEmpty(t, l.all("/kitchen/watched/tabby"))
}

// Without pictures the entity of an earlier start goes away.
func TestPictureEntityIsRemoved(t *testing.T) {
	b := newBroker(t, "allow_anonymous true").start()
	l := b.listen()
	m := open(t, Options{URL: b.url(), Discovery: "ha"})
	require.Empty(t, l.last(t, "ha/image/kitchen/picture/config").Payload)
	require.Empty(t, l.last(t, "ha/update/kitchen/update/config").Payload)
	m.Result(seen, frameOf(capture.NV12))
	l.last(t, "/result")
	require.Empty(t, l.all("/picture"))
}

// The templates are Jinja, as Home Assistant's are.
func TestTemplates(t *testing.T) {
	python := testneed.Python(t, "apt-get install python3-jinja2", "jinja2")
	byName := map[string]entity{}
	for _, e := range entities(&target{id: "kitchen"}, []string{"tabby"}) {
		byName[e.object] = e
	}
	throttled, err := json.Marshal(newDiagnostics(9.5, &stream.Result{TemperatureC: 71.5, Throttled: []string{"a", "b"}}))
	require.NoError(t, err)
	calm, err := json.Marshal(newDiagnostics(9.5, &stream.Result{}))
	require.NoError(t, err)
	result, err := json.Marshal(seen)
	require.NoError(t, err)
	event, err := json.Marshal(stream.Event{Label: "tabby", Kind: stream.Start, Prob: 0.5})
	require.NoError(t, err)
	camera, err := json.Marshal(capture.Status{State: capture.Stalled})
	require.NoError(t, err)
	state := func(s modelState) string {
		s.Model, s.SHA256, s.Kernel = "pets", pets.SHA256, "portable"
		text, err := json.Marshal(s)
		require.NoError(t, err)
		return string(text)
	}
	const runs = `"in_progress": false, "installed_version": "0123456789ab", "latest_version": `
	label, sight, update := byName["label"], byName["watched_tabby"], byName["update"].ValueTemplate
	type check struct{ Template, Value, want string }
	checks := []check{
		{label.ValueTemplate, string(result), "tabby"},
		{label.ValueTemplate, `{"top":[]}`, "None"},
		{label.ValueTemplate, `{"top":null}`, "None"},
		{label.AttributesTemplate, string(result), `{"age_ms": 0, "id": "n02123045", "probability": 0.934}`},
		{label.AttributesTemplate, `{"top":[]}`, "{}"},
		{label.Availability[1].Template, string(camera), "offline"},
		{label.Availability[1].Template, `{"state":"streaming"}`, "online"},
		{byName["camera"].ValueTemplate, string(camera), "stalled"},
		{byName["watched"].ValueTemplate, string(event), `{"event_type": "start", "label": "tabby", "probability": 0.5}`},
		{sight.ValueTemplate, string(event), "ON"},
		{sight.ValueTemplate, strings.Replace(string(event), "start", "end", 1), "OFF"},
		{sight.AttributesTemplate, string(event), `{"label": "tabby", "probability": 0.5, "since": "0001-01-01T00:00:00Z"}`},
		{sight.Availability[1].Template, string(camera), "offline"},
		{byName["model"].ValueTemplate, state(modelState{State: idle}), "pets 01234567"},
		{update, state(modelState{State: idle}), `{` + runs + `"0123456789ab", "title": "pets"}`},
		{update, state(modelState{State: installed, Wanted: "ffff"}), `{` + runs + `"0123456789ab", "title": "pets"}`},
		{update, state(modelState{State: failed}), `{` + runs + `"0123456789ab", "title": "pets"}`},
		{update, state(modelState{State: failed, Wanted: "ffffffffffffffff"}), `{` + runs + `"ffffffffffff", "title": "pets"}`},
		{update, state(modelState{State: downloading, Wanted: "ffff"}), `{"in_progress": true, "installed_version": "0123456789ab", "latest_version": "ffff", "title": "pets"}`},
		{byName["fps"].ValueTemplate, string(calm), "9.5"},
		{byName["dropped"].ValueTemplate, string(calm), "0"},
		{byName["temperature"].ValueTemplate, string(throttled), "71.5"},
		{byName["temperature"].ValueTemplate, string(calm), "None"},
		{byName["throttled"].ValueTemplate, string(throttled), "a, b"},
		{byName["throttled"].ValueTemplate, string(calm), "no"},
	}
	const render = `
import json, sys, jinja2
e = jinja2.Environment()
e.filters["tojson"] = lambda v: json.dumps(v, sort_keys=True)
print(json.dumps([e.from_string(c["Template"]).render(value_json=json.loads(c["Value"])) for c in json.load(sys.stdin)]))`
	input, err := json.Marshal(checks)
	require.NoError(t, err)
	renderer := exec.Command(python, "-c", render)
	renderer.Stdin = bytes.NewReader(input)
	out, err := renderer.CombinedOutput()
	require.NoError(t, err, string(out))
	var got []string
	require.NoError(t, json.Unmarshal(out, &got))
	for i, c := range checks {
		require.Equal(t, c.want, got[i], c.Template)
	}
}

func TestCloseSaysOffline(t *testing.T) {
	b := newBroker(t, "allow_anonymous true").start()
	l := b.listen()
	m := open(t, Options{URL: b.url()})
	l.wait(t, "availability", "online")
	start := time.Now()
	require.NoError(t, m.Close())
	require.Less(t, time.Since(start), patience/2, "a wait for the broker would take all of it")
	l.wait(t, "availability", "offline")
	require.NoError(t, m.Close())
}

// TestKilledDevice is the device that TestLastWill kills.
func TestKilledDevice(t *testing.T) {
	url := os.Getenv("FLEET_TEST_DEVICE")
	if url == "" {
		t.Skip("runs within TestLastWill")
	}
	open(t, Options{URL: url})
	time.Sleep(time.Minute)
}

func TestLastWill(t *testing.T) {
	b := newBroker(t, "allow_anonymous true").start()
	l := b.listen()
	device := exec.Command(os.Args[0], "-test.run", "^TestKilledDevice$")
	device.Env = append(os.Environ(), "FLEET_TEST_DEVICE="+b.url())
	require.NoError(t, device.Start())
	l.wait(t, "availability", "online")
	require.NoError(t, device.Process.Kill())
	_ = device.Wait()
	l.wait(t, "availability", "offline")
	require.True(t, l.last(t, "availability").Retain)
}

func TestBrokerRestart(t *testing.T) {
	var lines logs
	b := newBroker(t, "allow_anonymous true").start()
	m := open(t, Options{URL: b.url(), Log: lines.logger(), Discovery: "homeassistant"})
	m.Status(streaming)
	b.listen().wait(t, "availability", "online")
	b.stop()
	require.Eventually(t, func() bool { return lines.count("no connection") == 1 }, soon, time.Millisecond)
	m.Event(stream.Event{Label: "while away", Kind: stream.Start}, nil)
	time.Sleep(1200 * time.Millisecond) // some attempts fail
	b.start()
	l := b.listen()
	l.wait(t, "availability", "online")
	require.Contains(t, string(l.last(t, "kitchen/camera").Payload), "streaming")
	require.NotEmpty(t, l.last(t, "label/config").Payload)
	require.Contains(t, string(l.last(t, "event").Payload), "while away")
	m.Result(seen, frameOf(capture.YUYV))
	l.last(t, "result")
	require.Equal(t, 1, lines.count("no connection"), "once, not per attempt")
	require.Equal(t, 2, lines.count("mqtt: connected"))
}

func TestBrokerThatComesLater(t *testing.T) {
	var lines logs
	b := newBroker(t, "allow_anonymous true")
	start := time.Now()
	open(t, Options{URL: b.url(), Log: lines.logger()})
	require.Less(t, time.Since(start), firstAttempt, "nobody waits for it")
	require.Eventually(t, func() bool { return lines.count("no connection") == 1 }, soon, time.Millisecond)
	b.start().listen().wait(t, "availability", "online")
}

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	b := newBroker(t, a.server(time.Now().Add(time.Hour))...).start()
	url := "mqtts://" + b.address() + "/kitchen"
	var lines logs
	open(t, Options{URL: url, CA: a.caFile, Log: lines.logger()})
	require.Eventually(t, func() bool { return lines.count("mqtt: connected") == 1 }, soon, time.Millisecond)

	for want, o := range map[string]Options{
		"give the certificate of the authority": {URL: url},
		"wanted to match localhost":             {URL: "mqtts://localhost:" + b.port, CA: a.caFile},
	} {
		_, err := Connect(t.Context(), o)
		require.ErrorContains(t, err, want)
	}
	_, err := Connect(t.Context(), Options{URL: "mqtts" + answering(t, func(c net.Conn) { _, _ = c.Write([]byte("220 mail\r\n")) })[len("mqtt"):], CA: a.caFile})
	require.ErrorContains(t, err, "this port takes no TLS: write mqtt://")
}

// A URL that says TLS where there is none, or the other way round, ends in an
// error that says what to write.
func TestMistakenTLS(t *testing.T) {
	a := newAuthority(t)
	secure := newBroker(t, a.server(time.Now().Add(time.Hour))...).start()
	plain := newBroker(t, "allow_anonymous true").start()
	for want, o := range map[string]Options{
		"write mqtts://":                    {URL: secure.url()},
		"write mqtt:// instead of mqtts://": {URL: "mqtts://" + plain.address() + "/kitchen", CA: a.caFile},
	} {
		var lines logs
		o.Log = lines.logger()
		m, err := Connect(t.Context(), o)
		if err != nil {
			require.ErrorContains(t, err, want)
			continue
		}
		require.Eventually(t, func() bool { return lines.count(want) == 1 }, soon, time.Millisecond, &lines)
		require.NoError(t, m.Close())
	}
	_, err := Connect(t.Context(), Options{URL: answering(t, func(c net.Conn) { _, _ = c.Write([]byte{0x15, 3, 3, 0, 2, 2, 70}) })})
	require.ErrorContains(t, err, "it answers in TLS: write mqtts:// instead of mqtt://")
}

func TestReadablePassword(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has other rights")
	}
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("secret\n"), 0o600))
	for mode, count := range map[os.FileMode]int{0o640: 0, 0o644: 1} {
		var lines logs
		require.NoError(t, os.Chmod(file, mode))
		target, err := (&Options{URL: "mqtt://u@broker/a", PasswordFile: file, Log: lines.logger()}).target(fstest.MapFS{})
		require.NoError(t, err)
		require.Equal(t, "secret", target.password)
		require.Equal(t, count, lines.count("every user of this machine can get at the secret"), mode)
	}
}

// A board without a battery starts with a wrong clock: no reason to give up.
func TestExpiredCertificateIsTriedAgain(t *testing.T) {
	a := newAuthority(t)
	b := newBroker(t, a.server(time.Now().Add(-time.Hour))...).start()
	var lines logs
	open(t, Options{URL: "mqtts://" + b.address() + "/kitchen", CA: a.caFile, Log: lines.logger()})
	require.Eventually(t, func() bool { return lines.count("is this machine's clock right?") == 1 }, soon, time.Millisecond)
}

func TestPasswords(t *testing.T) {
	passwords := filepath.Join(t.TempDir(), "passwords")
	text, err := exec.Command(testneed.Program(t, "mosquitto_passwd", "apt-get install mosquitto"), "-b", "-c", passwords, "cam", "se/cret").CombinedOutput()
	require.NoError(t, err, string(text))
	b := newBroker(t, "allow_anonymous false", "password_file "+passwords).start()
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("se/cret\n"), 0o600))
	for _, o := range []Options{
		{URL: "mqtt://cam:se%2Fcret@" + b.address() + "/a"},
		{URL: "mqtt://cam@" + b.address() + "/b", Password: "se/cret"},
		{URL: "mqtt://cam:wrong@" + b.address() + "/c", Password: "wrong too", PasswordFile: file},
	} {
		var lines logs
		o.Log = lines.logger()
		open(t, o)
		require.Eventually(t, func() bool { return lines.count("mqtt: connected") == 1 }, soon, time.Millisecond)
	}
	for want, url := range map[string]string{
		`user "cam" is refused (not authorized): check user name and password`: "mqtt://cam:guess@" + b.address() + "/a",
		`user "" is refused`: "mqtt://" + b.address() + "/a",
	} {
		_, err := Connect(t.Context(), Options{URL: url})
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "guess")
	}
}

// Two devices with one ID are told so, by brokers that say what happened and
// by those that do not.
func TestTakenOver(t *testing.T) {
	var lines logs
	b := newBroker(t, "allow_anonymous true").start()
	open(t, Options{URL: b.url(), Log: lines.logger()})
	open(t, Options{URL: b.url()})
	require.Eventually(t, func() bool { return lines.count("if another client has the same ID") >= 1 }, soon, time.Millisecond)

	open(t, Options{Log: lines.logger(), URL: answering(t, func(c net.Conn) {
		acknowledges(c)
		_, _ = c.Write([]byte{0xe0, 1, 0x8e})
	})})
	require.Eventually(t, func() bool { return lines.count("session taken over: if another client has the same ID") >= 1 }, soon, time.Millisecond)
}

// A broker may refuse a topic, or a picture's size.
func TestRejectedMessages(t *testing.T) {
	acl := filepath.Join(t.TempDir(), "acl")
	require.NoError(t, os.WriteFile(acl, []byte("topic readwrite edge-classify/#\n"), 0o600))
	b := newBroker(t, "allow_anonymous true", "acl_file "+acl, "max_packet_size 700").start()
	var lines logs
	l := b.listen()
	m := open(t, Options{URL: b.url(), Log: lines.logger(), Snapshots: time.Nanosecond, Discovery: "homeassistant"})
	l.wait(t, "availability", "online")
	for range 3 {
		m.Result(seen, frameOf(capture.YUYV))
	}
	l.last(t, "result")
	require.Eventually(t, func() bool { return lines.count("kitchen/picture err=\"the broker does not take it: ") == 1 }, soon, time.Millisecond)
	require.Equal(t, 1, lines.count("topic=homeassistant/sensor/kitchen/fps/config"))
	require.Equal(t, 1, lines.count("mqtt: connected"))
}

// A broker may refuse subscriptions: what is published goes on.
func TestRejectedSubscriptions(t *testing.T) {
	var lines logs
	var online atomic.Int64
	m := open(t, Options{Log: lines.logger(), Update: func(context.Context, string, string) error { return nil }, URL: answering(t, func(c net.Conn) {
		for {
			p, err := packets.ReadPacket(c)
			if err != nil {
				return
			}
			id := p.PacketID()
			switch p.Type {
			case packets.CONNECT:
				_, _ = c.Write([]byte{packets.CONNACK << 4, 3, 0, 0, 0})
			case packets.SUBSCRIBE:
				_, _ = c.Write([]byte{packets.SUBACK << 4, 4, byte(id >> 8), byte(id), 0, 0x87})
			case packets.PUBLISH:
				_, _ = c.Write([]byte{packets.PUBACK << 4, 2, byte(id >> 8), byte(id)})
				if string(p.Content.(*packets.Publish).Payload) == "online" {
					online.Add(1)
				}
			}
		}
	})})
	const refused = "the broker does not let this device subscribe\" topic=edge-classify/kitchen/"
	reached := func(times int64) {
		require.Eventually(t, func() bool { return online.Load() == times }, soon, time.Millisecond, &lines)
		require.Equal(t, 2, lines.count(refused), "once each")
	}
	reached(1)
	m.Model(pets)
	reached(2)
}

// acknowledges reads a CONNECT, accepts it, and reads no more.
func acknowledges(c net.Conn) {
	_, _ = c.Read(make([]byte, 1024))
	_, _ = c.Write([]byte{0x20, 3, 0, 0, 0})
}

// A broker that hangs, before or after it has accepted the connection, costs
// the loop nothing.
func TestHangingBroker(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){"silent": func(net.Conn) {}, "reads no more": acknowledges} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		m, err := Connect(ctx, Options{URL: answering(t, serve), Results: time.Nanosecond, Snapshots: time.Nanosecond})
		require.NoError(t, err, name)
		frame, r := frameOf(capture.MJPEG), *seen
		frame.Data = make([]byte, 1<<20)
		worst := time.Duration(0)
		for range 200 {
			start := time.Now()
			m.Result(&r, frame)
			m.Event(stream.Event{Label: "x"}, nil)
			m.Status(capture.Status{State: capture.Streaming, Since: start})
			worst = max(worst, time.Since(start))
		}
		require.Less(t, worst, patience/2, "%s: a wait for the broker would take all of it", name)
		m.mu.Lock()
		require.LessOrEqual(t, len(m.events), maxEvents, name)
		m.mu.Unlock()
		start := time.Now()
		require.NoError(t, m.Close())
		require.Less(t, time.Since(start), patience/2, name)
	}
}

// A broker of an older protocol closes the connection, or answers with a code.
func TestOtherAnswers(t *testing.T) {
	var lines logs
	open(t, Options{URL: answering(t, func(c net.Conn) { c.Close() }), Log: lines.logger()})
	require.Eventually(t, func() bool { return lines.count("no connection") == 1 }, soon, time.Millisecond)
	for code, want := range map[byte]string{0x84: "unsupported protocol version", 0x85: "client identifier not valid", 0x8a: "banned"} {
		_, err := Connect(t.Context(), Options{URL: answering(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1024))
			_, _ = c.Write([]byte{0x20, 3, 0, code, 0})
		})})
		require.ErrorContains(t, err, want)
	}
	busy := open(t, Options{Log: lines.logger(), URL: answering(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1024))
		_, _ = c.Write([]byte{0x20, 3, 0, 0x89, 0})
	})})
	require.NotNil(t, busy)
	require.Eventually(t, func() bool { return lines.count("server busy") == 1 }, soon, time.Millisecond)
}

func TestBadOptions(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, []byte("no certificate"), 0o600))
	for want, o := range map[string]Options{
		"unknown scheme: want mqtt:// or mqtts://":          {URL: "http://u:secret@broker"},
		"mqtt: the broker's URL: it begins with mqtt:// or": {URL: "broker"},
		"it begins with mqtt://":                            {URL: "localhost:1883"},
		"for TLS, mqtts://, as mqtt://HOST":                 {URL: "mqtt:broker"},
		"as mqtt://HOST":                                    {URL: "u:secret@broker/id"},
		"write mqtt:// instead of tcp://":                   {URL: "TCP://broker:1883"},
		"write mqtts:// instead of ssl://":                  {URL: "ssl://broker:8883"},
		"wss:// is not spoken: take the broker's port":      {URL: "wss://broker/mqtt"},
		"no host: want mqtt://HOST":                         {URL: "mqtt://u:secret@"},
		"nothing may follow the ID":                         {URL: "mqtt://u:secret@broker/id?x=y"},
		"a / ? # or % in user or password":                  {URL: "mqtt://u:1secret#2@broker"},
		"written %2F %3F %23 or %25":                        {URL: "mqtt://u:1/secret@broker"},
		"or password is written %2F":                        {URL: "mqtts://u:1883?secret@broker/id"},
		"invalid port":                                      {URL: "mqtt://u:secret@broker:port"},
		"a % in user or password is written %25":            {URL: "mqtt://u:%secret@broker"},
		"net/url: invalid userinfo":                         {URL: "mqtt://u:sec ret@broker"},
		`device "a b": want 1 to 64 letters`:                {URL: "mqtt://broker/a b"},
		`device "a/+": want`:                                {URL: "mqtt://broker/a/+"},
		"mqtt: password: open ":                             {URL: "mqtt://u@broker/a", PasswordFile: "none"},
		"is of use with mqtts:// only":                      {URL: "mqtt://broker/a", CA: empty},
		"certificate authority: open ":                      {URL: "mqtts://broker/a", CA: "none"},
		"holds no certificate in PEM form":                  {URL: "mqtts://broker/a", CA: empty},
	} {
		_, err := o.target(fstest.MapFS{"etc/machine-id": {Data: []byte("0123\n")}})
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "sec")
	}
	_, err := (&Options{URL: "mqtt://broker"}).target(fstest.MapFS{})
	require.ErrorContains(t, err, "name the device in the URL, as mqtt://HOST/ID")
	_, err = Connect(t.Context(), Options{URL: "broker"})
	require.ErrorContains(t, err, "it begins with mqtt://")
}

func TestTargets(t *testing.T) {
	machine := fstest.MapFS{"etc/machine-id": {Data: []byte("0123\n")}}
	board := fstest.MapFS{"etc/machine-id": {Data: []byte("0123\n")}, "proc/device-tree/serial-number": {Data: []byte("10000000abcdef01\x00")}}
	first, err := (&Options{URL: "mqtt://broker"}).target(machine)
	require.NoError(t, err)
	require.Equal(t, "broker:1883", first.address)
	require.Nil(t, first.tls)
	require.Regexp(t, "^edge-classify-[0-9a-f]{8}$", first.id)
	second, err := (&Options{URL: "mqtts://u:p%23@[::1]:99/"}).target(board)
	require.NoError(t, err)
	require.Equal(t, "[::1]:99", second.address)
	require.Equal(t, "::1", second.tls.ServerName)
	require.Equal(t, "p#", second.password)
	require.NotEqual(t, first.id, second.id, "a copied card is another device")
	third, err := (&Options{URL: "mqtts://broker/kitchen"}).target(board)
	require.NoError(t, err)
	require.Equal(t, "broker:8883", third.address)
	require.Equal(t, "kitchen", third.id)
}
