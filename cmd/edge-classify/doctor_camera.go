package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"edgeclassify/capture"
)

const (
	cameraPatience = 10 * time.Second // for the first frame
	cameraTime     = 2 * time.Second  // of frames to look at
	slowCamera     = 0.8              // of the rate that was agreed to
	oldFrame       = 500 * time.Millisecond
)

// checkCameras looks at all cameras without taking frames.
func checkCameras() []check {
	devices, err := capture.List()
	var checks []check
	if err != nil {
		checks = append(checks, failure("cameras", err.Error(), "install or repair the camera software: sudo apt install rpicam-apps"))
	}
	for _, d := range devices {
		found := fmt.Sprintf("%s: %s, %s", d.Camera, d.Name, count(len(d.Formats), "format"))
		if d.Problem != "" {
			checks = append(checks, warning("camera", found, d.Problem))
		} else {
			checks = append(checks, fine("camera", found))
		}
	}
	if len(checks) == 0 {
		return []check{fine("cameras", "none; -camera test works without one")}
	}
	return checks
}

// checkFrames takes frames from one camera.
func checkFrames(ctx context.Context, spec string, o capture.Options) check {
	camera, err := capture.Open(ctx, spec, o)
	if err != nil {
		return failure("frames", err.Error(), "'edge-classify cameras' lists those of this machine")
	}
	defer camera.Close()
	frames, age, err := watchFrames(ctx, camera)
	s := camera.Status()
	if err != nil {
		return failure("frames", fmt.Sprintf("%s: none: %s", s.Device, cmp.Or(s.Error, err.Error())), "look at cable, plug and lens cap, and at the kernel's messages: dmesg | tail")
	}
	return judgeFrames(s, float64(frames)/cameraTime.Seconds(), age)
}

// watchFrames counts frames for a while, from the first one on, and finds the
// greatest age at which one came.
func watchFrames(ctx context.Context, camera capture.Camera) (frames uint64, age time.Duration, err error) {
	waiting, stop := context.WithTimeout(ctx, cameraPatience)
	defer stop()
	if _, err := camera.Next(waiting); err != nil {
		return 0, 0, err
	}
	ctx, stop = context.WithTimeout(ctx, cameraTime)
	defer stop()
	for {
		f, err := camera.Next(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return frames, age, nil
		}
		if err != nil {
			return frames, age, err
		}
		frames, age = frames+1, max(age, time.Since(f.Time))
	}
}

func judgeFrames(s capture.Status, fps float64, age time.Duration) check {
	found := fmt.Sprintf("%s: %s %dx%d at %.1f fps, at most %.0f ms old, %d dropped, %d corrupt",
		s.Device, s.Format, s.Width, s.Height, fps, ms(age), s.Dropped, s.Corrupt)
	switch {
	case s.Corrupt > 0:
		return warning("frames", found, "damaged frames: try another cable or port, without a hub")
	case fps < slowCamera*s.FPS:
		return warning("frames", found, fmt.Sprintf("the camera agreed to %.1f fps: more light shortens its exposure, a smaller -size or MJPEG needs less of the bus", s.FPS))
	case age > oldFrame:
		return warning("frames", found, "frames come late: this machine is busy, or the camera's clock is wrong")
	}
	return fine("frames", found)
}
