package sp

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// Noticer tells the system administrators, once for each id. Implemented by access.Enqueuer.
type Noticer interface {
	EnqueueNotice(ctx context.Context, tx *sql.Tx, n identity.Notice) error
}

// Sources stores where metadata comes from, what came of it, and what it would change.
type Sources struct {
	db      *sqldb.DB
	tell    Noticer
	counted counted
}

// NewSources makes the store over the tables of Migration. tell is called in the transaction of what it tells of.
func NewSources(db *sqldb.DB, tell Noticer) *Sources { return &Sources{db: db, tell: tell} }

// The errors of decisions. Compare with errors.Is.
var (
	ErrSwapped = errors.New("確認を待っているのは、これではありません / this isn't what is pending")
	ErrStale   = errors.New("提案のあとで登録が変わりました / the registration was changed since this was proposed")
	ErrSource  = errors.New("読んでいる間に取得元が変わりました / the source was changed while the document was read")
	ErrExpired = errors.New("提案のあとでメタデータの期限が切れました / the metadata has expired since this was proposed")
)

// locked gives the provider and keeps everybody else from changing it, or its metadata, until the transaction ends. base names the registration.
func locked(ctx context.Context, tx *sql.Tx, id policies.RelyingPartyID) (p SP, config, base string, err error) {
	err = tx.QueryRowContext(ctx, `UPDATE saml_party SET updated_at = updated_at WHERE id = $1 RETURNING config`, string(id)).Scan(&config)
	if errors.Is(err, sql.ErrNoRows) {
		return p, "", "", fmt.Errorf("service provider %q: %w", id, identity.ErrNotFound)
	}
	if err != nil {
		return p, "", "", fmt.Errorf("service provider %q: %w", id, err)
	}
	if err := json.Unmarshal([]byte(config), &p); err != nil {
		return p, "", "", fmt.Errorf("service provider %q: its configuration is damaged: %w", id, err)
	}
	return p, config, baseOf(config), nil
}

func baseOf(config string) string {
	sum := sha256.Sum256([]byte(config))
	return hex.EncodeToString(sum[:])
}

// Status gives a provider's source and what came of it; without a source it is empty. The error wraps identity.ErrNotFound where there is no such provider.
func (s *Sources) Status(ctx context.Context, id policies.RelyingPartyID) (Status, error) {
	o, err := s.Of(ctx, id)
	return o.Status, err
}

func statusOf(ctx context.Context, q Querier, id policies.RelyingPartyID) (Status, error) {
	var source, status string
	var next int64
	err := q.QueryRowContext(ctx, `SELECT source, status, next_at FROM saml_metadata WHERE party = $1`, string(id)).Scan(&source, &status, &next)
	if errors.Is(err, sql.ErrNoRows) {
		return Status{Party: id}, nil
	}
	if err != nil {
		return Status{}, fmt.Errorf("metadata of %q: %w", id, err)
	}
	return readStatus(id, source, status, next)
}

func readStatus(id policies.RelyingPartyID, source, status string, next int64) (st Status, err error) {
	st.Party, st.NextAt = id, next
	if source == "" {
		return st, nil
	}
	if err := errors.Join(json.Unmarshal([]byte(source), &st.Source), json.Unmarshal([]byte(status), &st)); err != nil {
		return st, fmt.Errorf("metadata of %q: what is kept of it is damaged: %w", id, err)
	}
	return st, nil
}

