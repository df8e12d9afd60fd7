package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/entrance"
	"github.com/musubi-hub/musubi/identity/samlidp/rollover"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

// withProviders is withParties that has served once, with three service providers: of each kind one.
func (i *install) withProviders(t *testing.T) {
	t.Helper()
	i.withParties(t)
	noError(t, os.Rename(i.path("musubi.yaml"), i.path("gates.yaml")))
	hub := i.start(t, "serve", "--listen", "127.0.0.1:0")
	hub.match(t, `(serving on)`)
	hub.kill()
	noError(t, os.Rename(i.path("gates.yaml"), i.path("musubi.yaml")))
	db := i.open(t)
	by, err := access.BreakGlass("test")
	noError(t, err)
	reg := sp.NewRegistry(db).Share(entrance.Names{Issuer: identity.IssuerSAML})
	for _, p := range []sp.SP{
		{ID: "wiki", Name: "文書", Intake: sp.IntakeMetadata, Owner: sapporo},
		{ID: "helpdesk", Name: "問い合わせ", Intake: sp.IntakeCertificates, Owner: hokkaido},
		{ID: "chat", Name: "緊急連絡", Contact: sp.Contact{Name: "危機管理課"}, Products: []policies.Product{policies.ProductSlack}},
	} {
		p.EntityID, p.Sector, p.Sign, p.NameID, p.Least = "https://"+string(p.ID)+".example", "x", sp.SignBoth, sp.NameIDPersistent, policies.AssuranceTwo
		p.Faces = []sp.Face{{Network: policies.NetworkInternet, Consumers: []sp.Consumer{{Location: "https://" + string(p.ID) + ".example/acs"}}}}
		noError(t, reg.Add(t.Context(), by, p, time.Now().UnixMicro()))
	}
	noError(t, db.Close())
}

func states(v readinessView) map[policies.RelyingPartyID]rollover.Reason {
	out := map[policies.RelyingPartyID]rollover.Reason{}
	for _, p := range v.Parties {
		out[p.ID] = p.Reason
	}
	return out
}

