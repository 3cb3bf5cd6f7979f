package capture

import "fmt"

// openAuto opens the first USB camera that works, else the first CSI camera,
// and stays with what it has found.
func openAuto(o Options) opener {
	usb, csi := newUSB(kernel{}, "", o).open, newCSI(0, o).open
	return firstOf(usb, csi)
}

func firstOf(usb, csi opener) opener {
	var chosen opener
	return func() (session, Status, error) {
		if chosen != nil {
			return chosen()
		}
		s, status, usbErr := usb()
		if usbErr == nil {
			chosen = usb
			return s, status, nil
		}
		s, status, csiErr := csi()
		if csiErr == nil {
			chosen = csi
			return s, status, nil
		}
		return nil, Status{}, fmt.Errorf("found no camera. USB: %w. CSI: %w", usbErr, csiErr)
	}
}
