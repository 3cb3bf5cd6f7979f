package capture

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/v4l2"
)

// bench is a camera at /dev/video0, supervised, in a bubble of virtual time.
type bench struct {
	*testing.T
	sys    *fakeSystem
	camera *fakeCamera
	Camera
}

// onBench runs test; afterwards nothing may be open.
func onBench(t *testing.T, test func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		camera := newFakeCamera()
		b := &bench{T: t, camera: camera, sys: newFakeSystem(map[string]*fakeCamera{"/dev/video0": camera})}
		b.open("", Options{})
		defer b.Close()
		test(b)
		require.NoError(t, b.Close())
		require.Zero(t, b.sys.opened(), "open devices")
		b.checkUnmapped(camera)
	})
}

func (b *bench) open(path string, o Options) {
	o, err := o.withDefaults()
	require.NoError(b, err)
	b.Camera, err = start(b.Context(), "usb", newUSB(b.sys, path, o).open, o)
	require.NoError(b, err)
}

func (b *bench) checkUnmapped(c *fakeCamera) {
	c.mu.Lock()
	defer c.mu.Unlock()
	require.Equal(b, c.mapped, c.unmapped, "buffers unmapped")
}

// shoot takes a picture and lets the program see it.
func (b *bench) shoot(change ...func(*v4l2.Buffer, []byte)) {
	b.Helper()
	require.True(b, b.camera.shoot(change...), "the driver has no buffer")
	synctest.Wait()
}

// next returns the frame that is there.
func (b *bench) next() *Frame {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Millisecond)
	defer cancel()
	f, err := b.Next(ctx)
	require.NoError(b, err)
	return f
}

// none expects no frame.
func (b *bench) none() {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Millisecond)
	defer cancel()
	_, err := b.Next(ctx)
	require.ErrorIs(b, err, context.DeadlineExceeded)
}

// resume waits until the camera streams again, shooting all the while, and
// returns how long that took.
func (b *bench) resume() time.Duration {
	b.Helper()
	began := time.Now()
	for time.Since(began) < time.Minute {
		time.Sleep(33 * time.Millisecond)
		b.camera.shoot()
		synctest.Wait()
		if b.Status().State == Streaming {
			return time.Since(began)
		}
	}
	b.Fatalf("the camera did not resume: %+v", b.Status())
	return 0
}

func nextWithin(t *testing.T, c Camera, within time.Duration) *Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	f, err := c.Next(ctx)
	require.NoError(t, err, "status: %+v", c.Status())
	return f
}

func TestNewestFrameWins(t *testing.T) {
	onBench(t, func(b *bench) {
		require.Equal(t, Starting, b.Status().State)
		b.shoot()
		first := b.next()
		require.Equal(t, uint64(0), first.Sequence)
		require.Equal(t, byte(0), first.Data[0])
		for range 100 { // the caller is slow; the driver has buffers at all times
			b.shoot()
		}
		require.Equal(t, byte(0), first.Data[0], "the lent frame was overwritten")
		second := b.next()
		require.Equal(t, uint64(100), second.Sequence)
		require.Equal(t, byte(100), second.Data[0])
		b.none()
		s := b.Status()
		require.Equal(t, Status{Device: "/dev/video0 (HD Webcam)", State: Streaming, Since: s.Since, Due: s.Due,
			Format: YUYV, Width: 640, Height: 480, FPS: 30, Frames: 101}, s)
	})
}

// TestBurst fills all buffers before the program looks.
func TestBurst(t *testing.T) {
	onBench(t, func(b *bench) {
		b.camera.mu.Lock()
		queued := len(b.camera.queued)
		b.camera.mu.Unlock()
		require.GreaterOrEqual(t, queued, 4)
		for range queued {
			require.True(t, b.camera.shoot())
		}
		require.False(t, b.camera.shoot(), "dropped by the driver")
		synctest.Wait()
		require.Equal(t, uint64(queued-1), b.next().Sequence)
		b.shoot()
		require.Equal(t, uint64(queued+1), b.next().Sequence)
		require.Equal(t, uint64(1), b.Status().Dropped)
	})
}

