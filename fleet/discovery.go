package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/url"
	"regexp"
	"strings"

	"edgeclassify/stream"
)

// Payloads of the topic availability.
const (
	online  = "online"
	offline = "offline"
)

// topics are where a device publishes.
type topics struct {
	availability string // online or offline; retained
	camera       string // capture.Status; retained
	result       string // stream.Result; retained
	event        string // stream.Event
	watched      string // and a label's slug: its last stream.Event; retained
	picture      string // a JPEG file
	diagnostics  string // diagnostics
	model        string // modelState; retained
	setModel     string // order, from the broker
}

func topicsOf(id string) topics {
	base := "edge-classify/" + id + "/"
	return topics{
		availability: base + "availability", camera: base + "camera", result: base + "result",
		event: base + "event", watched: base + "watched/", picture: base + "picture", diagnostics: base + "diagnostics",
		model: base + "model/state", setModel: base + "model/set",
	}
}

// validSlug is what slugOf makes.
var validSlug = regexp.MustCompile(`^[a-z0-9_]{1,39}$`)

// slugOf is a label as a part of topics, with some digits of its hash where it has
// to be changed.
func slugOf(label string) string {
	slug := strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, label)
	slug = slug[:min(len(slug), 32)]
	if slug != label || slug == "" {
		sum := sha256.Sum256([]byte(label))
		slug += "_" + hex.EncodeToString(sum[:3])
	}
	return slug
}

// diagnostics are how the device is.
type diagnostics struct {
	FPS          float64  `json:"fps"` // results per second since the last diagnostics
	AgeMS        float64  `json:"age_ms"`
	Dropped      uint64   `json:"dropped"`
	TemperatureC float64  `json:"temperature_c,omitempty"`
	Throttled    []string `json:"throttled,omitempty"`
}

func newDiagnostics(perSecond float64, r *stream.Result) diagnostics {
	return diagnostics{FPS: perSecond, AgeMS: r.AgeMS, Dropped: r.Dropped, TemperatureC: r.TemperatureC, Throttled: r.Throttled}
}

// device is what Home Assistant shows the entities under.
type device struct {
	Identifiers []string `json:"identifiers"`
	Name        string   `json:"name"`
	Model       string   `json:"model,omitempty"`
	Version     string   `json:"sw_version,omitempty"`
	Page        string   `json:"configuration_url,omitempty"`
}

type origin struct {
	Name    string `json:"name"`
	Version string `json:"sw_version,omitempty"`
}

// available says when an entity is to be believed.
type available struct {
	Topic    string `json:"topic"`
	Template string `json:"value_template,omitempty"`
}

// entity is a discovery message of Home Assistant, with the keys of its MQTT
// components sensor, binary_sensor, image, event and update
// (home-assistant.io/integrations/mqtt).
type entity struct {
	component, object string // parts of the topic
	gone              bool   // not wanted any more

	Name               string      `json:"name"`
	UniqueID           string      `json:"unique_id"`
	Device             device      `json:"device"`
	Origin             origin      `json:"origin"`
	Availability       []available `json:"availability"`
	AvailabilityMode   string      `json:"availability_mode"`
	StateTopic         string      `json:"state_topic,omitempty"`
	ValueTemplate      string      `json:"value_template,omitempty"`
	AttributesTopic    string      `json:"json_attributes_topic,omitempty"`
	AttributesTemplate string      `json:"json_attributes_template,omitempty"`
	ImageTopic         string      `json:"image_topic,omitempty"`
	ContentType        string      `json:"content_type,omitempty"`
	EventTypes         []string    `json:"event_types,omitempty"`
	Category           string      `json:"entity_category,omitempty"`
	DeviceClass        string      `json:"device_class,omitempty"`
	StateClass         string      `json:"state_class,omitempty"`
	Unit               string      `json:"unit_of_measurement,omitempty"`
	Precision          *int        `json:"suggested_display_precision,omitempty"`
	Icon               string      `json:"icon,omitempty"`
}

// labelTemplate is the label or, where classes are independent, all that are more
// likely than not: a state has at most 255 characters.
const labelTemplate = "{% if value_json.independent | default(false) %}" +
	"{{ (value_json.top | selectattr('prob', 'ge', 0.5) | map(attribute='label') | join(', ') or 'none')[:255] }}" +
	"{% else %}{{ value_json.top[0].label if value_json.top else none }}{% endif %}"

// updateTemplate shows what model/set asks for as the latest version until it is
// there. Versions are the first digits of checksums.
const updateTemplate = "{% set wanted = value_json.wanted | default(value_json.sha256) if value_json.state in ('downloading', 'failed') else value_json.sha256 %}" +
	"{{ {'installed_version': value_json.sha256[:12], 'latest_version': wanted[:12], 'title': value_json.model, " +
	"'in_progress': value_json.state == 'downloading'} | tojson }}"

