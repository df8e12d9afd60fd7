package testcard

import (
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// Publish writes the day's lists of both generations. They are fresh for 23 hours: whoever serves for longer publishes again.
func (s *Set) Publish(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := max(s.doc.List+1, uint64(max(now.Unix(), 1))) // a list takes another's place by a higher number alone
	for _, ca := range s.cas[testpki.AuthTree] {
		list := ca.List(number, now)
		for _, r := range s.doc.Cards {
			if r.Revoked.IsZero() {
				continue
			}
			serial, mine, err := s.serial(r.ID, ca)
			if err != nil {
				return err
			}
			if mine {
				list.Entries = append(list.Entries, testpki.Entry{Serial: serial, At: r.Revoked, Reason: testpki.Superseded})
			}
		}
		if err := write(s.path(fmt.Sprintf("crl/%s.crl", caName(ca.Tree, ca.Generation))), list.Der(ca.Key), 0o644); err != nil {
			return err
		}
	}
	s.doc.List = number
	return s.keep()
}

// serial is the serial number of a card, and whether ca issued it.
func (s *Set) serial(id string, ca *testpki.CA) (serial []byte, mine bool, err error) {
	der, _, err := s.readKeyed("cards/" + id)
	if err != nil {
		return nil, false, err
	}
	c, err := pkix.ParseCertificate(der)
	if err != nil {
		return nil, false, fmt.Errorf("testcard: %s: %w", id, err)
	}
	return c.Serial, issued(ca, der), nil
}