func TestDroppedAndCorrupt(t *testing.T) {
	onBench(t, func(b *bench) {
		b.camera.sequence = 0xfffffffe // wraps
		b.shoot()
		require.Equal(t, uint64(0), b.next().Sequence, "frames before the first are no loss")
		b.camera.sequence += 3
		b.shoot()
		require.Equal(t, uint64(4), b.next().Sequence)
		require.Equal(t, uint64(3), b.Status().Dropped)

		b.shoot(func(f *v4l2.Buffer, _ []byte) { f.Corrupt = true })
		b.none()
		b.shoot(func(f *v4l2.Buffer, _ []byte) { f.Used-- })
		b.none()
		b.shoot(func(f *v4l2.Buffer, _ []byte) { f.Used *= 2 })
		b.none()
		b.shoot()
		require.Equal(t, uint64(8), b.next().Sequence)
		s := b.Status()
		require.Equal(t, [3]uint64{3, 3, 3}, [3]uint64{s.Frames, s.Dropped, s.Corrupt})
	})
}

// TestNoSequence has a driver that does not count.
func TestNoSequence(t *testing.T) {
	onBench(t, func(b *bench) {
		for i := range 3 {
			b.shoot(func(f *v4l2.Buffer, _ []byte) { f.Sequence = 0 })
			require.Equal(t, uint64(i), b.next().Sequence)
		}
		require.Zero(t, b.Status().Dropped)
	})
}

func TestTimeIsTheDrivers(t *testing.T) {
	onBench(t, func(b *bench) {
		captured := time.Now().Add(-70 * time.Millisecond)
		b.shoot(func(f *v4l2.Buffer, _ []byte) { f.Time = captured })
		require.Equal(t, captured, b.next().Time)
	})
}

func TestStall(t *testing.T) {
	onBench(t, func(b *bench) {
		b.shoot()
		b.next()
		last := time.Now()
		time.Sleep(1900 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, Streaming, b.Status().State)
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		s := b.Status()
		require.Equal(t, Stalled, s.State)
		require.Contains(t, s.Error, errStalled.Error())
		require.Equal(t, 2*time.Second, s.Since.Sub(last))
		require.Less(t, b.resume(), time.Second)
		s = b.Status()
		require.Equal(t, uint64(1), s.Restarts)
		require.Empty(t, s.Error)
		require.Equal(t, uint64(1), b.next().Sequence, "numbers go on")
	})
}

// TestSilentFromTheStart has a camera that is opened again and again.
func TestSilentFromTheStart(t *testing.T) {
	onBench(t, func(b *bench) {
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.Equal(t, Stalled, b.Status().State)
		require.Equal(t, uint64(5), b.Status().Restarts, "every 5.5 s")
	})
}

func TestPatience(t *testing.T) {
	require.Equal(t, 2*time.Second, patience(0))
	require.Equal(t, 2*time.Second, patience(seconds(v4l2.Fraction{Numerator: 1, Denominator: 30})))
	require.Equal(t, 10*time.Second, patience(seconds(v4l2.Fraction{Numerator: 1, Denominator: 1})))
	require.Zero(t, seconds(v4l2.Fraction{Numerator: 1}))
}

// TestDriverErrors breaks each call for a second while the camera streams.
func TestDriverErrors(t *testing.T) {
	for _, c := range []struct {
		call  string
		err   error
		state string
	}{
		{"Wait", syscall.EIO, Failed}, {"Dequeue", syscall.EIO, Failed}, {"Dequeue", syscall.ENODEV, Missing},
		{"Queue", syscall.EINVAL, Failed},
	} {
		t.Run(c.call+" "+c.err.Error(), func(t *testing.T) {
			onBench(t, func(b *bench) {
				b.shoot()
				lent := b.next()
				b.camera.fail(c.call, c.err)
				if b.camera.shoot() {
					b.camera.shoot() // one is passed over, and given back
				}
				synctest.Wait()
				require.Equal(t, c.state, b.Status().State)
				require.NotEmpty(t, b.Status().Error)
				require.Equal(t, byte(0), lent.Data[0], "a lent frame stays readable")
				time.Sleep(time.Second)
				b.camera.fail(c.call, nil)
				require.Less(t, b.resume(), time.Second)
				require.Greater(t, b.next().Sequence, uint64(0))
				b.shoot()
				b.next()
			})
		})
	}
}

