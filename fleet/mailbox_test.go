package fleet

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/capture"
	"edgeclassify/classify"
	"edgeclassify/stream"
)

func resultOf(class int, sequence uint64) *stream.Result {
	return &stream.Result{Time: time.Now(), Sequence: sequence, Top: []classify.Prediction{{Class: class}}, Throttled: []string{"throttled"}}
}

func TestNewestWins(t *testing.T) {
	b := newMailbox(time.Hour, time.Nanosecond)
	var r stream.Result
	var f capture.Frame
	require.False(t, b.takeResult(&r))
	require.False(t, b.takeFrame(&f))
	for i := range 10 {
		b.Result(resultOf(i, uint64(i)), &capture.Frame{Sequence: uint64(i), Data: []byte{byte(i)}})
	}
	require.True(t, b.takeResult(&r))
	require.EqualValues(t, 9, r.Sequence)
	require.Equal(t, []classify.Prediction{{Class: 9}}, r.Top)
	require.True(t, b.takeFrame(&f))
	require.Equal(t, []byte{9}, f.Data)
	require.False(t, b.takeResult(&r))
	require.False(t, b.takeFrame(&f))
}

func TestResultsAreLimited(t *testing.T) {
	b := newMailbox(time.Hour, 0)
	var r stream.Result
	b.Result(resultOf(1, 1), nil)
	require.True(t, b.takeResult(&r))
	b.Result(resultOf(1, 2), nil)
	require.False(t, b.takeResult(&r), "the same class, too soon")
	b.Result(resultOf(2, 3), nil)
	require.True(t, b.takeResult(&r), "another class does not wait")
	b.Result(&stream.Result{}, nil)
	require.True(t, b.takeResult(&r), "nor does none")
	require.Empty(t, r.Top)
}

func TestEventsAreBounded(t *testing.T) {
	b := newMailbox(0, 0)
	for i := range maxEvents + 10 {
		b.Event(stream.Event{Label: fmt.Sprint(i)}, nil)
	}
	for i := range maxEvents {
		e, ok := b.takeEvent()
		require.True(t, ok)
		require.Equal(t, fmt.Sprint(i+10), e.Label)
	}
	_, ok := b.takeEvent()
	require.False(t, ok)
}

func TestOnlyChangesOfStatusCount(t *testing.T) {
	b := newMailbox(0, 0)
	_, ok := b.takeStatus(true)
	require.False(t, ok)
	b.Status(capture.Status{State: capture.Streaming, Frames: 1})
	_, ok = b.takeStatus(false)
	require.True(t, ok)
	b.Status(capture.Status{State: capture.Streaming, Frames: 2})
	_, ok = b.takeStatus(false)
	require.False(t, ok)
	s, ok := b.takeStatus(true)
	require.True(t, ok)
	require.EqualValues(t, 2, s.Frames)
}

func TestRate(t *testing.T) {
	b := newMailbox(0, 0)
	_, _, ok := b.takeRate()
	require.False(t, ok)
	b.rate.since = time.Now().Add(-2000 * time.Second)
	for i := range 20 {
		b.Result(resultOf(1, uint64(i)), nil)
	}
	perSecond, last, ok := b.takeRate()
	require.True(t, ok)
	require.InEpsilon(t, 0.01, perSecond, 0.1)
	require.EqualValues(t, 19, last.Sequence)
	perSecond, _, _ = b.takeRate()
	require.Zero(t, perSecond)
}

func TestNothingIsAllocatedPerFrame(t *testing.T) {
	b := newMailbox(time.Nanosecond, time.Nanosecond)
	r, f := resultOf(1, 1), frameOf(capture.YUYV)
	status := capture.Status{State: capture.Streaming}
	var mine stream.Result
	var picture capture.Frame
	require.Zero(t, testing.AllocsPerRun(100, func() {
		b.Result(r, f)
		b.Status(status)
		b.takeResult(&mine)
		b.takeFrame(&picture)
	}))
}
