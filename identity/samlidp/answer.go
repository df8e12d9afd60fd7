package samlidp

import (
	"context"
	"crypto"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/ppid"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
)

// answerable finds where a persisted request is answered. The provider may have changed since the request was checked.
func (p *Provider) answerable(ctx context.Context, tx *sql.Tx, r login.Request) (rp sp.SP, fs facts, err error) {
	if p.EntityID(r.Network) == "" || r.Issuer != identity.IssuerSAML {
		return rp, fs, fmt.Errorf("samlidp: a request of %q in the network %q isn't answered here: %w", r.Issuer, r.Network, identity.ErrRefused)
	}
	if err := json.Unmarshal(r.Facts, &fs); err != nil {
		return rp, fs, fmt.Errorf("samlidp: the facts of a request are damaged: %w", err)
	}
	if rp, err = p.opt.Parties.SP(ctx, tx, r.RelyingParty); err != nil {
		return rp, fs, err
	}
	face, ok := rp.Face(r.Network)
	if ok {
		_, ok = face.At(fs.Consumer)
	}
	if !ok || fs.NameID != rp.NameID {
		return rp, fs, fmt.Errorf("samlidp: %s isn't answered at this address, or by this name, any more: %w", rp.ID, identity.ErrRefused)
	}
	return rp, fs, nil
}

// withheld says why a login that policy permits can't be told to the provider.
type withheld struct{ reason, status string }

// Finish writes the response of a decided login, and what it gave.
func (p *Provider) Finish(ctx context.Context, tx *sql.Tx, r login.Request, l identity.Login) (login.Answer, error) {
	rp, fs, err := p.answerable(ctx, tx, r)
	if err != nil {
		return login.Answer{}, err
	}
	if l.Network != r.Network || l.RelyingParty != r.RelyingParty || l.Session == "" || l.Person == "" || l.Assurance < r.Required || len(l.AMR) == 0 {
		return login.Answer{}, errors.New("samlidp: the login isn't one for this request")
	}
	by, err := p.signingTo(ctx, tx, rp.ID, r.Network, l.Person)
	if err != nil {
		return login.Answer{}, err
	}
	s := statement{key: by.signer.Key().ID, issuer: p.EntityID(r.Network), facts: fs, rp: rp, login: l, at: p.opt.Now().UnixMicro()}
	no, err := p.fill(ctx, tx, &s)
	if err != nil {
		return login.Answer{}, err
	}
	row := audit.Row{
		At: s.at, Actor: string(l.Person), ActorKind: audit.ActorPerson, Action: "saml.response", Org: l.Org, Object: string(rp.ID), Outcome: audit.Done,
		PolicyHash: l.PolicyHash, Detail: map[string]any{"network": l.Network, "context": s.context, "session": l.Session, "name_id": fs.NameID},
	}
	if no != nil {
		row.Outcome, row.Reason = audit.Refused, no.reason
		if row.ID, err = audit.NewIncident(p.opt.Random, p.opt.Now()); err != nil {
			return login.Answer{}, err
		}
		if err := audit.Append(ctx, tx, row); err != nil {
			return login.Answer{}, err
		}
		return login.Answer{Location: fs.Consumer, Later: func() (login.Answer, error) {
			return p.refusal(by, s.issuer, rp, fs, no.status, row.ID, s.at)
		}}, nil
	}
	if err := p.keep(ctx, tx, &s); err != nil {
		return login.Answer{}, err
	}
	row.Detail["grant"] = s.grant
	if by.rehearsal != "" {
		row.Detail["rehearses_key"] = s.key
		if err := p.rollover.Rehearsed(ctx, tx, by.rehearsal, s.at); err != nil {
			return login.Answer{}, err
		}
	}
	if err := audit.Append(ctx, tx, row); err != nil {
		return login.Answer{}, err
	}
	if s.rp.Encrypt {
		if _, _, err := s.rp.EncryptionKey(); err != nil {
			return login.Answer{}, err
		}
	}
	// It is signed, and encrypted, after the commit: milliseconds in which others write.
	return login.Answer{Location: fs.Consumer, Later: func() (login.Answer, error) { return p.success(by, s) }}, nil
}

