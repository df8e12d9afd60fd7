package crl

import (
	"sync/atomic"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// List is a list with every entry apart. It doesn't change, and may be read by any number of goroutines.
type List struct {
	info      pkix.ListInfo
	raw       []byte
	tbs       []byte
	signature []byte
	entries   []Entry
	at        map[string]int // by issuer, unless it is the list's own, and serial
	verified  atomic.Pointer[pkix.PublicKey]
}

// Parse reads one list, in DER, and keeps all of it; nothing may follow it. The signature isn't checked: CheckSignature does. raw must not change.
func Parse(raw []byte, rules Rules, limits Limits) (*List, error) {
	limits = limits.filled()
	if int64(len(raw)) > limits.SmallOnly {
		return nil, refuse(CodeLimit, "the list is longer than Parse takes; Load reads lists of any size")
	}
	l := &List{raw: raw}
	w := walker{t: newTapeOf(raw), limits: limits, rules: rules, started: func() error { return nil }}
	defer w.t.close()
	w.entries = func(end int64) error {
		return w.each(end, func(e Entry) error {
			if len(l.entries) >= limits.Entries {
				return refuse(CodeLimit, "more entries than may be")
			}
			l.entries = append(l.entries, e)
			return nil
		})
	}
	signature, _, err := w.walk()
	if err != nil {
		return nil, err
	}
	l.info, l.signature, l.tbs = w.info, signature, raw[w.from:w.to]
	l.info.EntryCount = len(l.entries)
	return l, l.settle()
}

// settle gives each entry its issuer and indexes them.
func (l *List) settle() error {
	l.at = make(map[string]int, len(l.entries))
	issuer, prefix, delta := l.info.Issuer, "", l.info.BaseNumber != nil
	for i := range l.entries {
		e := &l.entries[i]
		if !e.Issuer.IsEmpty() {
			if !l.info.Indirect() {
				return refuse(CodeCertIssuer, "in a list that isn't indirect")
			}
			issuer, prefix = e.Issuer, l.prefix(e.Issuer)
		}
		e.Issuer = issuer
		if e.Reason == pkix.RemoveFromCRL && !delta {
			return refuse(CodeReason, "removeFromCRL outside of a delta")
		}
		key := prefix + string(e.Serial)
		if _, twice := l.at[key]; twice {
			return refuse(CodeDuplicate, "")
		}
		l.at[key] = i
	}
	return nil
}

// prefix stands before the serials of an issuer in the index. Serials of the list's own have none: a name's prefix begins with two octets of zero,
// as no INTEGER does.
func (l *List) prefix(issuer pkix.Name) string {
	if issuer.Equal(l.info.Issuer) {
		return ""
	}
	return issuer.Canonical()
}

// Info is what the list says of itself.
func (l *List) Info() *pkix.ListInfo { return &l.info }

// Raw is the list as it came.
func (l *List) Raw() []byte { return l.raw }

// Entries are all entries in the list's order.
func (l *List) Entries() []Entry { return l.entries }

// CheckSignature tells whether that key signed the list; see cert.List. The last key that did is remembered.
func (l *List) CheckSignature(key *pkix.PublicKey, policy *pkix.Policy) error {
	scheme, err := policy.Scheme(key, l.info.Algorithm)
	if err != nil {
		return err
	}
	if l.verified.Load().Equal(key) {
		return nil
	}
	if err := pkix.VerifyDigest(key, scheme, pkix.Digest(scheme.Hash(), l.tbs), l.signature); err != nil {
		return err
	}
	l.verified.Store(key)
	return nil
}

// Lookup finds the entry of a certificate by its issuer and the content of its serial.
func (l *List) Lookup(issuer pkix.Name, serial []byte) (pkix.Revocation, bool) {
	i, ok := l.at[l.prefix(issuer)+string(serial)]
	if !ok {
		return pkix.Revocation{}, false
	}
	e := &l.entries[i]
	return pkix.Revocation{At: e.Date, Reason: e.Reason}, true
}

// SignedBy is the SubjectPublicKeyInfo of the key that verified the list, or nil as long as none did.
func (l *List) SignedBy() []byte {
	if key := l.verified.Load(); key != nil {
		return key.Raw
	}
	return nil
}