// entities are the device's, with those of watched labels. What comes from the
// camera is available while it streams only: an old label is never shown as if it
// were what is seen now.
func entities(t *target, watched []string) []entity {
	where := topicsOf(t.id)
	connected := []available{{Topic: where.availability}}
	streaming := append(connected, available{where.camera, "{{ 'online' if value_json.state == 'streaming' else 'offline' }}"})
	one := 1
	sensor := func(object, name, template string) entity {
		return entity{component: "sensor", object: object, Name: name, StateTopic: where.diagnostics, ValueTemplate: template,
			Availability: streaming, Category: "diagnostic"}
	}
	label := entity{component: "sensor", object: "label", Name: "Label", Availability: streaming, Icon: "mdi:image-search",
		StateTopic: where.result, ValueTemplate: labelTemplate,
		AttributesTopic:    where.result,
		AttributesTemplate: "{{ {'probability': value_json.top[0].prob, 'id': value_json.top[0].id, 'age_ms': value_json.age_ms} | tojson if value_json.top else '{}' }}"}
	event := entity{component: "event", object: "watched", Name: "Watched label", Availability: connected, Icon: "mdi:eye",
		StateTopic: where.event, EventTypes: []string{stream.Start, stream.End},
		ValueTemplate: "{{ {'event_type': value_json.event, 'label': value_json.label, 'probability': value_json.prob} | tojson }}"}
	picture := entity{component: "image", object: "picture", gone: !t.pictures, Name: "Picture", Availability: streaming,
		ImageTopic: where.picture, ContentType: "image/jpeg"}
	camera := sensor("camera", "Camera", "{{ value_json.state }}")
	camera.StateTopic, camera.AttributesTopic, camera.Availability, camera.Icon = where.camera, where.camera, connected, "mdi:camera"
	fps := sensor("fps", "Results per second", "{{ value_json.fps }}")
	fps.Unit, fps.StateClass, fps.Precision, fps.Icon = "1/s", "measurement", &one, "mdi:speedometer"
	dropped := sensor("dropped", "Dropped frames", "{{ value_json.dropped }}")
	dropped.StateClass, dropped.Icon = "total_increasing", "mdi:filmstrip-off"
	temperature := sensor("temperature", "Temperature", "{{ value_json.temperature_c | default(none) }}")
	temperature.Unit, temperature.DeviceClass, temperature.StateClass, temperature.Precision = "°C", "temperature", "measurement", &one
	throttled := sensor("throttled", "Throttled", "{{ value_json.throttled | default([]) | join(', ') or 'no' }}")
	throttled.Icon = "mdi:speedometer-slow"

	model := sensor("model", "Model", "{{ value_json.model }} {{ value_json.sha256[:8] }}")
	model.StateTopic, model.AttributesTopic, model.Availability, model.Icon = where.model, where.model, connected, "mdi:brain"
	update := entity{component: "update", object: "update", gone: !t.update, Name: "Model update", Availability: connected,
		Category: "diagnostic", StateTopic: where.model, ValueTemplate: updateTemplate}

	list := []entity{label, event, picture, camera, fps, dropped, temperature, throttled, model, update}
	for _, name := range watched {
		list = append(list, entity{component: "binary_sensor", object: objectOf(slugOf(name)), Name: name, Availability: streaming, Icon: "mdi:eye",
			StateTopic: where.watched + slugOf(name), ValueTemplate: "{{ 'ON' if value_json.event == 'start' else 'OFF' }}",
			AttributesTopic:    where.watched + slugOf(name),
			AttributesTemplate: "{{ {'label': value_json.label, 'probability': value_json.prob, 'since': value_json.time} | tojson }}"})
	}
	for i := range list {
		e := &list[i]
		e.UniqueID, e.Device, e.AvailabilityMode = t.id+"_"+e.object, t.device, "all"
		e.Origin = origin{"edge-classify", t.device.Version}
	}
	return list
}

// objectOf is a watched label's part of the topic.
func objectOf(slug string) string { return "watched_" + slug }

func (e *entity) topic(t *target) string {
	return t.discovery + "/" + e.component + "/" + t.id + "/" + e.object + "/config"
}

// payload is the message; an empty one removes the entity.
func (e *entity) payload() ([]byte, error) {
	if e.gone {
		return nil, nil
	}
	return json.Marshal(e)
}

// pageFrom is the page's URL for others on the network, empty if there is none.
// Where it has no host that is this machine as the broker sees it, or as the
// network does if the broker runs here.
func pageFrom(page string, local net.Addr) string {
	u, err := url.Parse(page)
	if err != nil || page == "" || u.Hostname() != "" {
		return page
	}
	tcp, ok := local.(*net.TCPAddr)
	ip := net.IPv4zero
	if ok {
		ip = tcp.IP
	}
	if !ip.IsGlobalUnicast() {
		conn, err := net.Dial("udp", "192.0.2.1:9") // an example's address: nothing is sent, but a route is found
		if err != nil {
			return ""
		}
		defer conn.Close()
		ip = conn.LocalAddr().(*net.UDPAddr).IP
	}
	u.Host = net.JoinHostPort(ip.String(), u.Port())
	return u.String()
}
