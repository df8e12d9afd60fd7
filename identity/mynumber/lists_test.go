package mynumber_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/mynumber"
)

// takes tells whether a card is accepted now.
func (h *house) takes(c *testpki.Card) string {
	h.t.Helper()
	v, err := h.local.Certificate(h.t.Context(), c.Raw, nil, h.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	return string(v.Code)
}

func TestFolder(t *testing.T) {
	h := one(t, nil)
	card := cards()[0]
	revoked := func(number uint64, change func(*testpki.List)) []byte {
		l := h.ca.List(number, h.Now())
		l.Entries = []testpki.Entry{card.Entry(h.Now(), testpki.KeyCompromise)}
		if change != nil {
			change(&l)
		}
		return l.Der(h.ca.Key)
	}
	good := revoked(200, nil)
	tampered := bytes.Clone(good)
	tampered[len(tampered)-1] ^= 1
	for _, c := range []struct {
		name string
		data []byte
		why  string
	}{
		{"noise", []byte("this is no list"), "crl_encoding"},
		{"cut off", good[:len(good)-10], "crl_truncated"},
		{"something behind it", append(bytes.Clone(good), 0), "crl_trailing"},
		{"tampered with", tampered, "signature"},
		{"forged", stranger().List(300, h.Now()).Der(stranger().Key), "signature"},
		{"of the other tree", pki().Sign[1].List(300, h.Now()).Der(pki().Sign[1].Key), "no anchor has the name"},
		{"of the number in use", revoked(h.number, nil), "crl_lower_number"},
		{"of a lower number", revoked(5, nil), "crl_lower_number"},
		{"without a number", revoked(0, nil), "crl_number"},
		{"of the future", revoked(400, func(l *testpki.List) { l.ThisUpdate, l.NextUpdate = h.Now().Add(time.Hour), h.Now().Add(25*time.Hour) }), "in the future"},
		{"overdue", revoked(400, func(l *testpki.List) { l.NextUpdate = h.Now().Add(-time.Minute) }), "crl_stale"},
		{"PEM of something else", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: good}), "X509 CRL"},
		{"empty", nil, "crl_"},
	} {
		for _, small := range []int64{1 << 20, -1} {
			h.lists.SetSmall(small)
			h.put("bad.crl", c.data)
			report := h.poll()
			if small < 0 && strings.HasPrefix(c.name, "PEM") || small < 0 && c.name == "of the other tree" {
				c.why = "" // refused all the same, in other words
			}
			if len(report.Taken) != 0 || len(report.Refused) != 1 || !strings.Contains(report.Refused[0].Why.Error(), c.why) {
				t.Errorf("%s (small %d): taken %d, refused %v; want %s", c.name, small, len(report.Taken), report.Refused, c.why)
			}
			if got := h.takes(card); got != "ok" {
				t.Errorf("%s: the list in use isn't kept: %s", c.name, got)
			}
		}
	}
	h.lists.SetSmall(1 << 20)
	if err := h.local.Ready(h.Now()); err != nil {
		t.Error(err)
	}
	delete(h.folder, "bad.crl")
	if r := h.poll(); len(r.Taken)+len(r.Refused) != 0 {
		t.Errorf("nothing is new: %+v", r)
	}
	h.put("readme.txt", []byte("not looked at"))
	h.put("new.crl", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: good}))
	if r := h.poll(); len(r.Taken) != 1 || len(r.Refused) != 0 || h.takes(card) != "revoked" {
		t.Errorf("the new list: %+v", r)
	}
	delete(h.folder, "new.crl")
	if h.poll(); h.takes(card) != "revoked" {
		t.Error("a list that was taken out of the folder is forgotten")
	}
	if _, err := h.lists.Poll(t.Context(), missing{}, h.Now()); err == nil {
		t.Error("a folder that can't be read is no error")
	}
}

type missing struct{ fs.FS }

func (missing) Open(string) (fs.File, error) { return nil, fs.ErrNotExist }

