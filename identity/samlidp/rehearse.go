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
	maxAgent       = 200       // bytes of User-Agent that are looked at
	seenEvery      = time.Hour // what stays the same is written again
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

// seenBy is who fetches, or takes what a key signed: a few entries for each registered provider at most.
type seenBy struct {
	party   policies.RelyingPartyID
	network policies.Network
	key     string // empty: a fetch
}

// due reports whether something has to be written: at once where it is another thing than last time, else once an hour on each node.
func (d *documents) due(who seenBy, what string, at int64) bool {
	d.seenMu.Lock()
	defer d.seenMu.Unlock()
	last, ok := d.seen[who]
	if ok && last.mark == what && at-last.at < seenEvery.Microseconds() {
		return false
	}
	if d.seen == nil {
		d.seen = map[seenBy]document{}
	}
	d.seen[who] = document{mark: what, at: at}
	return true
}

// forget has the next one written: this one couldn't be.
func (d *documents) forget(who seenBy) {
	d.seenMu.Lock()
	defer d.seenMu.Unlock()
	delete(d.seen, who)
}

// fetched keeps that a provider got a document.
func (p *Provider) fetched(ctx context.Context, party policies.RelyingPartyID, n policies.Network, d document, agent string, at int64) {
	who := seenBy{party: party, network: n}
	if !p.metadata.due(who, d.mark, at) {
		return
	}
	ctx = context.WithoutCancel(ctx)
	if err := p.rollover.Fetched(ctx, party, n, d.keys, agent[:min(len(agent), maxAgent)], at); err != nil {
		p.metadata.forget(who)
		p.opt.Logger.ErrorContext(ctx, "a fetch of metadata isn't remembered", "party", string(party), "network", string(n), "error", err)
	}
}

// accepted keeps that a provider took something that a key of ours signed. A key of "" is one that wasn't kept. It is apart from the transaction that
// it follows from: rows that all nodes touch don't belong in one that callers share, and nobody's logout fails for it.
func (p *Provider) accepted(ctx context.Context, party policies.RelyingPartyID, n policies.Network, key string, at int64) {
	who := seenBy{party, n, key}
	if key == "" || !p.metadata.due(who, "", at) {
		return
	}
	ctx = context.WithoutCancel(ctx)
	err := p.opt.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return p.rollover.Accepted(ctx, tx, party, n, key, rollover.Logout, at)
	})
	if err != nil {
		p.metadata.forget(who)
		p.opt.Logger.ErrorContext(ctx, "what a provider took isn't remembered", "party", string(party), "network", string(n), "key", key, "error", err)
	}
}

// acceptedIndexes keeps the same of a provider that names SessionIndexes in a signed request of its own: it can know one only from an assertion that
// it took. Of an index that assertions of two keys told nothing is learned.
func (p *Provider) acceptedIndexes(ctx context.Context, party policies.RelyingPartyID, n policies.Network, indexes []string, at int64) {
	for _, index := range indexes {
		var least, most sql.NullString
		err := p.opt.DB.Reader().QueryRowContext(ctx, `SELECT MIN(key_id), MAX(key_id) FROM saml_grant WHERE party = $1 AND network = $2 AND session_index = $3`,
			string(party), string(n), index).Scan(&least, &most)
		if err != nil {
			p.opt.Logger.ErrorContext(ctx, "what a provider took isn't known", "party", string(party), "network", string(n), "error", err)
			continue
		}
		if least.String == most.String {
			p.accepted(ctx, party, n, least.String, at)
		}
	}
}

// CertificateEnds tells when our own certificates end: those of the key that signs, and of the one after it.
func CertificateEnds(ctx context.Context, ring *keys.Ring, q querier, at int64) (out []rollover.Ending, err error) {
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
		e, err := rollover.EndingOf(k, der, at)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
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
