package cert

import (
	"errors"
	"slices"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// checkLeaf holds a holder's certificate to its profile and to what the caller asks of it, beyond RFC 5280. What it says about the certificate
// names fields, never their values: they are personal data.
func (r *run) checkLeaf(c *pkix.Certificate) *fault {
	rules := &r.profile.config.Leaf
	switch {
	case rules.NotCA && c.CA:
		return &fault{LeafIsCA, "basicConstraints says that it is an authority"}
	case rules.NotCA && c.KeyUsage&pkix.KeyCertSign != 0:
		return &fault{LeafIsCA, "its key may sign certificates"}
	case rules.Version3 && c.Version != 3:
		return &fault{LeafWrong, "not of version 3"}
	case rules.PositiveSerial && !positive(c.Serial):
		return &fault{LeafWrong, "the serial number isn't positive"}
	case r.profile.usage != 0 && c.KeyUsage != r.profile.usage:
		return &fault{KeyUsageWrong, "key usage is " + describe(c.KeyUsage) + ", and must be " + r.profile.usage.String()}
	case rules.KeyUsageCritical && c.HasKeyUsage && !c.KeyUsageCritical:
		return &fault{LeafWrong, "key usage isn't critical"}
	case rules.PoliciesCritical && !c.PoliciesCritical:
		return &fault{LeafWrong, "certificatePolicies isn't critical"}
	case rules.MaxAge > 0 && c.NotAfter.Sub(c.NotBefore) > rules.MaxAge.Duration():
		return &fault{LeafWrong, "valid for longer than this kind of certificate may be"}
	}
	if want := r.options.KeyUsage; want != 0 && c.HasKeyUsage && c.KeyUsage&want != want {
		return &fault{KeyUsageWrong, "key usage is " + describe(c.KeyUsage) + ", asked for is " + want.String()}
	}
	for _, purposes := range [][]pkix.OID{r.profile.purposes, r.options.Purposes} {
		if f := checkPurposes(c, purposes, len(r.profile.purposes) > 0); f != nil {
			return f
		}
	}
	if err := r.profile.challenge.Key(&c.Key); err != nil {
		return &fault{AlgorithmRefused, "the holder's key: " + err.Error()}
	}
	if host := r.options.Host; host != "" && !slices.ContainsFunc(c.SubjectAltNames, func(g pkix.GeneralName) bool {
		return g.Kind == pkix.DNSName && covers(string(g.Value), host)
	}) {
		return &fault{HostWrong, "no dNSName of the certificate covers " + host}
	}
	return nil
}

// checkPurposes wants every purpose in extendedKeyUsage. A certificate without the extension is for any purpose (RFC 5280, 4.2.1.12), unless the
// profile says that it must have it.
func checkPurposes(c *pkix.Certificate, wanted []pkix.OID, must bool) *fault {
	if c.ExtKeyUsage == nil && !must || slices.Contains(c.ExtKeyUsage, pkix.OIDAnyExtKeyUsage) {
		return nil
	}
	for _, p := range wanted {
		if !slices.Contains(c.ExtKeyUsage, p) {
			return &fault{PurposeWrong, "extendedKeyUsage has no " + p.String()}
		}
	}
	return nil
}

func describe(u pkix.KeyUsage) string {
	if u == 0 {
		return "missing"
	}
	return u.String()
}

func positive(serial []byte) bool { return serial[0] < 0x80 && (len(serial) > 1 || serial[0] != 0) }

// parseFault is the fault of a leaf that can't be read.
func parseFault(err error) *fault {
	if errors.Is(err, pkix.ErrKey) {
		return &fault{BadKey, err.Error()}
	}
	return &fault{Malformed, err.Error()}
}
