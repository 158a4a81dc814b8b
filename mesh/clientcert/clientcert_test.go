package clientcert_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/mesh/clientcert"
)

func TestACertificateIsReadInOneWay(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	encoded := base64.StdEncoding.EncodeToString(der)
	one := ":" + encoded + ":"
	for _, tt := range []struct {
		name       string
		own, chain []string
		want       int
		refused    bool
	}{
		{name: "none"},
		{name: "one", own: []string{one}, want: 1},
		{name: "one with space around it", own: []string{" " + one + "\t"}, want: 1},
		{name: "one and its chain", own: []string{one}, chain: []string{one + ", " + one}, want: 3},
		{name: "a chain in two headers", own: []string{one}, chain: []string{one, one}, want: 3},
		{name: "two", own: []string{one, one}, refused: true},
		{name: "two in one header", own: []string{one + ", " + one}, refused: true},
		{name: "a chain without one", chain: []string{one}, refused: true},
		{name: "an empty header", own: []string{""}, refused: true},
		{name: "base64 without colons", own: []string{encoded}, refused: true},
		{name: "something behind the certificate", own: []string{":" + base64.StdEncoding.EncodeToString(append(der[:len(der):len(der)], 0)) + ":"}, refused: true},
		{name: "no certificate", own: []string{":AAAA:"}, refused: true},
		{name: "a chain of nonsense", own: []string{one}, chain: []string{":AAAA:"}, refused: true},
		{name: "more certificates than are looked at", own: []string{one}, chain: []string{strings.Repeat(one+",", 7) + one}, refused: true},
		{name: "more than is looked at", own: []string{":" + strings.Repeat("A", 20<<10) + ":"}, refused: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, err := clientcert.FromHeader(http.Header{"Client-Cert": tt.own, "Client-Cert-Chain": tt.chain})
			if (err != nil) != tt.refused || len(all) != tt.want {
				t.Errorf("%d certificates, %v; want %d, refused: %t", len(all), err, tt.want, tt.refused)
			}
		})
	}
}
