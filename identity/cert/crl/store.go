package crl

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// Held is a list that a Store may hold: one whose signature was verified, by the key that SignedBy names.
type Held interface {
	Info() *pkix.ListInfo
	CheckSignature(key *pkix.PublicKey, policy *pkix.Policy) error
	Lookup(issuer pkix.Name, serial []byte) (pkix.Revocation, bool)
	SignedBy() []byte
}

// Store holds the lists in use. Readers never wait and never see half a change; one list takes another's place only as Replaces says. The zero
// value is empty and ready.
type Store struct {
	writing sync.Mutex
	lists   atomic.Pointer[map[string][]Held] // by the issuer's canonical name; never changed, only swapped
}

// Of gives the lists of an issuer of lists, in no order. The slice must not be changed.
func (s *Store) Of(issuer pkix.Name) []Held {
	lists := s.lists.Load()
	if lists == nil {
		return nil
	}
	return (*lists)[issuer.Canonical()]
}

// All gives every list, in no order.
func (s *Store) All() []Held {
	var all []Held
	if lists := s.lists.Load(); lists != nil {
		for _, l := range *lists {
			all = append(all, l...)
		}
	}
	return all
}

// Swap puts a list in the place of the one of the same issuer, key and scope, which it returns, or beside all others if there is none. It refuses a
// list whose signature nobody verified (CodeSignature), one that is already past its nextUpdate (CodeStale), and whatever Replaces refuses.
func (s *Store) Swap(list Held, now time.Time) (old Held, err error) {
	if list.SignedBy() == nil {
		return nil, refuse(CodeSignature, "the list's signature wasn't verified")
	}
	if !now.Before(list.Info().NextUpdate) {
		return nil, refuse(CodeStale, "nextUpdate has passed")
	}
	return s.put(list, func(old Held) error { return Replaces(old.Info(), list.Info(), now) })
}

// Restore puts a list from a snapshot into an empty place, at a restart, though its nextUpdate may have passed meanwhile: whether it may still be
// used is for the profile to say.
func (s *Store) Restore(list Held) error {
	if list.SignedBy() == nil {
		return refuse(CodeSignature, "the list's signature wasn't verified")
	}
	_, err := s.put(list, func(Held) error { return refuse(CodeOlder, "there is a list in use") })
	return err
}

func (s *Store) put(list Held, check func(old Held) error) (old Held, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	lists := map[string][]Held{}
	if now := s.lists.Load(); now != nil {
		lists = maps.Clone(*now)
	}
	name := list.Info().Issuer.Canonical()
	of := slices.Clone(lists[name])
	at := slices.IndexFunc(of, func(h Held) bool { return samePlace(h, list) })
	if at < 0 {
		lists[name] = append(of, list)
		s.lists.Store(&lists)
		return nil, nil
	}
	if err := check(of[at]); err != nil {
		return nil, err
	}
	old, of[at] = of[at], list
	lists[name] = of
	s.lists.Store(&lists)
	return old, nil
}

// samePlace tells whether one list would stand where the other does. The key is the one that verified, not the one that the list claims.
func samePlace(a, b Held) bool {
	i, j := a.Info(), b.Info()
	return string(a.SignedBy()) == string(b.SignedBy()) && i.Issuer.Equal(j.Issuer) && SameScope(i, j) && (i.BaseNumber == nil) == (j.BaseNumber == nil)
}