// TestReopeningFails breaks what opening needs, while the camera is unplugged.
func TestReopeningFails(t *testing.T) {
	for _, call := range []string{"Capability", "Formats", "SetFormat", "SetInterval", "Map", "Queue", "Start"} {
		t.Run(call, func(t *testing.T) {
			onBench(t, func(b *bench) {
				b.shoot()
				b.sys.plug("/dev/video0", nil)
				broken := newFakeCamera()
				broken.fail(call, syscall.EPROTO)
				b.camera = broken
				b.sys.plug("/dev/video0", broken)
				time.Sleep(3 * time.Second)
				synctest.Wait()
				require.NotEqual(t, Streaming, b.Status().State)
				require.LessOrEqual(t, b.sys.opened(), 1)
				broken.fail(call, nil)
				require.Less(t, b.resume(), time.Second)
			})
		})
	}
}

// TestReplug unplugs the camera twenty times; it comes back as another node.
func TestReplug(t *testing.T) {
	onBench(t, func(b *bench) {
		path, next := "/dev/video0", "/dev/video2"
		var sequence uint64
		for cycle := range 20 {
			b.resume()
			f := b.next()
			require.True(t, cycle == 0 || f.Sequence > sequence)
			sequence = f.Sequence
			mark := f.Data[0]

			b.camera.shoot() // nobody takes it: it must not show up later
			b.sys.plug(path, nil)
			synctest.Wait()
			require.Equal(t, Missing, b.Status().State)
			require.Equal(t, 1, b.sys.opened(), "Linux is left alone while it takes the device down")
			require.Equal(t, mark, f.Data[0], "a lent frame stays readable")
			time.Sleep(10 * time.Second)
			b.none()
			require.Contains(t, b.Status().Error, fs.ErrNotExist.Error())
			require.Contains(t, b.Status().Error, "HD Webcam (at usb-0000:01:00.0-1.2) is unplugged")
			b.checkUnmapped(b.camera)
			require.Zero(t, b.sys.opened())

			path, next = next, path
			b.camera = newFakeCamera()
			b.sys.plug(path, b.camera)
			require.Less(t, b.resume(), time.Second)
			require.Equal(t, path+" (HD Webcam)", b.Status().Device)
		}
		require.Equal(t, uint64(20), b.Status().Restarts)
		require.NoError(t, b.Close())
		b.checkUnmapped(b.camera)
	})
}

func TestCloseWhileWaiting(t *testing.T) {
	onBench(t, func(b *bench) {
		go func() {
			time.Sleep(time.Millisecond)
			b.Close()
		}()
		_, err := b.Next(b.Context())
		require.ErrorIs(t, err, errClosed)
		_, err = b.Next(b.Context())
		require.ErrorIs(t, err, errClosed)
	})
}

func TestContextEndsNext(t *testing.T) {
	onBench(t, func(b *bench) {
		b.shoot()
		ctx, cancel := context.WithCancel(b.Context())
		cancel()
		_, err := b.Next(ctx)
		require.ErrorIs(t, err, context.Canceled)
		b.next() // the frame is still there
	})
}

// stuck is a driver that does not answer.
type stuck struct{ session }

func (stuck) next() (arrival, error) { time.Sleep(time.Hour); return arrival{}, errClosed }
func (stuck) interrupt()             {}
func (stuck) close()                 {}

func TestCloseDoesNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := Options{}.withDefaults()
		require.NoError(t, err)
		c, err := start(t.Context(), "stuck", func(context.Context) (session, Status, error) { return stuck{}, Status{}, nil }, o)
		require.NoError(t, err)
		synctest.Wait()
		began := time.Now()
		require.NoError(t, c.Close())
		require.Equal(t, closePatience, time.Since(began))
		time.Sleep(time.Hour) // the driver answers at last
	})
}

func TestWaitForCamera(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, camera: newFakeCamera(), sys: newFakeSystem(map[string]*fakeCamera{})}
		_, err := start(t.Context(), "usb", newUSB(b.sys, "/dev/video0", Options{}).open, Options{})
		require.ErrorIs(t, err, fs.ErrNotExist)

		b.open("/dev/video0", Options{Wait: true})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, Missing, b.Status().State)
		b.sys.plug("/dev/video0", b.camera)
		require.Less(t, b.resume(), time.Second)
		require.NoError(t, b.Close())
	})
}

