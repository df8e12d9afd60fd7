package boot

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/rollover"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// CheckpointName is the file in the data folder in which the newest checkpoint of the audit log stands.
const CheckpointName = "audit-checkpoint"

// CheckpointFile is where each checkpoint of the audit log is written outside of the database.
func CheckpointFile(c config.Config, data string) string {
	if c.Audit.CheckpointFile != "" {
		return c.Audit.CheckpointFile
	}
	return filepath.Join(data, CheckpointName)
}

func sealingKeyFile(c config.Config, data string) string {
	if c.Keys.SealingKeyFile != "" {
		return c.Keys.SealingKeyFile
	}
	return filepath.Join(data, "keys", "sealing.key")
}

// openKeys opens the signing keys. A process that works makes what is missing and ends where it couldn't sign.
func (h *Hub) openKeys(ctx context.Context, o Options) (err error) {
	if !o.Work {
		h.Keys, err = h.ring(nil)
		return err
	}
	if err := h.Unseal(ctx); err != nil {
		return err
	}
	if err := h.Keys.Ensure(ctx, h.recordKey(audit.Row{Actor: "keys", ActorKind: audit.ActorSystem})); err != nil {
		return err
	}
	if err := h.certify(ctx); err != nil {
		return err
	}
	node, err := jobs.NodeID(o.Data, rand.Reader)
	if err != nil {
		return err
	}
	h.Audit = audit.New(h.DB, h.Keys, audit.Options{Holder: node, File: CheckpointFile(o.Config, o.Data), Now: o.Now, Log: o.Log})
	return nil
}

func (h *Hub) ring(seal *keys.SealingKey) (*keys.Ring, error) {
	specs := map[keys.Purpose]keys.Spec{audit.Purpose: audit.KeySpec()}
	maps.Copy(specs, oidcop.Specs())
	maps.Copy(specs, samlidp.Specs())
	return keys.New(h.DB, keys.Options{Sealing: seal, Specs: specs, Now: h.Now, Random: rand.Reader})
}

// Unseal reads the sealing key, so that Keys can sign and make keys. It is there already in a process that works.
func (h *Hub) Unseal(ctx context.Context) error {
	seal, made, err := keys.OpenSealing(ctx, h.DB, sealingKeyFile(h.Config, h.Data), rand.Reader)
	if err != nil {
		return err
	}
	if made {
		h.Log.InfoContext(ctx, "made a sealing key for signing keys; keep a copy of it apart from the database's backups", "file", sealingKeyFile(h.Config, h.Data), "id", seal.ID())
	}
	h.seal = seal
	if h.Keys, err = h.ring(seal); err != nil {
		return err
	}
	return h.sealNotices(seal)
}

// recordKey records what is done to keys by whom the row names.
func (h *Hub) recordKey(by audit.Row) keys.Record {
	return func(ctx context.Context, tx *sql.Tx, what string, k keys.Key) error {
		r := by
		r.At, r.Action, r.Object, r.Outcome = h.Now().UnixMicro(), what, k.ID, audit.Done
		r.Detail = maps.Clone(by.Detail)
		if r.Detail == nil {
			r.Detail = map[string]any{}
		}
		maps.Copy(r.Detail, map[string]any{"purpose": string(k.Purpose), "algorithm": string(k.Algorithm), "state": string(k.State)})
		return audit.Append(ctx, tx, r)
	}
}

// Rollover is what is known of relying parties and the keys of a purpose.
func (h *Hub) Rollover(p keys.Purpose) *rollover.Store { return rollover.New(h.DB, h.Keys, p) }

// Counterparties are the relying parties that verify by the keys of a purpose: by id, those that keys of SAML are for, or of OpenID's algorithm.
func (h *Hub) Counterparties(ctx context.Context, p keys.Purpose) (out []rollover.Counterparty, err error) {
	alg := map[keys.Purpose]jose.SignatureAlgorithm{oidcop.PurposeES256: jose.ES256, oidcop.PurposeRS256: jose.RS256}[p]
	switch {
	case p == samlidp.Purpose:
		all, err := h.SPs.List(ctx)
		if err != nil {
			return nil, err
		}
		for _, x := range all {
			out = append(out, rollover.Of(x))
		}
	case alg != "":
		all, err := h.Parties.List(ctx)
		if err != nil {
			return nil, err
		}
		for _, x := range all {
			if x.Alg == alg {
				out = append(out, rollover.Counterparty{ID: x.ID, Name: x.Name, Networks: x.Policy().Networks, OpenID: true})
			}
		}
	}
	return out, nil
}

// Promote makes the next key of the purpose sign, where everybody is ready for it. by begins the audit rows.
func (h *Hub) Promote(ctx context.Context, p keys.Purpose, how rollover.Promotion, by audit.Row) (keys.Rotation, rollover.Report, error) {
	done, report, err := h.Rollover(p).Promote(ctx, how, h.recordKey(by))
	if err != nil || p != samlidp.Purpose {
		return done, report, err
	}
	if err := h.certify(ctx); err != nil { // the keys have changed all the same, and metadata makes what it lacks
		h.Log.ErrorContext(ctx, "the next SAML key has no certificate yet", "error", err)
	}
	return done, report, nil
}

// Places are what a service provider has to know of the hub, in each of its networks that has a login. It takes the sealing key (Unseal).
func (h *Hub) Places(c rollover.Counterparty) (out []rollover.Place, err error) {
	if h.seal == nil {
		return nil, errors.New("the addresses of metadata take the sealing key")
	}
	for _, n := range c.Networks {
		g := h.Config.Gates[n]
		if g == nil {
			continue
		}
		place := rollover.Place{Network: n, EntityID: samlidp.EntityIDOf("https://" + g.LoginHost)}
		if place.Metadata, err = samlidp.MetadataAddress(h.seal, "https://"+g.LoginHost, n, c.ID); err != nil {
			return nil, err
		}
		out = append(out, place)
	}
	return out, nil
}

// warnKeys tells the system administrators of certificates of ours that end soon: each at 90, 30 and 7 days, and at its end, once.
func (h *Hub) warnKeys(ctx context.Context) error {
	at := h.Now().UnixMicro()
	endings, err := samlidp.CertificateEnds(ctx, h.Keys, h.DB.Reader(), at)
	if err != nil {
		return err
	}
	return h.Rollover(samlidp.Purpose).Warn(ctx, endings, at, func(ctx context.Context, tx *sql.Tx, e rollover.Ending) error {
		h.Log.WarnContext(ctx, "a SAML certificate of ours ends soon: change the key (musubi keys readiness)", "key", e.Key.ID, "state", string(e.Key.State), "days", e.Days)
		return h.Dated.EnqueueNotice(ctx, tx, identity.Notice{
			ID: fmt.Sprintf("key/%s/%d", e.Key.ID, e.Days), At: at, Kind: identity.NoticeKeyEnds, Object: e.Key.ID, Detail: strconv.Itoa(e.Days),
		})
	})
}

// certify makes the certificates that SAML's keys lack.
func (h *Hub) certify(ctx context.Context) error {
	return samlidp.Certify(ctx, h.DB, h.Keys, rand.Reader, h.Now())
}

// Sequence sequences and signs audit rows until ctx or the hub ends, whichever is first.
func (h *Hub) Sequence(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { h.Audit.Run(ctx) })
	h.sequenced = func() { cancel(); running.Wait() }
}
