package loopback_test

import (
	"testing"

	"github.com/realguardio/realguardio/mesh/loopback"
)

func TestWhichHostsAreThisMachine(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "id.localhost": true, "127.0.0.1": true, "127.8.9.10": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "localhost.example.com": false, "notlocalhost": false, "127.0.0.1.example.com": false, "10.0.0.1": false, "0.0.0.0": false, "::": false,
	} {
		t.Run(host, func(t *testing.T) {
			if got := loopback.Host(host); got != want {
				t.Errorf("it is: %t, want %t", got, want)
			}
		})
	}
}
