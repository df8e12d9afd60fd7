package signin

import (
	"net/http"
	"net/url"
	"regexp"

	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/network"
	"github.com/musubi-hub/musubi/policies"
)

// CardHandler serves a network's card host: the card, signed challenges, and nothing else. The browser comes with the certificate, and leaves with a
// code for the login host.
func (s *Site) CardHandler(n policies.Network) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+CardPath, meant(s.card)) // HEAD would use the ticket up
	if s.cfg.CardAPI != nil {
		mux.Handle(CardAPI, s.cfg.CardAPI)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.message(w, r, http.StatusNotFound, page.Sentence{
			What: page.Label{JA: "ここは、カードを読み取るためだけのアドレスです。", EN: "This address reads cards, and does nothing else."},
			Do:   page.Label{JA: "ログインの画面から始めてください。", EN: "Begin at the login page."},
		}, s.cfg.Table.URL(n, network.RoleLogin, "/"), buttonHome, "")
	})
	return s.here(n, network.RoleCard, mux)
}

var isLoginID = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`).MatchString

// card takes a card's certificate for a ticket.
func (s *Site) card(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	v := visit(r, "")
	to, refusal, err := s.dispatcher.Prove(r.Context(), v, q.Get("ticket"), r)
	switch {
	case err != nil:
		s.broken(w, r, err)
	case refusal != nil:
		s.cardRefused(w, r, v.Network, q, *refusal)
	default:
		http.Redirect(w, r, to, http.StatusSeeOther) //nolint:gosec // G710: ReturnTo made it, on the login host of this network
	}
}

// cardRefused shows why a card didn't do, and the way back to try again: the ticket is used up, the login isn't.
func (s *Site) cardRefused(w http.ResponseWriter, r *http.Request, n policies.Network, q url.Values, no login.Refusal) {
	say := page.Reason(no.Reason, no.Code)
	body := page.MessageBody{Do: say.Do, Incident: no.Incident}
	if no.Code == codeNoCard {
		body.Steps = noCardSteps
	}
	if id := q.Get("login"); isLoginID(id) {
		body.Link = s.cfg.Table.URL(n, network.RoleLogin, loginPath(identity.LoginID(id)))
		body.Button = page.Label{JA: "ログインの画面へ戻る", EN: "Back to the login page"}
	}
	s.show(w, r, page.Sheet{Name: page.Message, Status: http.StatusForbidden, Title: say.What, Body: body})
}

// codeNoCard is mynumber's code for a handshake without a certificate.
const codeNoCard = "certificate_missing"

var noCardSteps = []page.Label{
	{JA: "カードがリーダーに置かれ、リーダーのソフトウェア (利用者クライアント) が動いているか確かめます。", EN: "Check that the card is on the reader and that the reader's software is running."},
	{JA: "証明書を選ぶ画面で「キャンセル」を押したときは、ブラウザが答えを覚えています。窓をすべて閉じてから開き直します。", EN: "If you cancelled the choice of a certificate, the browser remembers it: close all its windows."},
	{
		JA: "試験用カードの方は、PKCS#12 ファイルをブラウザ (または端末) の証明書に取り込んでから、もう一度お試しください。",
		EN: "With a test card, import its PKCS#12 file into the browser's (or the device's) certificates first.",
	},
}
