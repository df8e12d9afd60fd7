package main

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/musubi/registration"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

// rpFlags are the flags of rp add.
type rpFlags struct {
	profile, from, jwks, secretFile string
	metadata, protocol              string
	pins                            []string
	set, networks, resources        []string
	redirects, postLogout, serves   []string
	backchannel, frontchannel       string
	name, auth, alg, sector, least  string
	scopes, functions, products     []string
	native, par, refresh, idClaim   bool
	replace, dryRun                 bool

	entityID, nameID, sign, intake string
	owner, contact, contactName    string
	acs, logout, attributes        []string
	signing, encryption, beyond    []string
	signed, encrypt                bool
	initiated, ignoreContext       bool
}

func (f *rpFlags) define(fl *pflag.FlagSet) {
	fl.StringVar(&f.profile, "profile", "", "a ready registration to begin with (musubi rp profiles)")
	fl.StringArrayVar(&f.set, "set", nil, "NAME=VALUE for a gap of the profile; may be repeated")
	fl.StringVar(&f.metadata, "metadata", "", "SAML: the other side's metadata, a file or an https address; - for standard input")
	fl.StringArrayVar(&f.pins, "pin", nil, "SAML: file of the certificate whose key has to have signed the metadata; may be repeated")
	fl.StringVar(&f.from, "from", "", "registration file, YAML or JSON; - for standard input (musubi rp profiles --schema)")
	fl.StringVar(&f.protocol, "protocol", "", "saml or oidc, where no profile says it (default oidc)")
	fl.StringVar(&f.name, "name", "", "what people call it")
	fl.StringSliceVar(&f.networks, "network", nil, "where it is reached: internet, lgwan, government, separated by commas")
	fl.StringArrayVar(&f.redirects, "redirect", nil, "OpenID: redirect URI, in each of the networks; may be repeated")
	fl.StringArrayVar(&f.postLogout, "post-logout", nil, "OpenID: where a browser may go after a logout; may be repeated")
	fl.StringVar(&f.backchannel, "backchannel", "", "OpenID: back-channel logout URI")
	fl.StringVar(&f.frontchannel, "frontchannel", "", "OpenID: front-channel logout URI")
	fl.StringVar(&f.auth, "auth", "", "OpenID: how it proves itself: private_key_jwt, client_secret_basic, none (native applications)")
	fl.StringVar(&f.jwks, "jwks", "", "OpenID: file of its public keys, a JSON Web Key Set")
	fl.StringVar(&f.alg, "alg", "", "OpenID: signatures of what is signed for it: ES256, RS256")
	fl.StringVar(&f.sector, "sector", "", "parties of one sector see the same subject of a person")
	fl.StringVar(&f.least, "least", "", "what a login must reach: card, aal2, aal1, identifier")
	fl.StringSliceVar(&f.scopes, "scope", nil, "OpenID: what it may ask for: profile, email, phone, organization")
	fl.StringSliceVar(&f.functions, "function", nil, "functions that it carries; who may use one of them enters: "+joinedBy(policies.Functions(), ", "))
	fl.StringSliceVar(&f.products, "product", nil, "who enters holds a seat in one of them: "+joinedBy(policies.Products(), ", "))
	fl.StringArrayVar(&f.resources, "resource", nil, "OpenID: URI or URI=SCOPE,SCOPE: an API that it calls in its own name; may be repeated")
	fl.StringArrayVar(&f.serves, "serves", nil, "OpenID: URI of an API that it is; may be repeated")
	fl.StringVar(&f.entityID, "entity-id", "", "SAML: its entity id")
	fl.StringArrayVar(&f.acs, "acs", nil, "SAML: assertion consumer service, in each of the networks, the default one first; may be repeated")
	fl.StringArrayVar(&f.logout, "logout", nil, "SAML: redirect=URI, post=URI or soap=URI: single logout service; may be repeated")
	fl.StringVar(&f.nameID, "name-id", "", "SAML: how a person is named: persistent, transient, email")
	fl.StringVar(&f.sign, "sign", "", "SAML: what carries a signature: both, response, assertion")
	fl.StringArrayVar(&f.attributes, "attribute", nil, "SAML: FIELD=NAME, told as far as the policies release it; may be repeated, in the place of the profile's")
	fl.StringArrayVar(&f.signing, "signing", nil, "SAML: file of the certificate of a key that signs its requests; may be repeated")
	fl.StringArrayVar(&f.encryption, "encryption", nil, "SAML: file of the certificate of a key to encrypt for; may be repeated")
	fl.StringArrayVar(&f.beyond, "beyond", nil, "SAML: https://HOST to which it leads people on from where it is answered; may be repeated")
	fl.StringVar(&f.intake, "intake", "", "SAML: how it takes our keys: metadata, certificates (two at a time), certificate")
	fl.StringVar(&f.owner, "owner", "", "SAML: number of the organization that answers for it")
	fl.StringVar(&f.contact, "contact", "", "SAML: mail address of who is written to before a key changes")
	fl.StringVar(&f.contactName, "contact-name", "", "SAML: the section or person of --contact")
	fl.BoolVar(&f.signed, "signed", false, "SAML: its requests have to be signed")
	fl.BoolVar(&f.encrypt, "encrypt", false, "SAML: assertions are encrypted for its first key")
	fl.BoolVar(&f.initiated, "initiated", false, "SAML: logins may begin at the hub, by a link of its own")
	fl.BoolVar(&f.ignoreContext, "ignore-context", false, "SAML: what it asks about the kind of login doesn't count: it asks for passwords and can't be told not to")
	fl.BoolVar(&f.native, "native", false, "OpenID: it runs on a person's own machine")
	fl.BoolVar(&f.par, "par", false, "OpenID: only pushed authorization requests are taken (RFC 9126)")
	fl.BoolVar(&f.refresh, "refresh", false, "OpenID: it gets refresh tokens")
	fl.BoolVar(&f.idClaim, "id-claim", false, "OpenID: the claims stand in the ID token too, for a party that doesn't ask userinfo")
	fl.BoolVar(&f.replace, "replace", false, "in the place of the one that there is")
	fl.BoolVar(&f.dryRun, "dry-run", false, "show what would be registered, and change nothing")
	fl.StringVar(&f.secretFile, "secret-file", "", "write a new secret to this file, mode 0600, instead of showing it")
}

