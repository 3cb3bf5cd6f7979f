package capture

import (
	"context"
	"fmt"
)

// openAuto opens the first USB camera that works, else the first CSI camera,
// and stays with what it has found.
func openAuto(_ string, o Options) (opener, error) {
	csi, err := newCSI(0, o)
	if err != nil {
		return nil, err
	}
	return firstOf(newUSB(kernel{}, "", o).open, csi.open), nil
}

func firstOf(usb, csi opener) opener {
	var chosen opener
	return func(ctx context.Context) (session, Status, error) {
		if chosen != nil {
			return chosen(ctx)
		}
		s, status, usbErr := usb(ctx)
		if usbErr == nil {
			chosen = usb
			return s, status, nil
		}
		s, status, csiErr := csi(ctx)
		if csiErr == nil {
			chosen = csi
			return s, status, nil
		}
		return nil, Status{}, fmt.Errorf("found no camera. USB: %w. CSI: %w", usbErr, csiErr)
	}
}
