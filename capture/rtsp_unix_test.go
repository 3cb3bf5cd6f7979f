//go:build unix

package capture

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"edgeclassify/internal/syncbuffer"

	"github.com/icholy/digest"
	"github.com/stretchr/testify/require"

	"edgeclassify/internal/testneed"
)

// rtspCamera sends an MPEG transport stream over RTP (RFC 2250) in RTSP's own
// connection (RFC 2326) to who knows the password.
type rtspCamera struct {
	net.Listener
	video  []byte
	realm  string
	mu     sync.Mutex
	conns  []net.Conn
	logins int
}

const rtspUser, rtspPassword = "admin", "pa#ss:w'ord"

func newRTSPCamera(t *testing.T, address string, video []byte) *rtspCamera {
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	c := &rtspCamera{Listener: l, video: video, realm: "camera"}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.conns = append(c.conns, conn)
			c.mu.Unlock()
			go c.serve(conn)
		}
	}()
	t.Cleanup(c.unplug)
	return c
}

func (c *rtspCamera) unplug() {
	c.Listener.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
}

func (c *rtspCamera) serve(conn net.Conn) {
	defer conn.Close()
	r := textproto.NewReader(bufio.NewReader(conn))
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		header, err := r.ReadMIMEHeader()
		if err != nil {
			return
		}
		method, rest, _ := strings.Cut(line, " ")
		uri, _, _ := strings.Cut(rest, " ")
		status, more, body := "200 OK", "", ""
		switch {
		case !c.allows(method, uri, header.Get("Authorization")):
			status, more = "401 Unauthorized", `WWW-Authenticate: Digest realm="camera", nonce="0123"`+"\r\n"
		case method == "OPTIONS":
			more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
		case method == "DESCRIBE":
			body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track1\r\n"
			more = fmt.Sprintf("Content-Type: application/sdp\r\nContent-Base: %s/\r\nContent-Length: %d\r\n", uri, len(body))
		case method == "SETUP":
			more = "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
		case method == "PLAY":
			more = "Session: 1\r\n"
		case method == "TEARDOWN":
			return
		}
		fmt.Fprintf(conn, "RTSP/1.0 %s\r\nCSeq: %s\r\n%s\r\n%s", status, header.Get("CSeq"), more, body)
		if method == "PLAY" && status == "200 OK" {
			go c.play(conn)
		}
	}
}

func (c *rtspCamera) allows(method, uri, authorization string) bool {
	given, err := digest.ParseCredentials(authorization)
	if err != nil {
		return method == "OPTIONS"
	}
	want, err := digest.Digest(&digest.Challenge{Realm: c.realm, Nonce: "0123"},
		digest.Options{Method: method, URI: uri, Username: rtspUser, Password: rtspPassword})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logins++
	return err == nil && given.Response == want.Response
}

