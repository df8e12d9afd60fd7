package samlidp

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/samlidp/rollover"
	"github.com/musubi-hub/musubi/policies"
)

const (
	actionMetadata = "saml.metadata"
	useMetadata    = "musubi saml metadata v1"
	maxAgent       = 200 // bytes of User-Agent that are looked at
	fetchEvery     = time.Hour
)

// MetadataAddress is the address of a network's metadata that is a provider's own: the same document, but who fetches it is known. The mark in it is
// derived from the sealing key, so that a stranger's fetch doesn't count for the provider's. It opens nothing.
func MetadataAddress(seal *keys.SealingKey, origin string, n policies.Network, party policies.RelyingPartyID) (string, error) {
	key, err := seal.Derive(useMetadata)
	if err != nil {
		return "", fmt.Errorf("samlidp: %w", err)
	}
	return origin + pathMetadata + "/" + url.PathEscape(string(party)) + "/" + metadataMark(key, n, party), nil
}

func metadataMark(key []byte, n policies.Network, party policies.RelyingPartyID) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%d:%s%d:%s", len(n), n, len(party), party)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// metadataOf serves the metadata at a provider's own address, and remembers what it got.
func (c *call) metadataOf() {
	party := policies.RelyingPartyID(c.r.PathValue("party"))
	if !hmac.Equal([]byte(c.r.PathValue("mark")), []byte(metadataMark(c.p.metadata.key, c.network, party))) {
		c.page("", actionMetadata, &fault{http: http.StatusNotFound, reason: "metadata_address"}) // and the id is nobody's word
		return
	}
	rp, err := c.p.opt.Parties.SP(c.r.Context(), c.p.opt.DB.Reader(), party)
	if _, ok := rp.Face(c.network); err == nil && !ok {
		err = identity.ErrNotFound
	}
	if errors.Is(err, identity.ErrNotFound) {
		c.page(party, actionMetadata, &fault{http: http.StatusNotFound, reason: "party_unknown"})
		return
	}
	if err != nil {
		c.page(party, actionMetadata, broken(err))
		return
	}
	d, err := c.p.document(c.r.Context(), c.network)
	if err != nil {
		c.page(party, actionMetadata, broken(err))
		return
	}
	if c.write(d) == nil && c.r.Method == http.MethodGet {
		c.p.fetched(c.r.Context(), party, c.network, d, c.r.UserAgent(), c.at)
	}
}

// seenBy is who fetches: one entry for each registered provider and network at most.
type seenBy struct {
	party   policies.RelyingPartyID
	network policies.Network
}

// fetched keeps that a provider got a document: at once where its keys are others than last time, else once an hour on each node.
func (p *Provider) fetched(ctx context.Context, party policies.RelyingPartyID, n policies.Network, d document, agent string, at int64) {
	who := seenBy{party, n}
	p.metadata.seenMu.Lock()
	last, ok := p.metadata.seen[who]
	due := !ok || last.print != d.print || at-last.at >= fetchEvery.Microseconds()
	if due {
		if p.metadata.seen == nil {
			p.metadata.seen = map[seenBy]document{}
		}
		p.metadata.seen[who] = document{print: d.print, at: at}
	}
	p.metadata.seenMu.Unlock()
	if !due {
		return
	}
	ctx = context.WithoutCancel(ctx)
	if err := p.rollover.Fetched(ctx, party, n, d.keys, agent[:min(len(agent), maxAgent)], at); err != nil {
		p.metadata.seenMu.Lock()
		delete(p.metadata.seen, who) // the next fetch tries again
		p.metadata.seenMu.Unlock()
		p.opt.Logger.ErrorContext(ctx, "a fetch of metadata isn't remembered", "party", string(party), "network", string(n), "error", err)
	}
}

// Accepted records that a provider took something that a key of ours signed: its answer to our logout request says so. A key id of "" is one that
// wasn't kept.
func (p *Provider) Accepted(ctx context.Context, tx *sql.Tx, party policies.RelyingPartyID, n policies.Network, keyID string, at int64) error {
	return p.rollover.Accepted(ctx, tx, party, n, keyID, rollover.Logout, at)
}

// AcceptedIndex records the same for a provider that names a SessionIndex in a signed message of its own: it can know it only from an assertion that
// it took. Where assertions of two keys told this index, nothing is learned.
func (p *Provider) AcceptedIndex(ctx context.Context, tx *sql.Tx, party policies.RelyingPartyID, n policies.Network, index string, at int64) error {
	var least, most sql.NullString
	err := tx.QueryRowContext(ctx, `SELECT MIN(key_id), MAX(key_id) FROM saml_grant WHERE party = $1 AND network = $2 AND session_index = $3`,
		string(party), string(n), index).Scan(&least, &most)
	if err != nil {
		return fmt.Errorf("samlidp: %w", err)
	}
	if least.String != most.String {
		return nil
	}
	return p.Accepted(ctx, tx, party, n, least.String, at)
}

// Ending lists our own certificates that end soon: those of the key that signs, and of the one after it.
func Ending(ctx context.Context, ring *keys.Ring, q querier, at int64) (out []rollover.Ending, err error) {
	published, err := ring.Published(ctx, q, Purpose)
	if err != nil {
		return nil, err
	}
	for _, k := range published {
		der, err := certificateOf(ctx, q, k.ID)
		if k.State == keys.Retired || errors.Is(err, errNoCertificate) {
			continue
		}
		if err != nil {
			return nil, err
		}
		e, ok, err := rollover.EndingOf(k, der, at)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, e)
		}
	}
	return out, nil
}

// Certificate gives the certificate (DER) of a signing key; the error wraps identity.ErrNotFound where it has none.
func Certificate(ctx context.Context, q querier, keyID string) ([]byte, error) {
	der, err := certificateOf(ctx, q, keyID)
	if errors.Is(err, errNoCertificate) {
		err = fmt.Errorf("%w: key %s: %w", errNoCertificate, keyID, identity.ErrNotFound)
	}
	return der, err
}
