package cli

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// authorities checks a file of certificates that others are known by. One that cannot be read is left to settings.File.
func authorities(path string) error {
	content, err := os.ReadFile(path)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(content) {
		return fmt.Errorf("%s holds no certificate", path)
	}
	return nil
}

// certificate is a certificate and its key, in the files that two settings name.
type certificate struct {
	certFlag, certFile string
	keyFlag, keyFile   string
}

// load reads the pair, or says which of the files is wrong. It returns nil where one cannot be read, which settings.File
// says.
func (c certificate) load() (*tls.Certificate, error) {
	cert, certErr := os.ReadFile(c.certFile)
	key, keyErr := os.ReadFile(c.keyFile)
	if certErr != nil || keyErr != nil {
		return nil, nil
	}
	if err := parses(cert); err != nil {
		return nil, fmt.Errorf("--%s: %s %w", c.certFlag, c.certFile, err)
	}
	if !bytes.Contains(key, []byte("PRIVATE KEY-----")) {
		return nil, fmt.Errorf("--%s: %s holds no private key", c.keyFlag, c.keyFile)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("--%s: %s does not fit the certificate %s: %s", c.keyFlag, c.keyFile, c.certFile, strings.TrimPrefix(err.Error(), "tls: "))
	}
	return &pair, nil
}

// parses tells what is wrong with the first certificate of a file.
func parses(content []byte) error {
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			return errors.New("holds no certificate")
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("holds no certificate that can be read: %w", err)
		}
		return nil
	}
}

// checkMembership refuses a certificate by which the other parts would not know this one.
func (p *partFlags) checkMembership() error {
	own := certificate{"mesh-cert-file", p.tls.Cert, "mesh-key-file", p.tls.Key}
	pair, err := own.load()
	if err != nil || pair == nil {
		return err
	}
	if name, ok := p.workloadIDs.Name(pair.Leaf); !ok || name != p.part {
		return fmt.Errorf("--mesh-cert-file: %s is not the certificate of this part: its URI is %s, want %s",
			p.tls.Cert, uris(pair.Leaf), p.workloadIDs.ID(p.part))
	}
	ca, err := os.ReadFile(p.tls.CA)
	if err != nil {
		return nil // said by settings.File
	}
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: time.Now()}
	if !options.Roots.AppendCertsFromPEM(ca) {
		return nil // said by authorities
	}
	for _, der := range pair.Certificate[1:] {
		if between, err := x509.ParseCertificate(der); err == nil {
			options.Intermediates.AddCert(between)
		}
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		options.KeyUsages = []x509.ExtKeyUsage{usage}
		if _, err := pair.Leaf.Verify(options); err != nil {
			return fmt.Errorf("--mesh-cert-file: %s is not good by --mesh-ca-file %s: %w", p.tls.Cert, p.tls.CA, err)
		}
	}
	return nil
}

func uris(cert *x509.Certificate) string {
	var all []string
	for _, uri := range cert.URIs {
		all = append(all, uri.String())
	}
	if len(all) == 0 {
		return "missing"
	}
	return strings.Join(all, " ")
}
