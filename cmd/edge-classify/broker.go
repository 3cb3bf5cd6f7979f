package main

import (
	"context"
	"flag"
	"time"

	"edgeclassify/classify"
	"edgeclassify/fleet"
	"edgeclassify/internal/cli"
)

// brokerOptions are of an MQTT broker.
type brokerOptions struct {
	url, passwordFile, authority string
	discovery                    string
	pictures                     time.Duration
	update                       bool
}

func (*brokerOptions) title() string { return "MQTT" }

func (o *brokerOptions) flags(f *flag.FlagSet) {
	f.StringVar(&o.url, "mqtt", "", "publish to the broker at `URL`, mqtt[s]://[USER[:PASSWORD]@]HOST[:PORT][/ID]")
	f.StringVar(&o.passwordFile, "mqtt-password-file", "", "read the broker's password from `FILE`")
	f.StringVar(&o.authority, "mqtt-ca", "", "trust the certificate authorities in `FILE` instead of the system's")
	f.StringVar(&o.discovery, "mqtt-discovery", "homeassistant", "tell Home Assistant of the device under the topic `PREFIX`; empty tells nothing")
	f.BoolVar(&o.update, "mqtt-update", false, "take up the model that topic edge-classify/ID/model/set names: whoever may publish there chooses it")
	f.DurationVar(&o.pictures, "mqtt-pictures", time.Minute, "publish a picture every `TIME` at most; 0 publishes none")
}

func (o *brokerOptions) check() error {
	switch {
	case o.url == "" && (o.passwordFile != "" || o.authority != "" || o.update):
		return cli.Usagef("-mqtt-password-file, -mqtt-ca and -mqtt-update are of use with -mqtt only")
	case o.pictures < 0:
		return cli.Usagef("-mqtt-pictures %v: want 0 or more", o.pictures)
	}
	return nil
}

func (o *brokerOptions) open(ctx context.Context, all *options, _ *classify.Model, out *outputs) error {
	if o.url == "" {
		return nil
	}
	options := fleet.Options{
		URL: o.url, PasswordFile: o.passwordFile, CA: o.authority, Discovery: o.discovery, Watch: all.watch, Page: out.page,
		Version: cli.Version(), Snapshots: o.pictures, Log: out.log,
	}
	if o.update {
		u, err := newUpdater(all.model, out.models, o.authority)
		if err != nil {
			return err
		}
		options.Update = u.update
	}
	broker, err := fleet.Connect(ctx, options)
	if err != nil {
		return err
	}
	out.add(broker)
	return nil
}