// TestDue watches for two minutes whether cameras count as alive.
func TestDue(t *testing.T) {
	never := errors.New("it is busy")
	for name, c := range map[string]struct {
		open opener
		dies time.Duration // 0: never
	}{
		"busy":    {func(context.Context) (session, Status, error) { return nil, Status{}, never }, 0},
		"program": {func(context.Context) (session, Status, error) { return nil, Status{}, &costly{never} }, 0},
		"slow": {func(context.Context) (session, Status, error) {
			time.Sleep(hangs - time.Second)
			return nil, Status{}, never
		}, 0},
		"silent":                    {newUSB(newFakeSystem(map[string]*fakeCamera{"/dev/video0": newFakeCamera()}), "", Options{Width: 640, Height: 480}).open, 0},
		"hangs while it is opened":  {func(context.Context) (session, Status, error) { time.Sleep(time.Hour); return nil, Status{}, never }, hangs},
		"hangs while it streams":    {func(context.Context) (session, Status, error) { return stuck{}, Status{}, nil }, hangs},
		"hangs at a frame a minute": {func(context.Context) (session, Status, error) { return stuck{}, Status{FPS: 1. / 60}, nil }, 10*time.Minute + hangs},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opens := 0
				camera, err := start(t.Context(), name, func(ctx context.Context) (session, Status, error) {
					if opens++; opens == 1 {
						return nil, Status{}, never
					}
					return c.open(ctx)
				}, Options{Wait: true, Log: slog.New(slog.DiscardHandler)})
				require.NoError(t, err)
				began := time.Now()
				for c.dies == 0 && time.Since(began) < 2*time.Minute || c.dies > 0 && time.Since(began) < c.dies+retryDelay {
					require.True(t, time.Now().Before(camera.Status().Due), time.Since(began))
					time.Sleep(100 * time.Millisecond)
				}
				if c.dies > 0 {
					require.False(t, time.Now().Before(camera.Status().Due))
				}
				require.NoError(t, camera.Close())
				time.Sleep(2 * time.Hour) // the driver answers at last
			})
		})
	}
}

// TestBackoff starts expensive programs less and less often.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := Options{Wait: true}.withDefaults()
		require.NoError(t, err)
		began := time.Now()
		var attempts []float64
		c, err := start(t.Context(), "csi", func(context.Context) (session, Status, error) {
			attempts = append(attempts, time.Since(began).Seconds())
			return nil, Status{}, &costly{errors.New("no cameras available")}
		}, o)
		require.NoError(t, err)
		time.Sleep(40 * time.Second)
		require.NoError(t, c.Close())
		require.Contains(t, c.Status().Error, "no cameras available")
		require.Equal(t, []float64{0, 0.5, 1.5, 3.5, 7.5, 15.5, 25.5, 35.5}, attempts)
	})
}

// instant is a device that always has a frame, and does not allocate.
type instant struct {
	*fakeDevice
	queued, filled []int
}

func (d *instant) Wait(time.Duration) error { return nil }
func (d *instant) Queue(i int) error        { d.queued = append(d.queued, i); return nil }
func (d *instant) Start() error             { return nil }
func (d *instant) Dequeue() (v4l2.Buffer, error) {
	if len(d.filled) == 0 {
		d.filled, d.queued = append(d.filled, d.queued[0]), slices.Delete(d.queued, 0, 1)
		return v4l2.Buffer{}, v4l2.ErrNotReady
	}
	b := v4l2.Buffer{Index: d.filled[0], Used: int(d.format.SizeImage)}
	d.filled = d.filled[:0]
	return b, nil
}

func TestFramesDoNotAllocate(t *testing.T) {
	sys := newFakeSystem(map[string]*fakeCamera{"/dev/video0": newFakeCamera()})
	opened, err := sys.open("/dev/video0")
	require.NoError(t, err)
	d := &instant{fakeDevice: opened.(*fakeDevice)}
	o, err := Options{FPS: 30}.withDefaults()
	require.NoError(t, err)
	a, err := negotiate(d, o)
	require.NoError(t, err)
	s, err := startStream(d, a)
	require.NoError(t, err)
	c := &supervisor{arrived: make(chan struct{}, 1), log: o.Log}
	frames := 0
	step := func() {
		a, err := s.next()
		if err != nil {
			t.Fatal(err)
		}
		if c.put(a, s) {
			frames++
		}
		c.giveBack()
		c.take()
	}
	for range 10 {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(100, step))
	require.Greater(t, frames, 100)
}
