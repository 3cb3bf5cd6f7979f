package capture

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// rtsp opens a camera in the network whose video FFmpeg decodes.
type rtsp struct {
	at       address
	o        Options
	messages messages
}

func openRTSP(text string, o Options) (opener, error) {
	at, err := parseAddress(text, o)
	if err != nil {
		return nil, err
	}
	o.Width += o.Width % 2
	o.Height += o.Height % 2
	r := &rtsp{at: at, o: o, messages: messages{log: o.Log, hide: at.hide()}}
	return r.open, nil
}

func (r *rtsp) open(ctx context.Context) (session, Status, error) {
	program, err := exec.LookPath("ffmpeg")
	if err != nil {
		return nil, Status{}, errors.New("rtsp:// needs ffmpeg, which is not installed: sudo apt install ffmpeg; " +
			"many cameras also have a stream of JPEG files at an http:// address, which needs nothing")
	}
	r.messages.program = fmt.Sprintf("%v (%s)", r.at, program)
	layout := Frame{Format: I420, Width: r.o.Width, Height: r.o.Height, Stride: r.o.Width}
	return runProgram(ctx, r.command(program), &r.messages, content{device: r.at.String(), layout: layout, fps: r.o.FPS})
}

// command writes frames to standard output. The address goes to standard
// input, as a list of one file: arguments show in the list of processes.
//
// Frames are scaled until they cover the wanted size, and cut to it.
func (r *rtsp) command(program string) *exec.Cmd {
	w, h := strconv.Itoa(r.o.Width), strconv.Itoa(r.o.Height)
	filter := "scale=" + w + ":" + h + ":force_original_aspect_ratio=increase:out_color_matrix=bt601:out_range=limited,crop=" + w + ":" + h
	if r.o.FPS > 0 {
		filter = "fps=" + strconv.FormatFloat(r.o.FPS, 'f', -1, 64) + "," + filter
	}
	cmd := exec.Command(program, "-hide_banner", "-nostats", "-loglevel", "level+warning",
		"-fflags", "nobuffer", "-flags", "low_delay",
		"-f", "concat", "-safe", "0", "-protocol_whitelist", "pipe,rtsp,rtsps,rtp,tcp,udp,tls,crypto,http,https", "-i", "pipe:0",
		"-an", "-sn", "-dn", "-vf", filter, "-pix_fmt", "yuv420p", "-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1")
	quoted := "'" + strings.ReplaceAll(r.at.full(), "'", `'\''`) + "'"
	cmd.Stdin = strings.NewReader(fmt.Sprintf("ffconcat version 1.0\nfile %s\noption rtsp_transport tcp\noption timeout %d\noption fflags nobuffer\n",
		quoted, feedPatience.Microseconds()/2))
	return cmd
}
