package metadata

import (
	"context"
	"errors"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

// ErrNoAddress says that a provider's metadata comes from files.
var ErrNoAddress = errors.New("the provider has no address of metadata")

// Sources is what is kept of metadata. Implemented by sp.Sources.
type Sources interface {
	Of(ctx context.Context, id policies.RelyingPartyID) (sp.Overview, error)
	Take(ctx context.Context, by access.Actor, id policies.RelyingPartyID, r sp.Reading, v sp.Validators, at int64) (sp.Result, error)
	Unchanged(ctx context.Context, id policies.RelyingPartyID, at int64) error
	Fail(ctx context.Context, by access.Actor, id policies.RelyingPartyID, why, text string, at int64) (sp.Result, error)
}

// Refresher reads a provider's metadata anew.
type Refresher struct {
	Sources Sources
	Fetcher Fetcher
	Now     func() time.Time
}

// Refresh fetches a provider's metadata and keeps what came of it. That there is no document, or that it isn't taken, is a Result. whole asks for the
// document even where the server has nothing newer. The error wraps identity.ErrNotFound or ErrNoAddress.
func (r Refresher) Refresh(ctx context.Context, by access.Actor, id policies.RelyingPartyID, whole bool) (sp.Result, error) {
	doc, src, fault, err := r.fetch(ctx, id, whole)
	at := r.Now().UnixMicro()
	switch {
	case err != nil:
		return sp.Result{}, err
	case fault != nil:
		return r.Sources.Fail(ctx, by, id, fault.Why, fault.Text, at)
	case doc.Unchanged:
		return sp.Result{Outcome: sp.OutcomeSame}, r.Sources.Unchanged(ctx, id, at)
	}
	reading, err := sp.Read(doc.Data, src.Address, at, src)
	if err != nil {
		return r.Sources.Fail(ctx, by, id, Reason(err), err.Error(), at)
	}
	return r.Sources.Take(ctx, by, id, reading, doc.Validators, at)
}

// Look fetches a provider's metadata and keeps nothing. The error is a *Fault where there is no document.
func (r Refresher) Look(ctx context.Context, id policies.RelyingPartyID) (sp.Reading, error) {
	doc, src, fault, err := r.fetch(ctx, id, true)
	if err != nil {
		return sp.Reading{}, err
	}
	if fault != nil {
		return sp.Reading{}, fault
	}
	return sp.Read(doc.Data, src.Address, r.Now().UnixMicro(), src)
}

func (r Refresher) fetch(ctx context.Context, id policies.RelyingPartyID, whole bool) (doc Document, src sp.Source, fault *Fault, err error) {
	o, err := r.Sources.Of(ctx, id)
	if err != nil {
		return doc, src, nil, err
	}
	src = o.Status.Source
	if src.Address == "" {
		return doc, src, nil, ErrNoAddress
	}
	var v sp.Validators
	if !whole {
		v.ETag, v.Modified = o.Conditional(r.Now().UnixMicro())
	}
	doc, err = r.Fetcher.Fetch(ctx, src.Address, v)
	if errors.As(err, &fault) {
		return doc, src, fault, nil
	}
	return doc, src, nil, err
}

// Reason is the word for a document that sp.Read doesn't take.
func Reason(err error) string {
	if why := wire.ReasonOf(err); why != "" {
		return why
	}
	return "metadata"
}

// gone reports whether there is nothing to fetch any more.
func gone(err error) bool {
	return errors.Is(err, identity.ErrNotFound) || errors.Is(err, ErrNoAddress)
}