// fill finds what is said about the person: class, name, attributes.
func (p *Provider) fill(ctx context.Context, tx *sql.Tx, s *statement) (*withheld, error) {
	var ok bool
	if s.context, ok = tell(s.facts.Exact, s.login.Assurance); !ok {
		return &withheld{"context_not_reached", statusNoContext}, nil
	}
	person, org, err := p.opt.People.Person(ctx, s.login.Person, s.login.Org)
	if err != nil {
		return nil, err
	}
	subject := ""
	if s.facts.NameID == sp.NameIDPersistent || s.rp.TellsSubject() {
		if subject, err = p.opt.Subjects.Issue(ctx, tx, s.login.Person, ppid.Sector(s.rp.Sector), s.at); err != nil {
			return nil, err
		}
	}
	s.values = attributesOf(s.rp.Attributes, s.login.Release, person, org, subject)
	switch s.facts.NameID {
	case sp.NameIDPersistent:
		s.name = subject
	case sp.NameIDTransient:
		s.name, err = p.documentID()
	case sp.NameIDEmail:
		if s.name = valueOf(sp.FieldEmail, s.login.Release, person, org); s.name == "" {
			return &withheld{"name_id_withheld", statusDenied}, nil
		}
	default:
		err = fmt.Errorf("samlidp: there is no name of the format %q", s.facts.NameID)
	}
	return nil, err
}

// keep writes what the login gave the provider.
func (p *Provider) keep(ctx context.Context, tx *sql.Tx, s *statement) error {
	err := tx.QueryRowContext(ctx, `SELECT session_index FROM saml_grant WHERE session = $1 AND party = $2 ORDER BY created_at, id LIMIT 1`,
		string(s.login.Session), string(s.rp.ID)).Scan(&s.index)
	if errors.Is(err, sql.ErrNoRows) {
		s.index, err = p.documentID()
	}
	if err != nil {
		return fmt.Errorf("samlidp: %w", err)
	}
	if s.grant, err = p.draw(16); err != nil {
		return err
	}
	s.until = s.at + grantLife.Microseconds()
	_, err = tx.ExecContext(ctx, `INSERT INTO saml_grant (id, party, network, session, session_index, person, org, name_id, format, key_id, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`, s.grant, string(s.rp.ID), string(s.login.Network), string(s.login.Session), s.index,
		string(s.login.Person), string(s.login.Org), s.name, string(s.facts.NameID), s.key, s.at, s.until)
	if err != nil {
		return fmt.Errorf("samlidp: keep a grant: %w", err)
	}
	return nil
}

// refusals of logins in the protocol's words. Everything else is AuthnFailed.
var words = map[login.Reason]string{
	login.ReasonLogin:       statusNoPassive,
	login.ReasonInteraction: statusNoPassive,
	login.ReasonAssurance:   statusNoContext,
	login.ReasonMethod:      statusNoContext,
	login.ReasonPolicy:      statusDenied,
	login.ReasonPost:        statusDenied,
	login.ReasonOtherPerson: statusPrincipal,
}

// Refuse gives the answer that tells the provider of a refusal. It keeps nothing of it: the dispatcher's row is the record.
func (p *Provider) Refuse(ctx context.Context, tx *sql.Tx, r login.Request, refusal login.Refusal) (login.Answer, error) {
	rp, fs, err := p.answerable(ctx, tx, r)
	if err != nil {
		return login.Answer{}, err
	}
	by, err := p.signingTo(ctx, tx, rp.ID, r.Network, "")
	if err != nil {
		return login.Answer{}, err
	}
	status, ok := words[refusal.Reason]
	if !ok {
		status = statusAuthnFailed
	}
	at := p.opt.Now().UnixMicro()
	return login.Answer{Location: fs.Consumer, Later: func() (login.Answer, error) {
		return p.refusal(by, p.EntityID(r.Network), rp, fs, status, refusal.Incident, at)
	}}, nil
}

