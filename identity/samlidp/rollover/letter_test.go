package rollover_test

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity/samlidp/rollover"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

// certificate is of a key of nobody, so that letters stay the same.
func certificate(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "certificate.pem"))
	must(t, err)
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("testdata/certificate.pem holds no certificate")
	}
	return block.Bytes
}

// TestLetter compares letters with what stands in testdata; UPDATE=1 writes them anew.
func TestLetter(t *testing.T) {
	standings := []rollover.Standing{
		{
			Counterparty: rollover.Counterparty{
				ID: "slack", Name: "緊急連絡", Intake: sp.IntakeCertificate, Products: []policies.Product{policies.ProductSlack},
				Contact: sp.Contact{Name: "情報政策課", Mail: "saml@city.example"},
			},
			State: rollover.Late, Reason: rollover.ReasonOneHeld,
		},
		{
			Counterparty: rollover.Counterparty{ID: "jira", Name: "案件管理", Intake: sp.IntakeCertificates, Products: []policies.Product{policies.ProductJira}},
			State:        rollover.Late, Reason: rollover.ReasonByHand,
		},
		{Counterparty: rollover.Counterparty{ID: "wiki", Name: "庁内文書", Intake: sp.IntakeMetadata}, State: rollover.Unknown, Reason: rollover.ReasonNeverBefore},
	}
	places := map[policies.RelyingPartyID][]rollover.Place{"wiki": {{
		Network: policies.NetworkLGWAN, EntityID: "https://login.musubi.example/saml/metadata", Metadata: "https://login.musubi.example/saml/metadata/wiki/0123456789abcdef",
	}}}
	der := certificate(t)
	for name, l := range map[string]rollover.Letter{
		"planned":   {Org: "試験市", Standings: standings, Places: places, Certificate: der, Before: der, From: "統合基盤係 内線 1234", By: now + 14*day, At: now},
		"emergency": {Standings: standings, Places: places, Certificate: der, Emergency: true, From: "統合基盤係 内線 1234", At: now},
	} {
		got, err := l.Text()
		must(t, err)
		file := filepath.Join("testdata", name+".txt")
		if os.Getenv("UPDATE") != "" {
			must(t, os.WriteFile(file, []byte(got), 0o600))
		}
		want, err := os.ReadFile(file)
		must(t, err)
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got; UPDATE=1 writes it anew):\n%s", name, diff)
		}
		// The certificate can be taken out of the letter as it stands.
		if block, _ := pem.Decode([]byte(got)); block == nil || string(block.Bytes) != string(der) {
			t.Errorf("%s: no certificate can be read from it", name)
		}
	}
	for what, l := range map[string]rollover.Letter{
		"about nobody":      {Certificate: der, From: "x"},
		"of nobody":         {Standings: standings, Certificate: der, From: " "},
		"with a line break": {Standings: standings, Certificate: der, From: "a\nb"},
		"too long":          {Standings: standings, Certificate: der, From: strings.Repeat("x", 301)},
		"no certificate":    {Standings: standings, From: "x"},
	} {
		if text, err := l.Text(); err == nil {
			t.Errorf("%s: %s", what, text)
		}
	}
}
