package samlidp

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// certificateLife is how long a certificate says that it is valid. It only carries a key; when that key is used is for the ring to say.
const certificateLife = 3 * 365 * 24 * time.Hour

// errNoCertificate says that a key has no certificate yet: Ensure makes it.
var errNoCertificate = errors.New("samlidp: a signing key has no certificate yet")

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// signing is what documents are signed by.
type signing struct {
	signer      *keys.Signer
	certificate []byte // DER
	rehearsal   string // id of the rehearsal that this login is; empty for none
}

// signing gives the active key and its certificate. The error wraps errNoCertificate where there is none yet.
func (p *Provider) signing(ctx context.Context, q querier) (signing, error) {
	signer, err := p.opt.Keys.Signer(ctx, q, Purpose)
	if err != nil {
		return signing{}, err
	}
	der, err := certificateOf(ctx, q, signer.Key().ID)
	return signing{signer: signer, certificate: der}, err
}

// signingFor gives what signs towards a provider: the active key, or the next one where it is switched to that, or where the person's login rehearses
// it. person is empty for what isn't a login. The error wraps errNoCertificate as that of signing does.
func (p *Provider) signingFor(ctx context.Context, q querier, party policies.RelyingPartyID, n policies.Network, person policies.PersonID) (signing, error) {
	chosen, err := p.rollover.Choose(ctx, q, party, n, person, p.opt.Now().UnixMicro())
	if err != nil {
		return signing{}, err
	}
	if chosen.Key == "" {
		return p.signing(ctx, q)
	}
	signer, err := p.opt.Keys.SignerOf(ctx, q, Purpose, chosen.Key)
	if errors.Is(err, identity.ErrNotFound) { // it has retired since then
		return p.signing(ctx, q)
	}
	if err != nil {
		return signing{}, err
	}
	der, err := certificateOf(ctx, q, chosen.Key)
	return signing{signer, der, chosen.Rehearsal}, err
}

// signingTo is signingFor in a transaction that may write.
func (p *Provider) signingTo(ctx context.Context, tx *sql.Tx, party policies.RelyingPartyID, n policies.Network, person policies.PersonID) (signing, error) {
	by, err := p.signingFor(ctx, tx, party, n, person)
	if errors.Is(err, errNoCertificate) {
		if err = p.certify(ctx, tx); err == nil {
			by, err = p.signingFor(ctx, tx, party, n, person)
		}
	}
	return by, err
}

// signingNow is signingFor outside of any transaction, for what isn't a login.
func (p *Provider) signingNow(ctx context.Context, party policies.RelyingPartyID, n policies.Network) (signing, error) {
	by, err := p.signingFor(ctx, p.opt.DB.Reader(), party, n, "")
	if errors.Is(err, errNoCertificate) {
		if err = p.Ensure(ctx); err == nil {
			by, err = p.signingFor(ctx, p.opt.DB.Reader(), party, n, "")
		}
	}
	return by, err
}

func certificateOf(ctx context.Context, q querier, keyID string) ([]byte, error) {
	var text string
	err := q.QueryRowContext(ctx, `SELECT der FROM saml_certificate WHERE key_id = $1`, keyID).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoCertificate
	}
	if err != nil {
		return nil, fmt.Errorf("samlidp: certificate: %w", err)
	}
	return base64.StdEncoding.DecodeString(text)
}

// Certify makes the certificates that published keys of a ring lack. It is called at start and after a rotation, by programs that serve nothing too;
// what is missing later is made when it is needed.
func Certify(ctx context.Context, db *sqldb.DB, ring *keys.Ring, random io.Reader, now time.Time) error {
	return db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return certify(ctx, tx, ring, random, now) })
}

// Ensure is Certify with the provider's own options.
func (p *Provider) Ensure(ctx context.Context) error { return p.opt.DB.WithTx(ctx, p.certify) }

func (p *Provider) certify(ctx context.Context, tx *sql.Tx) error {
	return certify(ctx, tx, p.opt.Keys, p.opt.Random, p.opt.Now())
}

// certify makes the certificates that are missing. The active key signs them: its own, and the next one's, so that whoever trusts the certificate
// of today can check by it that the one of tomorrow comes from here.
func certify(ctx context.Context, tx *sql.Tx, ring *keys.Ring, random io.Reader, now time.Time) error {
	published, err := ring.Published(ctx, tx, Purpose)
	if err != nil {
		return err
	}
	signer, err := ring.Signer(ctx, tx, Purpose)
	if err != nil {
		return err
	}
	for _, k := range published {
		_, err := certificateOf(ctx, tx, k.ID)
		if k.State == keys.Retired || err == nil {
			continue
		}
		if !errors.Is(err, errNoCertificate) {
			return err
		}
		subject, err := template(k)
		if err != nil {
			return err
		}
		issuer, err := template(signer.Key())
		if err != nil {
			return err
		}
		der, err := x509.CreateCertificate(random, subject, issuer, k.Public, signer)
		if err != nil {
			return fmt.Errorf("samlidp: make a certificate: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO saml_certificate (key_id, der, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			k.ID, base64.StdEncoding.EncodeToString(der), now.UnixMicro()); err != nil {
			return fmt.Errorf("samlidp: keep a certificate: %w", err)
		}
	}
	return nil
}

func template(k keys.Key) (*x509.Certificate, error) {
	id, err := hex.DecodeString(k.ID)
	if err != nil || len(id) == 0 {
		return nil, fmt.Errorf("samlidp: the signing key %q: %w", k.ID, identity.ErrNotFound)
	}
	made := time.UnixMicro(k.CreatedAt).UTC()
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(append([]byte{1}, id...)), // a number that is never 0, of the key alone
		Subject:      pkix.Name{Organization: []string{"Musubi"}, CommonName: "SAML signing " + k.ID[:16]},
		NotBefore:    made.Add(-time.Hour), NotAfter: made.Add(certificateLife), KeyUsage: x509.KeyUsageDigitalSignature,
		SubjectKeyId: id, BasicConstraintsValid: true, SignatureAlgorithm: x509.SHA256WithRSA,
	}, nil
}