func joinedBy[T ~string](all []T, sep string) string {
	return strings.ReplaceAll(joined(all), " ", sep)
}

// written is a registration as it was put together.
type written struct {
	registration.Registration
	left       []string // what of the metadata wasn't taken
	source     *sp.Source
	secretFile string
}

func (w written) party() (relyingParty, error) {
	switch w.Speaks() {
	case registration.SAML:
		p, err := w.SP()
		return relyingParty{saml: &p}, err
	case registration.OIDC:
		p, err := w.Party()
		if err != nil && w.Protocol == "" {
			err = fmt.Errorf("%w; for SAML: --protocol saml, or a profile of SAML (musubi rp profiles)", err)
		}
		return relyingParty{oidc: &p}, err
	}
	return relyingParty{}, fmt.Errorf("protocol: %q is neither saml nor oidc", w.Protocol)
}

// registration puts profile, metadata, file and flags over each other; at is UTC in microseconds. fetch gets metadata from an address.
func (f rpFlags) registration(cmd *cobra.Command, id policies.RelyingPartyID, at int64, fetch func(address string) ([]byte, error)) (w written, err error) {
	w.secretFile = f.secretFile
	file, err := f.file(cmd, id)
	if err != nil {
		return w, err
	}
	if f.profile == "" {
		f.profile = file.Profile
	}
	if f.profile == "" && f.metadata != "" {
		f.profile = genericSAML
	}
	networks, err := f.knownNetworks()
	if err != nil {
		return w, err
	}
	var r registration.Registration
	if f.profile != "" {
		p, err := registration.Find(f.profile)
		if err != nil {
			return w, boot.Usage(err)
		}
		r = p.In(networks)
	}
	if r, err = f.withMetadata(cmd, r, &w, at, fetch); err != nil {
		return w, err
	}
	r = r.Over(file)
	flags, err := f.over(cmd, r, networks)
	if err != nil {
		return w, err
	}
	flags.ID = id
	r, err = r.Over(flags).Fill()
	var gaps registration.GapError
	if errors.As(err, &gaps) {
		return w, boot.Usage(fmt.Errorf("the profile %s has gaps: give --set %s=... (musubi rp profiles %s)", f.profile, strings.Join(gaps, "=... --set "), f.profile))
	}
	if r.Sector == "" {
		r.Sector = sectorOf(r)
	}
	if r.Name == "" {
		r.Name = string(id)
	}
	w.Registration = r
	return w, err
}

// genericSAML is the profile of metadata for which none is named.
const genericSAML = "generic-saml"

