// Package clientcert reads which certificate a proxy says that its client has shown (RFC 9440).
//
// Whether a request came from a proxy that may say so, and what the certificate is worth, is for its users to decide.
package clientcert

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
)

// Bounds on what a proxy says: bytes of both headers together, and certificates in them.
const (
	maxHeader       = 16 << 10
	maxCertificates = 8
)

// FromHeader returns the certificate in Client-Cert, and after it those in Client-Cert-Chain, which stand between it and an
// authority; none where neither header is there. None of them has been verified. The error says nothing of what is in them.
func FromHeader(h http.Header) ([]*x509.Certificate, error) {
	own, between := h.Values("Client-Cert"), strings.Join(h.Values("Client-Cert-Chain"), ",")
	switch {
	case len(own) == 0 && between == "":
		return nil, nil
	case len(own) != 1 || len(own[0])+len(between) > maxHeader:
		return nil, errors.New("Client-Cert is not one certificate")
	}
	encoded := own
	if between != "" {
		encoded = append(slices.Clone(own), strings.Split(between, ",")...)
	}
	var all []*x509.Certificate
	for _, one := range encoded {
		certificate, ok := byteSequence(one)
		if !ok || len(all) == maxCertificates {
			return nil, errors.New("Client-Cert or Client-Cert-Chain cannot be read")
		}
		all = append(all, certificate)
	}
	return all, nil
}

// byteSequence reads a certificate as section 2.1 writes it: its DER in base64 between colons (RFC 8941, section 3.3.5).
func byteSequence(value string) (*x509.Certificate, bool) {
	value = strings.Trim(value, " \t")
	if len(value) < 2 || value[0] != ':' || value[len(value)-1] != ':' {
		return nil, false
	}
	der, err := base64.StdEncoding.Strict().DecodeString(value[1 : len(value)-1])
	if err != nil {
		return nil, false
	}
	certificate, err := x509.ParseCertificate(der)
	return certificate, err == nil
}
