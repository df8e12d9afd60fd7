package testcard

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"strings"
	"time"
)

// How long the https certificate and its authority live, and when they are replaced.
const (
	webLife  = 200 * 24 * time.Hour
	webRenew = 14 * 24 * time.Hour
)

// web reads or makes the certificate for https.
func (s *Set) web(o Options) error {
	for _, h := range o.Hosts {
		if h != "localhost" && !strings.HasSuffix(h, ".localhost") || strings.ContainsAny(h, "*: ") {
			return fmt.Errorf("testcard: host %q: localhost or a name below it, since nothing else is sure to be this machine (RFC 6761, 6.3)", h)
		}
	}
	pair, err := tls.LoadX509KeyPair(s.Files.Server, s.Files.Server)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("testcard: %s: %w: remove it, and another is made", s.Files.Server, err)
	}
	if err != nil || !serves(pair, o) {
		raw, err := newWeb(o)
		if err != nil {
			return fmt.Errorf("testcard: https certificate: %w", err)
		}
		if err := write(s.Files.Server, raw, 0o600); err != nil {
			return err
		}
		if pair, err = tls.X509KeyPair(raw, raw); err != nil {
			return fmt.Errorf("testcard: https certificate: %w", err)
		}
	}
	ca, err := x509.ParseCertificate(pair.Certificate[1])
	if err != nil {
		return fmt.Errorf("testcard: %s: %w", s.Files.Server, err)
	}
	s.Server, s.Roots = pair, x509.NewCertPool()
	s.Roots.AddCert(ca)
	return write(s.Files.WebCA, pemOf("CERTIFICATE", ca.Raw), 0o644)
}

// serves reports whether a certificate does for these hosts for a while yet.
func serves(pair tls.Certificate, o Options) bool {
	if len(pair.Certificate) != 2 || pair.Leaf == nil || o.Now.Before(pair.Leaf.NotBefore) || o.Now.Add(webRenew).After(pair.Leaf.NotAfter) {
		return false
	}
	for _, h := range o.Hosts {
		if pair.Leaf.VerifyHostname(h) != nil {
			return false
		}
	}
	return true
}

// newWeb makes an authority that may sign for localhost alone, and its only certificate. The authority's key is in nobody's hands afterwards.
func newWeb(o Options) ([]byte, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), o.Random)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), o.Random)
	if err != nil {
		return nil, err
	}
	var serials [2]*big.Int
	for i := range serials {
		octets := make([]byte, 16)
		if _, err := io.ReadFull(o.Random, octets); err != nil {
			return nil, err
		}
		octets[0] = octets[0]&0x7f | 0x40
		serials[i] = new(big.Int).SetBytes(octets)
	}
	from, until := o.Now.Add(-time.Hour), o.Now.Add(webLife)
	anyIP4, anyIP6 := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	caTemplate := &x509.Certificate{
		SerialNumber: serials[0], Subject: pkix.Name{Organization: []string{"MUSUBI-TEST"}, CommonName: "Musubi demonstration, localhost only, " + o.Now.UTC().Format("2006-01-02 15:04:05")},
		NotBefore: from, NotAfter: until, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
		ExtKeyUsage:                 []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{"localhost"}, ExcludedIPRanges: []*net.IPNet{anyIP4, anyIP6},
	}
	caDer, err := x509.CreateCertificate(o.Random, caTemplate, caTemplate, caKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	ca, err := x509.ParseCertificate(caDer)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(o.Random, &x509.Certificate{
		SerialNumber: serials[1], Subject: pkix.Name{Organization: []string{"MUSUBI-TEST"}, CommonName: o.Hosts[0]}, DNSNames: o.Hosts,
		NotBefore: from, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}, ca, key.Public(), caKey)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return bytes.Join([][]byte{pemOf("CERTIFICATE", der), pemOf("CERTIFICATE", caDer), pemOf("PRIVATE KEY", private)}, nil), nil
}
