package oidcop

import (
	"net/http"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/policies"
)

// document is the discovery document: the library's, with what it doesn't know.
type document struct {
	oidc.DiscoveryConfiguration
	Pushed              string `json:"pushed_authorization_request_endpoint"`          // RFC 9126, section 5
	Iss                 bool   `json:"authorization_response_iss_parameter_supported"` // RFC 9207, section 3
	FrontchannelLogout  bool   `json:"frontchannel_logout_supported"`
	FrontchannelSession bool   `json:"frontchannel_logout_session_supported"`
}

func discoveryOf(issuer string) document {
	var algs, acrs []string
	for _, a := range algorithms {
		algs = append(algs, string(a))
	}
	for _, a := range policies.Assurances() {
		acrs = append(acrs, a.ACR())
	}
	proven := []oidc.AuthMethod{oidc.AuthMethodPrivateKeyJWT, oidc.AuthMethodBasic}
	return document{
		DiscoveryConfiguration: oidc.DiscoveryConfiguration{
			Issuer:                issuer,
			AuthorizationEndpoint: issuer + pathAuthorize,
			TokenEndpoint:         issuer + pathToken,
			IntrospectionEndpoint: issuer + pathInspect,
			UserinfoEndpoint:      issuer + pathUserinfo,
			RevocationEndpoint:    issuer + pathRevoke,
			EndSessionEndpoint:    issuer + pathLogout,
			JwksURI:               issuer + pathKeys,

			ScopesSupported:                  party.Scopes(),
			ResponseTypesSupported:           []string{"code"},
			ResponseModesSupported:           []string{"query", "form_post"},
			GrantTypesSupported:              []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken, oidc.GrantTypeClientCredentials},
			ACRValuesSupported:               acrs,
			SubjectTypesSupported:            []string{"pairwise"},
			IDTokenSigningAlgValuesSupported: algs,

			TokenEndpointAuthMethodsSupported:                  append(proven, oidc.AuthMethodNone),
			TokenEndpointAuthSigningAlgValuesSupported:         algs,
			RevocationEndpointAuthMethodsSupported:             append(proven[:2:2], oidc.AuthMethodNone),
			RevocationEndpointAuthSigningAlgValuesSupported:    algs,
			IntrospectionEndpointAuthMethodsSupported:          proven,
			IntrospectionEndpointAuthSigningAlgValuesSupported: algs,

			ClaimsSupported: []string{
				"iss", "sub", "aud", "azp", "exp", "iat", "nonce", "auth_time", "acr", "amr", "sid", "at_hash", "name", "family_name", "given_name", "email",
				"phone_number", "phone_extension", "organization", "organization_name", "organization_kind", "section", "title", "role",
			},
			CodeChallengeMethodsSupported:     []oidc.CodeChallengeMethod{oidc.CodeChallengeMethodS256},
			BackChannelLogoutSupported:        true,
			BackChannelLogoutSessionSupported: true,
		},
		Pushed: issuer + pathPush, Iss: true, FrontchannelLogout: true, FrontchannelSession: true,
	}
}

func (c *call) discovery() {
	c.w.Header().Set("Cache-Control", "public, max-age=300")
	c.answer(http.StatusOK, discoveryOf(c.issuer))
}

// keys serves the keys that relying parties verify by: the active one, the next one, and those that retired a short while ago.
func (c *call) keys() {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, alg := range algorithms {
		published, err := c.p.opt.Keys.Published(c.r.Context(), c.p.opt.DB.Reader(), purposeOf(alg))
		if err != nil {
			c.refuse("", "oidc.keys", broken(err))
			return
		}
		for _, k := range published {
			set.Keys = append(set.Keys, jwkOf(k, alg))
		}
	}
	c.w.Header().Set("Cache-Control", "public, max-age=300")
	c.answer(http.StatusOK, set)
}

func jwkOf(k keys.Key, alg jose.SignatureAlgorithm) jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.Public, KeyID: k.ID, Algorithm: string(alg), Use: "sig"}
}
