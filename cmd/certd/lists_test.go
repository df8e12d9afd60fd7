package main

import (
	"encoding/pem"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/crl"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// TestLargeListsSayTheSame: a list that is read into a set because of its size decides as one whose entries are all kept apart.
func TestLargeListsSayTheSame(t *testing.T) {
	pki, err := testpki.New(testpki.Seeded("lists"), testpki.Options{Now: now, Kind: testpki.P256})
	if err != nil {
		t.Fatal(err)
	}
	var ders [][]byte
	for _, ca := range pki.Auth {
		ders = append(ders, ca.Raw)
	}
	anchors, err := cert.ParseAnchors(ders)
	if err != nil {
		t.Fatal(err)
	}
	var profile *cert.Profile
	for _, c := range cert.Profiles() {
		if c.Name == cert.JPKIAuthTest {
			if profile, err = cert.NewProfile(c); err != nil {
				t.Fatal(err)
			}
		}
	}
	ca := pki.Auth[1]
	var cards [2]*testpki.Card
	for i := range cards {
		if cards[i], err = ca.Issue(testpki.Holder{Kind: testpki.P256}, now); err != nil {
			t.Fatal(err)
		}
	}
	l := ca.List(7, now)
	l.Partition = ca.Partition(testpki.Municipalities[0])
	l.Entries = []testpki.Entry{cards[0].Entry(now.Add(-time.Hour), testpki.KeyCompromise)}
	der := l.Der(ca.Key)

	for i, want := range []cert.Code{cert.Revoked, cert.OK} {
		var details []string
		for _, small := range []int{smallList, 10} {
			read, err := parseList(der, profile, anchors, small)
			if err != nil {
				t.Fatal(err)
			}
			if _, isSet := read.(*crl.Set); isSet != (small == 10) {
				t.Fatalf("%d octets, small below %d: %T", len(der), small, read)
			}
			v := profile.Verify(anchors, cert.Input{Time: now, Leaf: cards[i].Raw, Lists: []cert.List{read}})
			if v.Code != want {
				t.Errorf("card %d by %T: %s (%s), want %s", i, read, v.Code, v.Evidence.Detail(), want)
			}
			raw, err := v.Evidence.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			details = append(details, string(raw))
		}
		if details[0] != details[1] {
			t.Errorf("the evidence differs:\n%s\n%s", details[0], details[1])
		}
	}
	// What no anchor signed is read all the same, and refused by its signature.
	read, err := parseList(l.Der(pki.Sign[0].Key), profile, anchors, 10)
	if err != nil {
		t.Fatal(err)
	}
	if v := profile.Verify(anchors, cert.Input{Time: now, Leaf: cards[1].Raw, Lists: []cert.List{read}}); v.Code != cert.RevocationBad {
		t.Errorf("a list that another tree's key signed: %s", v.Code)
	}
}

func TestPEMIsReadStrictly(t *testing.T) {
	block := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{0x30, 0}}))
	for in, want := range map[string]int{
		block: 1, block + "\n" + block: 2, "Bag Attributes\n" + block: 1, "": 0, "x": 0, block + "-----BEGIN CERTIFICATE-----\nAA": 0,
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{0x30, 0}})): 0,
	} {
		got, err := decodePEM(in, "CERTIFICATE")
		if (err == nil) != (want > 0) || err == nil && len(got) != want {
			t.Errorf("%q: %d blocks, %v", in, len(got), err)
		}
	}
}