// refusal is a signed response without an assertion.
func (p *Provider) refusal(by signing, issuer string, rp sp.SP, fs facts, status, incident string, at int64) (login.Answer, error) {
	id, err := p.documentID()
	if err != nil {
		return login.Answer{}, err
	}
	el := responseOf(id, issuer, fs, at)
	s := el.CreateElement("samlp:Status")
	code := s.CreateElement("samlp:StatusCode")
	code.CreateAttr("Value", topStatus(status))
	code.CreateElement("samlp:StatusCode").CreateAttr("Value", status)
	if incident != "" {
		s.CreateElement("samlp:StatusMessage").SetText("incident " + incident)
	}
	if err := wire.Sign(el, by.signer, by.certificate); err != nil {
		return login.Answer{}, err
	}
	return answer(el, rp, fs)
}

// success is a signed response with an assertion, signed and encrypted as the provider wants it.
func (p *Provider) success(by signing, s statement) (login.Answer, error) {
	id, err := p.documentID()
	if err != nil {
		return login.Answer{}, err
	}
	inner, err := p.documentID()
	if err != nil {
		return login.Answer{}, err
	}
	response, err := s.response(id, inner, by.signer, by.certificate, p.opt.Random)
	if err != nil {
		return login.Answer{}, err
	}
	return answer(response, s.rp, s.facts)
}

// response writes the response with its assertion, under these two IDs.
func (s statement) response(id, inner string, by crypto.Signer, certificate []byte, random io.Reader) (*etree.Element, error) {
	response := responseOf(id, s.issuer, s.facts, s.at)
	response.CreateElement("samlp:Status").CreateElement("samlp:StatusCode").CreateAttr("Value", statusSuccess)
	assertion := s.assertion(inner)
	if s.rp.Sign != sp.SignResponse {
		if err := wire.Sign(assertion, by, certificate); err != nil {
			return nil, err
		}
	}
	if s.rp.Encrypt {
		key, methods, err := s.rp.EncryptionKey()
		if err != nil {
			return nil, err
		}
		if assertion, err = wire.Encrypt(assertion, wire.For(key, methods), random); err != nil {
			return nil, fmt.Errorf("samlidp: %w", err)
		}
	}
	response.AddChild(assertion)
	if s.rp.Sign != sp.SignAssertion {
		if err := wire.Sign(response, by, certificate); err != nil {
			return nil, err
		}
	}
	return response, nil
}

func responseOf(id, issuer string, fs facts, at int64) *etree.Element {
	el := etree.NewElement("samlp:Response")
	el.CreateAttr("xmlns:samlp", wire.NSProtocol)
	el.CreateAttr("ID", id)
	el.CreateAttr("Version", "2.0")
	el.CreateAttr("IssueInstant", instant(at))
	el.CreateAttr("Destination", fs.Consumer)
	if fs.Request != "" {
		el.CreateAttr("InResponseTo", fs.Request)
	}
	issued := el.CreateElement("saml:Issuer")
	issued.CreateAttr("xmlns:saml", wire.NSAssertion)
	issued.SetText(issuer)
	return el
}

// answer is the form that takes a response to the provider (SAML 2.0 Bindings, section 3.5).
func answer(el *etree.Element, rp sp.SP, fs facts) (login.Answer, error) {
	doc, err := wire.Bytes(el)
	if err != nil {
		return login.Answer{}, fmt.Errorf("samlidp: %w", err)
	}
	a := login.Answer{Location: fs.Consumer, Beyond: rp.Beyond, Form: [][2]string{{"SAMLResponse", base64.StdEncoding.EncodeToString(doc)}}}
	if fs.Relay != "" {
		a.Form = append(a.Form, [2]string{"RelayState", fs.Relay})
	}
	return a, nil
}
