package fleet

import (
	"encoding/json"

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
	result       string // stream.Result
	event        string // stream.Event
	picture      string // a JPEG file
	diagnostics  string // diagnostics
}

func topicsOf(id string) topics {
	base := "edge-classify/" + id + "/"
	return topics{
		availability: base + "availability", camera: base + "camera", result: base + "result",
		event: base + "event", picture: base + "picture", diagnostics: base + "diagnostics",
	}
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
// components sensor, image and event (home-assistant.io/integrations/mqtt).
type entity struct {
	component, object string // parts of the topic

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

// entities are the device's. What comes from the camera is available while it
// streams only: an old label is never shown as if it were what is seen now.
func entities(t *target) []entity {
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
	watched := entity{component: "event", object: "watched", Name: "Watched label", Availability: connected, Icon: "mdi:eye",
		StateTopic: where.event, EventTypes: []string{stream.Start, stream.End},
		ValueTemplate: "{{ {'event_type': value_json.event, 'label': value_json.label, 'probability': value_json.prob} | tojson }}"}
	picture := entity{component: "image", object: "picture", Name: "Picture", Availability: streaming,
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

	list := []entity{label, watched, picture, camera, fps, dropped, temperature, throttled}
	for i := range list {
		e := &list[i]
		e.UniqueID, e.Device, e.AvailabilityMode = t.id+"_"+e.object, t.device, "all"
		e.Origin = origin{"edge-classify", t.device.Version}
	}
	return list
}

func (e *entity) topic(t *target) string {
	return t.discovery + "/" + e.component + "/" + t.id + "/" + e.object + "/config"
}

// payload is the message; an empty one removes the entity.
func (e *entity) payload(wanted bool) ([]byte, error) {
	if !wanted {
		return nil, nil
	}
	return json.Marshal(e)
}