// file reads --from.
func (f rpFlags) file(cmd *cobra.Command, id policies.RelyingPartyID) (file registration.Registration, err error) {
	if f.from == "" {
		return file, nil
	}
	text, err := readAll(cmd.InOrStdin(), f.from, registration.MaxFile)
	if err != nil {
		return file, boot.Usage(fmt.Errorf("--from: %w", err))
	}
	if file, err = registration.Read(text); err != nil {
		return file, boot.Usage(fmt.Errorf("--from %s: %w", f.from, err))
	}
	if file.ID != "" && file.ID != id {
		return file, boot.Usage(fmt.Errorf("--from %s: its id is %s, not %s", f.from, file.ID, id))
	}
	return file, nil
}

func isAddress(text string) bool { return strings.Contains(text, "://") }

// withMetadata puts --metadata over a registration.
func (f rpFlags) withMetadata(cmd *cobra.Command, r registration.Registration, w *written, at int64, fetch func(address string) ([]byte, error)) (registration.Registration, error) {
	switch {
	case f.metadata == "" && len(f.pins) > 0:
		return r, boot.Usage(errors.New("--pin is about --metadata"))
	case f.metadata == "":
		return r, nil
	case f.metadata == "-" && f.from == "-":
		return r, boot.Usage(errors.New("--metadata and --from can't both read standard input"))
	case r.Speaks() != registration.SAML:
		return r, boot.Usage(fmt.Errorf("--metadata is SAML's, and the profile %s speaks OpenID (musubi rp profiles)", f.profile))
	}
	source := &sp.Source{}
	var signers []*x509.Certificate
	for _, name := range f.pins {
		text, err := readAll(nil, name, registration.MaxFile)
		if err != nil {
			return r, boot.Usage(fmt.Errorf("--pin: %w", err))
		}
		der, err := registration.Certificate(string(text))
		if err != nil {
			return r, boot.Usage(fmt.Errorf("--pin %s: %w", name, err))
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return r, boot.Usage(fmt.Errorf("--pin %s: %w", name, err))
		}
		signers, source.Signers = append(signers, c), append(source.Signers, der)
	}
	var text []byte
	var err error
	if isAddress(f.metadata) {
		if err := sp.Address(f.metadata); err != nil {
			return r, boot.Usage(fmt.Errorf("--metadata: %w", err))
		}
		source.Address = f.metadata
		if text, err = fetch(f.metadata); err != nil {
			return r, err
		}
	} else if text, err = readAll(cmd.InOrStdin(), f.metadata, maxMetadata); err != nil {
		return r, boot.Usage(fmt.Errorf("--metadata: %w", err))
	}
	m, err := sp.ReadMetadata(text, at, signers)
	if err != nil {
		return r, boot.Refused(fmt.Errorf("--metadata %s: %w", f.metadata, err))
	}
	for n := range r.Networks {
		source.Networks = append(source.Networks, n)
	}
	slices.Sort(source.Networks)
	w.left, w.source = m.Notices, source
	return r.WithMetadata(m), nil
}

// maxMetadata bounds a provider's metadata, in bytes, as sp.ReadMetadata does.
const maxMetadata = 1 << 20

func (f rpFlags) knownNetworks() (all []policies.Network, err error) {
	for _, n := range f.networks {
		if !slices.Contains(policies.Networks(), policies.Network(n)) {
			return nil, boot.Usage(fmt.Errorf("--network %q: write one of %q", n, policies.Networks()))
		}
		all = append(all, policies.Network(n))
	}
	return all, nil
}

