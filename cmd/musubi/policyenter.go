package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// The words for what isn't an action on organizations.
const (
	actionEnter    = "login.enter"
	actionNetwork  = "network.enter"
	prefixFunction = "function."
	prefixRelease  = "release."
)

// entranceOf gives what policies read of a relying party.
func entranceOf(ctx context.Context, h *boot.Hub, id string) (policies.RelyingParty, error) {
	rp, err := h.Entrances.Party(ctx, policies.RelyingPartyID(id))
	if errors.Is(err, identity.ErrNotFound) {
		_, err = partyOf(ctx, h, id) // says which may have been meant
	}
	return rp, err
}

// explainEntrance answers questions about functions, networks and relying parties; ok is false for any other.
func explainEntrance(ctx context.Context, h *boot.Hub, engine *policies.Engine, p policies.Person, q explainQuestion) (x policies.Explanation, ok bool, err error) {
	use, isUse := strings.CutPrefix(q.action, prefixFunction)
	attribute, isRelease := strings.CutPrefix(q.action, prefixRelease)
	switch {
	case isUse:
		x, err = engine.ExplainUse(p, policies.Use(use), policies.Function(q.thing))
	case q.action == actionNetwork:
		x, err = engine.ExplainNetwork(p, policies.Network(q.thing))
	case q.action == actionEnter || isRelease:
		rp, err := entranceOf(ctx, h, q.thing)
		if err != nil {
			return x, true, err
		}
		if isRelease {
			x, err = engine.ExplainRelease(p, rp, policies.Attribute(attribute))
		} else {
			x, err = engine.ExplainEnter(p, rp, q.entry)
		}
		if err != nil {
			return x, true, boot.Usage(err)
		}
		return x, true, nil
	default:
		return x, false, nil
	}
	if err != nil {
		return x, true, boot.Usage(fmt.Errorf("%w\n%s", err, explainWords()))
	}
	return x, true, nil
}

// releases tells of each attribute whether the relying party is told it.
func releases(ctx context.Context, h *boot.Hub, engine *policies.Engine, p policies.Person, id string) (all []releaseView, err error) {
	rp, err := entranceOf(ctx, h, id)
	if err != nil {
		return nil, err
	}
	for _, a := range policies.Attributes() {
		x, err := engine.ExplainRelease(p, rp, a)
		if err != nil {
			return nil, err
		}
		v := releaseView{Attribute: a, Told: x.Decision.Allow, Policies: x.Decision.Policies}
		if !v.Told {
			v.Closest = x.Closest()
		}
		all = append(all, v)
	}
	return all, nil
}

func (e *env) tellRelease(all []releaseView) {
	if len(all) == 0 {
		return
	}
	say(e.stdout, "\n入ったときに伝わる属性 / attributes that are released to it")
	for _, v := range all {
		name := v.Attribute.Name()
		switch {
		case v.Told:
			say(e.stdout, "  ○ %s / %s  (%s)", name.JA, name.EN, strings.Join(v.Policies, ", "))
		case len(v.Policies) > 0:
			say(e.stdout, "  × %s / %s  (%s)", name.JA, name.EN, strings.Join(v.Policies, ", "))
		default:
			say(e.stdout, "  × %s / %s\n      %s\n      %s", name.JA, name.EN, v.Closest.JA, v.Closest.EN)
		}
	}
}
