package cert_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// directoryNames are n names in one GeneralNames, the last one different for each salt; their strings need preparation.
func directoryNames(n int, salt string) []byte {
	var out []byte
	for i := range n {
		out = append(out, der.Wrap(der.Constructed(4), must(pkix.ParseDN(fmt.Sprintf("CN=Ａ%s%d", salt, i))).Raw)...)
	}
	return out
}

// slow is a decision that somebody has prepared to take long.
type slow struct {
	in      cert.Input
	profile *cert.Profile
	anchors *cert.Anchors
}

// hostile are inputs that are well formed and made to be slow. Each must end with a refusal after a bounded amount of work.
func hostile() map[string]func() slow {
	root := made("root", "root", 1, true)
	anchors := must(cert.ParseAnchors([][]byte{root}))
	generic := profile(cert.Generic)
	return map[string]func() slow{
		"a thousand names of a point against those of four lists": func() slow {
			point := der.Wrap(der.Constructed(0), der.Wrap(der.Constructed(0), directoryNames(1000, "x")))
			leaf := made("root", "leaf", 2, false, testpki.Extension{OID: pkix.OIDDistPoints, Value: der.Wrap(der.Sequence, der.Wrap(der.Sequence, point))})
			in := evidence(leaf, nil)
			for i := range 4 {
				scope := der.Wrap(der.Sequence, der.Wrap(der.Constructed(0), der.Wrap(der.Constructed(0), directoryNames(1000, fmt.Sprint("y", i)))))
				l := testpki.List{
					Issuer: must(pkix.ParseDN("CN=root")).Raw, ThisUpdate: present.Add(-1), NextUpdate: present.Add(1e12), Number: uint64(i),
					IssuerKey: testpki.SPKI(chainKey.Public()),
					Extra:     []testpki.Extension{{OID: pkix.OIDIssuingDistPoint, Critical: true, Value: scope}},
				}
				readList(&in, l.Der(chainKey))
			}
			return slow{in, generic, anchors}
		},
		"a thousand names against a thousand constraints": func() slow {
			var trees []byte
			names := der.NewReader(directoryNames(700, "x"))
			for !names.Empty() {
				_, _, whole, err := names.Next()
				if err != nil {
					panic(err)
				}
				trees = append(trees, der.Wrap(der.Sequence, whole)...)
			}
			limits := testpki.Extension{OID: pkix.OIDNameConstraints, Critical: true, Value: der.Wrap(der.Sequence, der.Wrap(der.Constructed(1), trees))}
			in := cert.Input{
				Time: present, Intermediates: [][]byte{made("root", "a", 3, true, limits), made("a", "b", 4, true, limits)},
				Leaf: made("b", "leaf", 2, false, testpki.Extension{OID: pkix.OIDSubjectAltName, Value: der.Wrap(der.Sequence, directoryNames(1000, "y"))}),
			}
			return slow{in, generic, anchors}
		},
		"policies that are mapped to and fro in a mesh": func() slow {
			var policies, mappings []byte
			for i := range 250 {
				id := der.Wrap(der.OID, []byte{0x2a, 0x83, byte(i & 0x7f), byte(i >> 7)})
				policies = append(policies, der.Wrap(der.Sequence, id)...)
				mappings = append(mappings, der.Wrap(der.Sequence, id, id)...)
			}
			exts := []testpki.Extension{
				{OID: pkix.OIDPolicies, Value: der.Wrap(der.Sequence, policies)}, {OID: pkix.OIDPolicyMappings, Value: der.Wrap(der.Sequence, mappings)},
			}
			in := cert.Input{
				Time: present, Leaf: made("0", "leaf", 2, false), Options: cert.Options{RequireExplicitPolicy: true, Revocation: cert.NoCheck},
			}
			for i := range 8 {
				in.Intermediates = append(in.Intermediates, made("root", fmt.Sprint(i), 5, true, exts...))
				for j := range 8 {
					if i != j {
						in.Intermediates = append(in.Intermediates, made(fmt.Sprint(i), fmt.Sprint(j), 3, true, exts...))
					}
				}
			}
			return slow{in, generic, anchors}
		},
		"long names that are equal only after preparation": func() slow {
			long := func(i int) string {
				b := make([]byte, 0, 12000)
				for k := range 2000 {
					b = append(b, "Ａａ"[3*((i>>(k%7))&1):3*((i>>(k%7))&1)+3]...)
				}
				return string(b)
			}
			in := cert.Input{Time: present, Leaf: made(long(0), "leaf", 2, false), Options: cert.Options{Revocation: cert.NoCheck}}
			for i := range 80 {
				in.Intermediates = append(in.Intermediates, made(long(i), long(i+1), byte(i+1), true))
			}
			return slow{in, generic, anchors}
		},
	}
}

func TestHostileInputIsBounded(t *testing.T) {
	for what, prepare := range hostile() {
		t.Run(what, func(t *testing.T) {
			s := prepare()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			v := s.profile.Verify(s.anchors, s.in)
			runtime.ReadMemStats(&after)
			if v.Valid {
				t.Fatal("valid")
			}
			t.Logf("%s: %s", v.Code, v.Evidence.Detail())
			if n := after.TotalAlloc - before.TotalAlloc; n > 1<<30 {
				t.Errorf("%d MiB were allocated on the way to %s", n>>20, v.Code)
			}
		})
	}
}
