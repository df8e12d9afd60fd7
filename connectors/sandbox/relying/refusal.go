package relying

import (
	"errors"
	"net/http"
	"regexp"

	"golang.org/x/oauth2"

	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

// Of the reasons of package visitor these are used here as well.
type (
	// Reason says for machines why somebody wasn't let in, or a logout not taken.
	Reason = visitor.Reason
	// Refusal is what a person, or the provider, is told.
	Refusal = visitor.Refusal
)

// The reasons. What begins with id_token or logout is about a token of the provider.
//
//nolint:gosec // names of reasons, no credentials
const (
	ResponseMalformed Reason = "response_malformed" // a parameter is missing, too long, or there twice
	ResponseIssuer    Reason = "response_issuer"    // the response is another provider's (RFC 9207)
	CodeRefused       Reason = "code_refused"       // the token end point said no, with Code
	TokenResponse     Reason = "token_response"     // what it gave isn't a bearer token with an ID token
	IDTokenSignature  Reason = "id_token_signature" // algorithm, key or signature
	IDTokenType       Reason = "id_token_type"
	IDTokenMalformed  Reason = "id_token_malformed"
	IDTokenIssuer     Reason = "id_token_issuer"
	IDTokenAudience   Reason = "id_token_audience"
	IDTokenParty      Reason = "id_token_party" // azp
	IDTokenExpired    Reason = "id_token_expired"
	IDTokenTime       Reason = "id_token_time" // issued in the future, or long ago
	IDTokenNonce      Reason = "id_token_nonce"
	IDTokenSubject    Reason = "id_token_subject"
	IDTokenAccessHash Reason = "id_token_at_hash"
	IDTokenRejected   Reason = "id_token_rejected" // by the library's own reading
	UserinfoRefused   Reason = "userinfo_refused"
	UserinfoSubject   Reason = "userinfo_subject"
	LogoutMalformed   Reason = "logout_malformed"
	LogoutSignature   Reason = "logout_signature"
	LogoutType        Reason = "logout_type"
	LogoutIssuer      Reason = "logout_issuer"
	LogoutAudience    Reason = "logout_audience"
	LogoutExpired     Reason = "logout_expired"
	LogoutTime        Reason = "logout_time"
	LogoutEvent       Reason = "logout_event"
	LogoutNonce       Reason = "logout_nonce"
	LogoutSubject     Reason = "logout_subject"
	LogoutID          Reason = "logout_jti"
	LogoutReplayed    Reason = "logout_replayed"
	LogoutRejected    Reason = "logout_rejected"
)

var codeForm = regexp.MustCompile(`^[a-z_]{1,64}$`)

// saidNo reads an error of the provider. Of its free text only the incident number is used: a page must not say what a link told it to.
func saidNo(reason Reason, code, description string) *Refusal {
	no := &Refusal{Status: http.StatusForbidden, Reason: reason, Code: "unknown"}
	if codeForm.MatchString(code) {
		no.Code = code
	}
	no.Incident = visitor.IncidentIn(description)
	if no.Code == "temporarily_unavailable" || no.Code == "server_error" {
		no.Status = http.StatusBadGateway
	}
	return no
}

// exchangeFailed reads the failure of a request to the token end point. Its body never goes anywhere: it may hold what was sent.
func exchangeFailed(err error) *Refusal {
	var said *oauth2.RetrieveError
	if errors.As(err, &said) && said.ErrorCode != "" {
		return saidNo(CodeRefused, said.ErrorCode, said.ErrorDescription)
	}
	if errors.As(err, &said) && said.Response != nil && said.Response.StatusCode < http.StatusInternalServerError {
		return visitor.Refuse(TokenResponse)
	}
	return unreachable()
}

func unreachable() *Refusal {
	return &Refusal{Status: http.StatusBadGateway, Reason: visitor.ProviderUnreachable}
}