func (st Status) keep(ctx context.Context, tx *sql.Tx) error {
	source, err := json.Marshal(st.Source)
	if err != nil {
		return fmt.Errorf("metadata of %q: %w", st.Party, err)
	}
	status, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("metadata of %q: %w", st.Party, err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO saml_metadata (party, source, status, next_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (party) DO UPDATE SET source = $2, status = $3, next_at = $4`, string(st.Party), string(source), string(status), st.NextAt)
	if err != nil {
		return fmt.Errorf("metadata of %q: %w", st.Party, err)
	}
	return nil
}

// Set says from now on where a provider's metadata comes from; a Source without an address and signers ends the fetching. What is in force stays
// so; what is pending is withdrawn, as it may have been vouched for by somebody else. at is UTC in microseconds.
func (s *Sources) Set(ctx context.Context, by access.Actor, id policies.RelyingPartyID, src Source, at int64) error {
	return s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		p, _, _, err := locked(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := src.Check(p); err != nil {
			return fmt.Errorf("metadata of %q: %w", id, err)
		}
		old, err := statusOf(ctx, tx, id)
		if err != nil {
			return err
		}
		st := Status{Party: id, Source: src, ValidUntil: old.ValidUntil, Terms: old.Terms, Gone: old.Gone}
		if src.Address != "" {
			st.NextAt = at
		}
		if err := s.withdraw(ctx, tx, by, id, "", "source_changed", at); err != nil {
			return err
		}
		if err := st.keep(ctx, tx); err != nil {
			return err
		}
		var prints []string
		for _, der := range src.Signers {
			prints = append(prints, Fingerprint(der))
		}
		host := ""
		if u, err := url.Parse(src.Address); err == nil { // the rest of an address may be a password in all but name
			host = u.Host
		}
		return row(ctx, tx, by, id, "rp.metadata.source", audit.Done, "", at, map[string]any{
			"host": host, "signers": strings.Join(prints, " "), "harmless": src.Harmless,
		})
	})
}

func row(ctx context.Context, tx *sql.Tx, by access.Actor, id policies.RelyingPartyID, action string, outcome audit.Outcome, why string, at int64, detail map[string]any) error {
	r := by.AuditRow(at, action, outcome)
	r.Object, r.Reason = string(id), why
	if r.Detail == nil {
		r.Detail = map[string]any{}
	}
	for k, v := range detail {
		r.Detail[k] = v
	}
	return audit.Append(ctx, tx, r)
}

// withdraw takes out what is pending, but for one hash.
func (s *Sources) withdraw(ctx context.Context, tx *sql.Tx, by access.Actor, id policies.RelyingPartyID, but, why string, at int64) error {
	var hash string
	err := tx.QueryRowContext(ctx, `DELETE FROM saml_proposal WHERE party = $1 AND state = 'pending' AND hash <> $2 RETURNING hash`, string(id), but).Scan(&hash)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("metadata of %q: %w", id, err)
	}
	return row(ctx, tx, by, id, "rp.metadata.withdraw", audit.Done, why, at, map[string]any{"hash": hash})
}

// Overview is a provider with everything that is known of its metadata.
type Overview struct {
	SP      SP
	Status  Status
	Pending *Proposal // nil for none
	Stale   bool      // the registration was changed since Pending was proposed: it can't be accepted and is made anew at the next fetch

	base string
}

// Conditional gives what a request for the document may name, so that the same one isn't sent again: ETag and Last-Modified, empty where it has to be sent.
func (o Overview) Conditional(now int64) (etag, modified string) {
	if !o.Status.conditional(o.base, now) {
		return "", ""
	}
	return o.Status.ETag, o.Status.Modified
}

const overviewQuery = `SELECT p.id, p.config, COALESCE(m.source, ''), COALESCE(m.status, ''), COALESCE(m.next_at, 0), COALESCE(q.body, ''), COALESCE(q.created_at, 0)
	FROM saml_party p LEFT JOIN saml_metadata m ON m.party = p.id LEFT JOIN saml_proposal q ON q.party = p.id AND q.state = 'pending'`

func scanOverview(row interface{ Scan(to ...any) error }) (o Overview, err error) {
	var id, config, source, status, body string
	var next, created int64
	if err := row.Scan(&id, &config, &source, &status, &next, &body, &created); err != nil {
		return o, err
	}
	if err := json.Unmarshal([]byte(config), &o.SP); err != nil {
		return o, fmt.Errorf("service provider %q: its configuration is damaged: %w", id, err)
	}
	if o.Status, err = readStatus(policies.RelyingPartyID(id), source, status, next); err != nil {
		return o, err
	}
	o.base = baseOf(config)
	if body != "" {
		o.Pending = &Proposal{}
		if err := json.Unmarshal([]byte(body), o.Pending); err != nil {
			return o, fmt.Errorf("metadata of %q: the proposal is damaged: %w", id, err)
		}
		o.Pending.State, o.Pending.CreatedAt = ProposalPending, created
		o.Stale = o.Pending.Base != o.base
	}
	return o, nil
}

// Of gives one provider's overview; the error wraps identity.ErrNotFound where there is no such provider.
func (s *Sources) Of(ctx context.Context, id policies.RelyingPartyID) (Overview, error) {
	o, err := scanOverview(s.db.Reader().QueryRowContext(ctx, overviewQuery+` WHERE p.id = $1`, string(id)))
	if errors.Is(err, sql.ErrNoRows) {
		return o, fmt.Errorf("service provider %q: %w", id, identity.ErrNotFound)
	}
	return o, err
}

// All gives every provider's overview, by id.
func (s *Sources) All(ctx context.Context) ([]Overview, error) {
	rows, err := s.db.Reader().QueryContext(ctx, overviewQuery+` ORDER BY p.id`)
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	defer rows.Close()
	var out []Overview
	for rows.Next() {
		o, err := scanOverview(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, rows.Err()
}

// Due is a source whose time has come.
type Due struct {
	Party policies.RelyingPartyID
	At    int64 // UTC, microseconds: when its time came
}

// Due lists sources whose time has come at now, the longest due first, at most limit.
func (s *Sources) Due(ctx context.Context, now int64, limit int) ([]Due, error) {
	rows, err := s.db.Reader().QueryContext(ctx, `SELECT party, next_at FROM saml_metadata WHERE next_at > 0 AND next_at <= $1 ORDER BY next_at, party LIMIT $2`, now, limit)
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	defer rows.Close()
	var out []Due
	for rows.Next() {
		var d Due
		if err := rows.Scan(&d.Party, &d.At); err != nil {
			return nil, fmt.Errorf("metadata: %w", err)
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

// Claim takes a due source for one fetch: it is due again a while later, should that fetch never end. ok is false where somebody else has it.
func (s *Sources) Claim(ctx context.Context, tx *sql.Tx, d Due, now int64) (ok bool, err error) {
	res, err := tx.ExecContext(ctx, `UPDATE saml_metadata SET next_at = $3 WHERE party = $1 AND next_at = $2`, string(d.Party), d.At, retry(1, now))
	if err != nil {
		return false, fmt.Errorf("metadata of %q: %w", d.Party, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}
