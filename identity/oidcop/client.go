package oidcop

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// known finds a party that is reached in this network.
func (c *call) known(id string) (party.Party, party.Face, *fault) {
	p, err := c.p.opt.Parties.Party(c.r.Context(), c.p.opt.DB.Reader(), policies.RelyingPartyID(id))
	if errors.Is(err, identity.ErrNotFound) {
		return p, party.Face{}, invalidClient("party_unknown")
	}
	if err != nil {
		return p, party.Face{}, broken(err)
	}
	face, ok := p.Face(c.network)
	if !ok {
		return party.Party{}, face, invalidClient("party_network")
	}
	return p, face, nil
}

// credentials is how a program says who it is.
type credentials struct {
	method    party.AuthMethod
	id        string
	secret    string
	assertion *jose.JSONWebSignature
}

// parseCredentials reads them: one method a request (RFC 6749, section 2.3).
func parseCredentials(authorization string, in params) (credentials, *fault) {
	if in["client_secret"] != "" {
		return credentials{}, invalidClient("secret_in_body")
	}
	switch {
	case authorization != "" && in["client_assertion"] != "":
		return credentials{}, invalidRequest("auth_twice", "authenticate by one method")
	case authorization != "":
		return parseBasic(authorization, in["client_id"])
	case in["client_assertion"] != "":
		return parseAssertion(in)
	case in["client_id"] != "":
		return credentials{method: party.AuthNone, id: in["client_id"]}, nil
	}
	return credentials{}, invalidClient("auth_missing")
}

// parseBasic reads client_secret_basic, whose two parts are form-encoded first (RFC 6749, section 2.3.1).
func parseBasic(authorization, also string) (credentials, *fault) {
	scheme, rest, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Basic") || len(rest) > maxShort {
		return credentials{}, invalidClient("auth_scheme")
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	if err != nil {
		return credentials{}, invalidClient("auth_malformed")
	}
	user, password, ok := strings.Cut(string(raw), ":")
	id, err := url.QueryUnescape(user)
	secret, err2 := url.QueryUnescape(password)
	if !ok || err != nil || err2 != nil || id == "" || secret == "" {
		return credentials{}, invalidClient("auth_malformed")
	}
	if also != "" && also != id {
		return credentials{}, invalidClient("auth_mismatch")
	}
	return credentials{method: party.AuthSecretBasic, id: id, secret: secret}, nil
}

// parseAssertion reads private_key_jwt far enough to know whose keys to ask.
func parseAssertion(in params) (credentials, *fault) {
	if in["client_assertion_type"] != assertionType {
		return credentials{}, invalidClient("assertion_type")
	}
	jws, err := parseJWT(in["client_assertion"])
	if err != nil {
		return credentials{}, invalidClient("assertion_malformed") // other algorithms too, and none
	}
	cl, err := parseClaims(jws.UnsafePayloadWithoutVerification())
	if err != nil || cl.Subject == "" {
		return credentials{}, invalidClient("assertion_malformed")
	}
	if also := in["client_id"]; also != "" && also != cl.Subject {
		return credentials{}, invalidClient("auth_mismatch")
	}
	return credentials{method: party.AuthPrivateKeyJWT, id: cl.Subject, assertion: jws}, nil
}

// authenticate says which party sends the request. Even where it fails it gives the party whose name was used, for the record.
func (c *call) authenticate(in params) (p party.Party, face party.Face, f *fault) {
	p, face, f = c.prove(in)
	if f == nil {
		f = c.spent()
	}
	return p, face, f
}

// prove is authenticate, but that what was proven by may still be spent: the caller spends it by c.spend in the transaction that answers, or
// by c.spent before any other answer.
func (c *call) prove(in params) (party.Party, party.Face, *fault) {
	cred, f := parseCredentials(c.r.Header.Get("Authorization"), in)
	if f != nil {
		return party.Party{}, party.Face{}, f
	}
	p, face, f := c.known(cred.id)
	if f != nil {
		return p, face, f
	}
	if cred.method != p.Auth {
		return p, face, invalidClient("auth_method")
	}
	switch cred.method {
	case party.AuthSecretBasic:
		if !p.SecretIs(cred.secret, c.at) {
			return p, face, invalidClient("secret_wrong")
		}
	case party.AuthPrivateKeyJWT:
		if f := c.proveAssertion(p, cred.assertion); f != nil {
			return p, face, f
		}
	case party.AuthNone: // PKCE is its proof
	}
	return p, face, nil
}

func (c *call) proveAssertion(p party.Party, jws *jose.JSONWebSignature) *fault {
	header := jws.Signatures[0].Protected
	key, ok := p.Key(header.KeyID, jose.SignatureAlgorithm(header.Algorithm))
	if !ok {
		return invalidClient("assertion_key_unknown")
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return invalidClient("assertion_signature")
	}
	cl, err := parseClaims(payload)
	if err != nil {
		return invalidClient("assertion_malformed")
	}
	ours := []string{c.issuer, c.issuer + pathToken, c.issuer + c.r.URL.Path}
	if reason := checkAssertion(cl, string(p.ID), ours, c.at/1_000_000); reason != "" {
		return invalidClient(reason)
	}
	c.spend = func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO oidc_assertion (hash, expires_at) VALUES ($1, $2)`,
			hashOf(string(p.ID), cl.ID), (*cl.Expires+2*skew)*1_000_000)
		if sqldb.UniqueViolation(err) {
			return errReplayed
		}
		return err
	}
	return nil
}

var errReplayed = errors.New("oidcop: the assertion was used before")

// spent keeps that the assertion was used: it is taken once, whatever becomes of the request.
func (c *call) spent() *fault {
	if c.spend == nil {
		return nil
	}
	err := c.p.opt.DB.Group(c.r.Context(), c.spend)
	c.spend = nil
	switch {
	case errors.Is(err, errReplayed):
		return invalidClient("assertion_replayed")
	case err != nil:
		return broken(err)
	}
	return nil
}