// play sends the video over and over, four times as fast as it is to be seen.
func (c *rtspCamera) play(conn net.Conn) {
	const packet = 7 * 188
	began := time.Now()
	for n := uint32(0); ; n++ {
		at := int(n) * packet % (len(c.video) / packet * packet)
		head := binary.BigEndian.AppendUint16([]byte{'$', 0}, 12+packet)
		head = append(head, 0x80, 33)
		head = binary.BigEndian.AppendUint16(head, uint16(n))
		head = binary.BigEndian.AppendUint32(head, uint32(time.Since(began).Seconds()*90_000))
		head = append(head, 0, 0, 0, 1)
		if _, err := conn.Write(append(head, c.video[at:at+packet]...)); err != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// makeVideo is red on the left and blue on the right, and wider than what will
// be asked for.
func makeVideo(t *testing.T) []byte {
	ffmpeg := testneed.Program(t, "ffmpeg", "apt-get install ffmpeg")
	path := filepath.Join(t.TempDir(), "video.ts")
	text, err := exec.Command(ffmpeg, "-v", "error", "-f", "lavfi", "-i", "color=red:size=160x120:rate=25", "-f", "lavfi", "-i", "color=blue:size=160x120:rate=25",
		"-filter_complex", "hstack", "-t", "10", "-c:v", "mpeg2video", "-g", "5", "-bf", "0", path).CombinedOutput()
	require.NoError(t, err, string(text))
	video, err := os.ReadFile(path)
	require.NoError(t, err)
	return video
}

// TestRTSP takes frames of a camera in the network by the real FFmpeg, and
// finds no password anywhere.
func TestRTSP(t *testing.T) {
	camera := newRTSPCamera(t, "127.0.0.1:0", makeVideo(t))
	address := camera.Addr().String()
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte(rtspUser+":"+rtspPassword+"\n"), 0o600))
	var text syncbuffer.Buffer
	c, err := Open(t.Context(), "rtsp://"+address+"/live?channel=1", Options{Width: 120, Height: 119, PasswordFile: file, Log: slog.New(slog.NewTextHandler(&text, nil))})
	require.NoError(t, err, text.String())
	t.Cleanup(func() { c.Close() })
	for range 5 {
		f := nextWithin(t, c, 20*time.Second)
		require.Equal(t, []any{I420, 120, 120, 120, false, 120 * 120 * 3 / 2}, []any{f.Format, f.Width, f.Height, f.Stride, f.FullRange, len(f.Data)})
		cb, cr := f.Data[120*120:][:60*60], f.Data[120*120*5/4:][:60*60]
		for y := range 60 {
			require.Greater(t, cr[y*60+5], uint8(200), "red on the left, down to the last line")
			require.Greater(t, cb[y*60+55], uint8(200), "blue on the right")
		}
	}
	require.Equal(t, "rtsp://"+address+"/live", c.Status().Device)
	commands, err := exec.Command("ps", "ax", "-o", "args").Output()
	if err == nil {
		require.Contains(t, string(commands), "-f concat")
		require.NotContains(t, string(commands), rtspPassword)
	}
	require.NoError(t, c.Close())
	require.NotContains(t, text.String(), rtspPassword)
}

func TestRTSPSaysWhy(t *testing.T) {
	camera := newRTSPCamera(t, "127.0.0.1:0", makeVideo(t))
	var text syncbuffer.Buffer
	_, err := Open(t.Context(), "rtsp://admin:wrongpassword@"+camera.Addr().String()+"/", Options{Log: slog.New(slog.NewTextHandler(&text, nil))})
	require.ErrorContains(t, err, "401 Unauthorized")
	camera.unplug()
	_, gone := Open(t.Context(), "rtsp://admin:wrongpassword@"+camera.Addr().String()+"/", Options{Log: slog.New(slog.NewTextHandler(&text, nil))})
	require.ErrorContains(t, gone, "Connection refused")
	for _, said := range []string{err.Error(), gone.Error(), text.String()} {
		require.NotContains(t, said, "wrongpassword")
	}
	t.Setenv("PATH", t.TempDir())
	_, err = Open(t.Context(), "rtsp://camera/", Options{})
	require.ErrorContains(t, err, "sudo apt install ffmpeg")
}

// TestRTSPReplug unplugs a camera again and again.
func TestRTSPReplug(t *testing.T) {
	video := makeVideo(t)
	camera := newRTSPCamera(t, "127.0.0.1:0", video)
	address := camera.Addr().String()
	o := Options{Width: 64, Height: 48}
	c, err := Open(t.Context(), "rtsp://admin:pa%23ss:w'ord@"+address+"/live", o)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	cycles := 20
	if testing.Short() {
		cycles = 2
	}
	var last uint64
	for cycle := range cycles {
		f := nextWithin(t, c, 60*time.Second)
		require.True(t, cycle == 0 || f.Sequence > last)
		last = f.Sequence
		camera.unplug()
		require.Eventually(t, func() bool { return c.Status().State != Streaming }, 60*time.Second, 10*time.Millisecond)
		camera = newRTSPCamera(t, address, video)
	}
	nextWithin(t, c, 60*time.Second)
	require.Equal(t, uint64(cycles), c.Status().Restarts)
}