// over gives what the flags say, in each of the networks.
func (f rpFlags) over(cmd *cobra.Command, base registration.Registration, networks []policies.Network) (r registration.Registration, err error) {
	r = registration.Registration{
		Protocol: registration.Protocol(f.protocol), Name: f.name, Auth: party.AuthMethod(f.auth), Alg: jose.SignatureAlgorithm(f.alg), Sector: f.sector, Least: f.least, Scopes: f.scopes, Values: map[string]string{},
	}
	for _, x := range f.functions {
		r.Functions = append(r.Functions, policies.Function(x))
	}
	for _, x := range f.products {
		r.Products = append(r.Products, policies.Product(x))
	}
	for name, to := range map[string]**bool{
		"native": &r.Native, "par": &r.PAR, "refresh": &r.Refresh, "id-claim": &r.IDClaim,
		"signed": &r.Signed, "encrypt": &r.Encrypt, "initiated": &r.Initiated, "ignore-context": &r.IgnoreContext,
	} {
		if cmd.Flags().Changed(name) {
			v, err := cmd.Flags().GetBool(name)
			if err != nil {
				return r, err
			}
			*to = &v
		}
	}
	for _, pair := range f.set {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" || value == "" {
			return r, boot.Usage(fmt.Errorf("--set %q: write NAME=VALUE", pair))
		}
		r.Values[name] = value
	}
	if f.jwks != "" {
		text, err := readAll(nil, f.jwks, registration.MaxFile)
		if err != nil {
			return r, boot.Usage(fmt.Errorf("--jwks: %w", err))
		}
		if err := json.Unmarshal(text, &r.JWKS); err != nil {
			return r, boot.Usage(fmt.Errorf("--jwks %s: not a JSON Web Key Set: %w", f.jwks, err))
		}
	}
	face := registration.Face{Redirects: f.redirects, PostLogout: f.postLogout, Backchannel: f.backchannel, Frontchannel: f.frontchannel, Serves: f.serves}
	if err := f.overSAML(&r, &face); err != nil {
		return r, err
	}
	for _, text := range f.resources {
		uri, scopes, some := strings.Cut(text, "=")
		x := party.Resource{URI: uri}
		if some {
			x.Scopes = strings.Split(scopes, ",")
		}
		face.Resources = append(face.Resources, x)
	}
	if len(networks) == 0 {
		for n := range base.Networks {
			networks = append(networks, n)
		}
	}
	if len(networks) == 0 && (len(f.redirects) > 0 || len(f.resources) > 0 || len(f.serves) > 0 || len(f.acs) > 0) {
		networks = []policies.Network{policies.NetworkInternet}
	}
	if len(networks) > 0 {
		r.Networks = map[policies.Network]registration.Face{}
		for _, n := range networks {
			r.Networks[n] = face
		}
	}
	return r, nil
}

// overSAML puts what the flags say of a service provider into r and its face.
func (f rpFlags) overSAML(r *registration.Registration, face *registration.Face) error {
	r.EntityID, r.NameID, r.Sign, r.Intake, r.Owner = f.entityID, f.nameID, sp.Sign(f.sign), sp.Intake(f.intake), registration.Number(f.owner)
	r.Contact, r.Beyond = sp.Contact{Name: f.contactName, Mail: f.contact}, f.beyond
	for i, location := range f.acs {
		face.Consumers = append(face.Consumers, sp.Consumer{Location: location, Index: i, Default: i == 0})
	}
	for _, text := range f.logout {
		binding, location, ok := strings.Cut(text, "=")
		if !ok || binding != "redirect" && binding != "post" && binding != "soap" {
			return boot.Usage(fmt.Errorf("--logout %q: write redirect=URI, post=URI or soap=URI", text))
		}
		face.Logout = append(face.Logout, registration.Endpoint{Binding: binding, Location: location})
	}
	for _, text := range f.attributes {
		field, name, ok := strings.Cut(text, "=")
		if !ok || !slices.Contains(sp.Fields(), sp.Field(field)) {
			return boot.Usage(fmt.Errorf("--attribute %q: write FIELD=NAME; the fields are %s", text, joinedBy(sp.Fields(), ", ")))
		}
		r.Attributes = append(r.Attributes, registration.Attribute{Field: sp.Field(field), Name: name})
	}
	for _, name := range f.signing {
		text, err := readAll(nil, name, registration.MaxFile)
		if err != nil {
			return boot.Usage(fmt.Errorf("--signing: %w", err))
		}
		r.Signing = append(r.Signing, string(text))
	}
	for _, name := range f.encryption {
		text, err := readAll(nil, name, registration.MaxFile)
		if err != nil {
			return boot.Usage(fmt.Errorf("--encryption: %w", err))
		}
		r.Encryption = append(r.Encryption, registration.Encryption{Certificate: string(text)})
	}
	return nil
}

// sectorOf is the host of the redirect URIs (OpenID Connect Core 1.0, section 8.1), or of the assertion consumer services, where they have one
// in common.
func sectorOf(r registration.Registration) (host string) {
	for _, f := range r.Networks {
		all := slices.Clone(f.Redirects)
		for _, c := range f.Consumers {
			all = append(all, c.Location)
		}
		for _, text := range all {
			u, err := url.Parse(text)
			if err != nil || host != "" && u.Hostname() != host {
				return ""
			}
			host = u.Hostname()
		}
	}
	return host
}

// readAll reads a bounded file; - is standard input.
func readAll(in io.Reader, name string, most int64) (text []byte, err error) {
	if name != "-" || in == nil {
		file, err := os.Open(name) // #nosec G304 -- named by whoever runs the command
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	text, err = io.ReadAll(io.LimitReader(in, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s: more than %d bytes", name, most)
	}
	return text, err
}
