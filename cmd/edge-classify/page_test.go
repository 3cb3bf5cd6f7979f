package main

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"edgeclassify/internal/syncbuffer"

	"github.com/stretchr/testify/require"
)

// A token that everyone may read is used, with a warning that does not repeat it.
func TestTokenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(" s3cret-token \n"), 0o600))
	for mode, warns := range map[os.FileMode]bool{0o600: false, 0o644: runtime.GOOS != "windows"} {
		require.NoError(t, os.Chmod(file, mode))
		var log syncbuffer.Buffer
		o := pageOptions{tokenFile: file}
		token, err := o.readToken(slog.New(slog.NewTextHandler(&log, nil)))
		require.NoError(t, err)
		require.Equal(t, "s3cret-token", token)
		require.Equal(t, warns, bytes.Contains([]byte(log.String()), []byte("chmod 600")), "%s", &log)
		require.NotContains(t, log.String(), token)
	}
	require.NoError(t, os.WriteFile(file, []byte("  \n"), 0o600))
	_, err := (&pageOptions{tokenFile: file}).readToken(slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "spaces only")
}

func TestNetworkPage(t *testing.T) {
	for want, ip := range map[string]net.IP{
		"": net.IPv6loopback, "http://:8080": net.IPv6unspecified, "http://192.0.2.7:8080": net.IPv4(192, 0, 2, 7), "http://[2001:db8::1]:8080": net.ParseIP("2001:db8::1"),
	} {
		require.Equal(t, want, networkPage(&net.TCPAddr{IP: ip, Port: 8080}))
	}
}