func TestKeys(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, i *install) {
		i.withProviders(t)
		with := func(args ...string) []string { return append(args, "--as", i.planner()) }
		refused := func(code int, text string, args ...string) {
			t.Helper()
			if r := i.musubi(t, with(args...)...); r.code != code || !strings.Contains(r.err+r.out, text) {
				t.Errorf("musubi %s: want exit %d and %q: %v", strings.Join(args, " "), code, text, r)
			}
		}

		// Nobody is ready at first; what can't be asked is said.
		var first readinessView
		i.document(t, 0, "musubi.keys.readiness.v1", &first, with("keys", "readiness", "--addresses")...)
		want := map[policies.RelyingPartyID]rollover.Reason{"wiki": rollover.ReasonNeverBefore, "helpdesk": rollover.ReasonByHand, "chat": rollover.ReasonOneHeld}
		if diff := cmp.Diff(want, states(first)); diff != "" || !first.Early || first.Ready {
			t.Errorf("%+v (-want +got):\n%s", first, diff)
		}
		if p := first.Parties[2].Places; len(p) != 1 || !strings.HasPrefix(p[0].Metadata, "https://login.internet.example.go.jp/saml/metadata/wiki/") {
			t.Errorf("its own address: %+v", first.Parties)
		}
		var oidc readinessView
		i.document(t, 0, "musubi.keys.readiness.v1", &oidc, with("keys", "readiness", "oidc-es256")...)
		if len(oidc.Parties) != 2 || !oidc.Ready || oidc.Parties[0].Reason != rollover.ReasonAutomatic {
			t.Errorf("%+v", oidc)
		}
		refused(boot.ExitRefused, "there are no keys for", "keys", "readiness", "nothing")
		refused(boot.ExitRefused, "did you mean", "keys", "switch", "helpdesc")
		refused(boot.ExitRefused, "OpenID", "keys", "switch", "jira")
		refused(boot.ExitRefused, "rehearse", "keys", "switch", "helpdesk")
		refused(boot.ExitRefused, "--told", "keys", "accepted", "helpdesk")
		refused(boot.ExitUsage, "say why", "keys", "accepted", "helpdesk", "--told")
		refused(boot.ExitUsage, "--why", "keys", "rotate", "saml-rs256", "--emergency")
		refused(boot.ExitUsage, "--from", "keys", "rotate", "saml-rs256", "--letters", "x")
		refused(boot.ExitUsage, "--by", "keys", "readiness", "--letters", "x", "--from", "y", "--by", "tomorrow")
		refused(boot.ExitUsage, "--person", "keys", "rehearse", "chat")
		refused(boot.ExitUsage, "isn't reached", "keys", "rehearse", "chat", "--person", "p", "--network", "lgwan")
		if r := i.musubi(t, "keys", "readiness"); r.code != boot.ExitOK && r.code != boot.ExitRefused {
			t.Errorf("as nobody: %v", r)
		}

		// Late ones are named by organization, with a letter each; nothing has changed.
		i.ahead = 15 * 24 * time.Hour
		dir := filepath.Join(t.TempDir(), "letters")
		refused(boot.ExitRefused, "chat, helpdesk, wiki", "keys", "rotate", "saml-rs256", "--letters", dir, "--from", "統合基盤係 内線 1234")
		day := time.Now().Add(i.ahead).UTC().Add(9 * time.Hour).Format(time.DateOnly)
		for org, say := range map[string]string{string(sapporo): "札幌市", string(hokkaido): "北海道", "unowned": "緊急連絡"} {
			text, err := os.ReadFile(filepath.Join(dir, day+"-saml-rs256-"+org+".txt"))
			if err != nil || !strings.Contains(string(text), say) || !strings.Contains(string(text), "BEGIN CERTIFICATE") {
				t.Errorf("the letter to %s: %v\n%.400s", org, err, text)
			}
		}
		refused(boot.ExitUsage, "is there already", "keys", "readiness", "--letters", dir, "--from", "統合基盤係 内線 1234")
		var listed struct {
			Keys []keyDocument `json:"keys"`
		}
		i.document(t, 0, "musubi.keys.v1", &listed, "keys", "list")
		if n := slices.IndexFunc(listed.Keys, func(k keyDocument) bool { return k.ID == first.Active }); n < 0 || listed.Keys[n].State != "active" || listed.Keys[n].Certificate == nil {
			t.Errorf("a refused rotation has done something: %+v", listed.Keys)
		}

		// One is told of, one switched and back and again, one left behind.
		i.must(t, with("keys", "accepted", "helpdesk", "--told", "--why", "情報課から電話")...)
		i.must(t, with("keys", "switch", "chat")...)
		refused(boot.ExitRefused, "already", "keys", "switch", "chat")
		i.must(t, with("keys", "switch", "chat", "--back", "--why", "入れない")...)
		refused(boot.ExitRefused, "rehearse", "keys", "switch", "chat")
		person := string(i.personOfStaff(t, sapporo, 1))
		var rehearsal partyKeyView
		i.document(t, 0, "musubi.keys.party.v1", &rehearsal, with("keys", "rehearse", "chat", "--person", person)...)
		if rehearsal.Done != "rehearses" || rehearsal.Key != first.Next || rehearsal.Network != "internet" {
			t.Errorf("%+v", rehearsal)
		}
		i.must(t, with("keys", "switch", "chat", "--untested")...)
		i.must(t, with("keys", "accepted", "chat")...)
		refused(boot.ExitRefused, "wiki", "keys", "rotate", "saml-rs256")
		refused(boot.ExitRefused, "not found", "keys", "rotate", "saml-rs256", "--leave", "wiki,nobody", "--why", "x")
		var done rotationView
		i.document(t, boot.ExitPartial, "musubi.keys.v1", &done, with("keys", "rotate", "saml-rs256", "--leave", "wiki", "--why", "契約終了")...)
		if done.Keys[0].ID != first.Next || done.Keys[2].ID != first.Active || done.Keys[2].WithdrawnAt != "" {
			t.Errorf("%+v", done.Keys)
		}
		if out := i.must(t, with("audit", "find", "--action", "key.rotate")...); !strings.Contains(out, first.Next) {
			t.Errorf("%s", out)
		}

		// The key is stolen, two hours later: one command; the second one in the panic of the first is refused.
		i.ahead += 2 * time.Hour
		stolen := with("keys", "rotate", "saml-rs256", "--emergency", "--why", "盗難", "--letters", filepath.Join(dir, "now"), "--from", "統合基盤係")
		i.document(t, boot.ExitPartial, "musubi.keys.v1", &done, stolen...)
		if done.Keys[2].ID != first.Next || done.Keys[2].WithdrawnAt == "" || len(done.Readiness.Letters) != 3 {
			t.Errorf("%+v", done)
		}
		text, err := os.ReadFile(done.Readiness.Letters[0])
		if err != nil || !strings.Contains(string(text), "至急") {
			t.Errorf("%v %.200s", err, text)
		}
		refused(boot.ExitRefused, "--unseen", "keys", "rotate", "saml-rs256", "--emergency", "--why", "盗難")
		if r := i.musubi(t, with("keys", "rotate", "saml-rs256", "--emergency", "--unseen", "--why", "次の鍵も盗難")...); r.code != boot.ExitPartial || !strings.Contains(r.err, "chat, helpdesk, wiki") {
			t.Errorf("%v", r)
		}

		// Three years on, the list warns.
		i.ahead += (3*365 - 20) * 24 * time.Hour
		if out := i.must(t, "keys", "list"); !strings.Contains(out, "ends within 30 days") {
			t.Errorf("%s", out)
		}
	})
}
