package fleet

import (
	"net"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPageFrom(t *testing.T) {
	near := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 50000}
	require.Equal(t, "http://192.0.2.7:8080", pageFrom("http://:8080", near))
	require.Equal(t, "http://[2001:db8::1]:80", pageFrom("http://:80", &net.TCPAddr{IP: net.ParseIP("2001:db8::1")}))
	require.Equal(t, "http://pi:8080", pageFrom("http://pi:8080", near))
	require.Empty(t, pageFrom("", near))
	// With a broker on this machine it is the address that others know, if there is one.
	if page := pageFrom("http://:8080", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}); page != "" {
		u, err := url.Parse(page)
		require.NoError(t, err)
		require.Equal(t, "8080", u.Port())
		require.True(t, net.ParseIP(u.Hostname()).IsGlobalUnicast())
	}
}