// A list for each municipality, more of them than a decision takes.
func TestPartitions(t *testing.T) {
	h := one(t, nil)
	h.folder = fstest.MapFS{}
	h.lists = must(mynumber.NewLists(profileOf(nil), must(cert.ParseAnchors([][]byte{h.ca.Raw}))))
	for i := range 260 {
		l := h.ca.List(7, h.Now())
		l.Partition = testpki.Below(h.ca.Name, testpki.Attribute{Type: "OU", Value: "CRL Distribution Points"}, testpki.Attribute{Type: "CN", Value: strings.Repeat("x", i+1)})
		h.put(strings.Repeat("x", i+1)+".crl", l.Der(h.ca.Key))
	}
	kita := h.ca.List(7, h.Now())
	kita.Partition = h.ca.Partition(testpki.Municipalities[0])
	h.put("kita.crl", kita.Der(h.ca.Key))
	if r := h.poll(); len(r.Taken) != 261 {
		t.Fatalf("%d taken", len(r.Taken))
	}
	here := must(pkix.ParseCertificate(cards()[0].Raw))
	if n := len(h.lists.For(here)); n != 1 {
		t.Errorf("%d lists for a card of the municipality", n)
	}
	elsewhere := must(h.ca.Issue(testpki.Holder{Key: cards()[0].Key, Municipality: testpki.Municipalities[2]}, h.Now()))
	if n := len(h.lists.For(must(pkix.ParseCertificate(elsewhere.Raw)))); n != 0 {
		t.Errorf("%d lists for a card of another", n)
	}
}

// At a restart the folder may hold overdue lists only: the newer of them stands, and whether it counts is the profile's to say.
func TestRestartOnOverdueLists(t *testing.T) {
	for _, allowed := range []cert.Seconds{0, 86400} {
		h := one(t, func(c *cert.Config) { c.DegradedOverdue = allowed })
		h.lists = must(mynumber.NewLists(profileOf(func(c *cert.Config) { c.DegradedOverdue = allowed }), must(cert.ParseAnchors([][]byte{h.ca.Raw}))))
		if h.lists.Ready(h.Now()) == nil {
			t.Error("ready without a list")
		}
		h.folder = fstest.MapFS{}
		older := h.ca.List(1, h.Now().Add(-24*time.Hour))
		h.put("a.crl", older.Der(h.ca.Key))
		newer := h.ca.List(2, h.Now())
		newer.Entries = []testpki.Entry{cards()[0].Entry(h.Now(), testpki.KeyCompromise)}
		h.put("b.crl", newer.Der(h.ca.Key))
		h.Pass(24 * time.Hour)
		r := h.poll()
		if len(r.Taken) != 1 || !r.Taken[0].Old || r.Taken[0].File != "b.crl" || len(r.Refused) != 1 {
			t.Errorf("report %+v", r)
		}
		if ready := h.lists.Ready(h.Now()) == nil; ready != (allowed > 0) {
			t.Errorf("ready: %v", ready)
		}
		s := h.lists.State(h.Now())
		if s.Fresh != 0 || s.Degraded+s.Stale != 1 || (s.Degraded == 1) != (allowed > 0) {
			t.Errorf("state %+v", s)
		}
	}
}

func TestWatch(t *testing.T) {
	h := one(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ticks, told, done := make(chan time.Time), make(chan mynumber.Report), make(chan struct{})
	l := h.ca.List(500, h.Now())
	go func() {
		defer close(done)
		h.lists.Watch(ctx, h.folder, ticks, h.Now, func(r mynumber.Report, err error) {
			if err != nil {
				t.Error(err)
			}
			told <- r
		})
	}()
	ticks <- h.Now() // the first poll found nothing new, or this would block
	ticks <- h.Now()
	cancel()
	<-done
	h.put("new.crl", l.Der(h.ca.Key))
	ctx, cancel = context.WithCancel(t.Context())
	done = make(chan struct{})
	go func() {
		defer close(done)
		h.lists.Watch(ctx, h.folder, ticks, h.Now, func(r mynumber.Report, _ error) { told <- r })
	}()
	if r := <-told; len(r.Taken) != 1 {
		t.Errorf("report %+v", r)
	}
	cancel()
	<-done
	if _, err := h.lists.Poll(ctx, h.folder, logintest.Start); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
}

// A delta adds to its base, and stands beside it.
func TestDelta(t *testing.T) {
	h := one(t, nil)
	if h.takes(cards()[0]) != "ok" {
		t.Fatal("not accepted")
	}
	delta := h.ca.List(h.number+1, h.Now())
	delta.Base, delta.Entries = h.number, []testpki.Entry{cards()[0].Entry(h.Now(), testpki.KeyCompromise)}
	h.put("delta.crl", delta.Der(h.ca.Key))
	if r := h.poll(); len(r.Taken) != 1 || h.takes(cards()[0]) != "revoked" || h.takes(cards()[1]) != "ok" {
		t.Errorf("report %+v, %s, %s", r, h.takes(cards()[0]), h.takes(cards()[1]))
	}
}
