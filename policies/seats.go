package policies

import (
	"fmt"
	"slices"

	"github.com/cedar-policy/cedar-go"
)

// Seats decides which seat p shall hold in each product, in the order of Products. Two permitted seats in one product are an
// error: the policies contradict each other, and nobody's account is changed on a guess. Answers are remembered by the
// attributes that the policies read, so that a population costs no more than its kinds of people.
func (e *Engine) Seats(p Person) ([]SeatDecision, error) {
	if err := checkPerson(p); err != nil {
		return nil, err
	}
	key := seatKey{p.Org.Kind, p.Role, p.Active}
	if e.memoizeSeat {
		e.mu.RLock()
		known, ok := e.memo[key]
		e.mu.RUnlock()
		if ok {
			return cloneSeats(known), nil
		}
	}
	var decisions []SeatDecision
	for _, product := range Products() {
		d, err := e.seat(p, product)
		if err != nil {
			return nil, err
		}
		decisions = append(decisions, d)
	}
	if e.memoizeSeat {
		e.mu.Lock()
		e.memo[key] = cloneSeats(decisions)
		e.mu.Unlock()
	}
	return decisions, nil
}

// seat decides the seat in one product. Where none is permitted, Policies names the policies that forbid; it is empty where
// no policy speaks of this person at all.
func (e *Engine) seat(p Person, product Product) (SeatDecision, error) {
	granted := SeatDecision{Product: product}
	forbids := map[string]bool{}
	for _, s := range seats() {
		resource := cedar.NewEntityUID(typeProduct, cedar.String(product))
		d, _, err := e.ask(p, seatAction(s), resource, nil, cedar.Record{})
		if err != nil {
			return SeatDecision{}, err
		}
		if !d.Allow {
			for _, id := range d.Policies {
				forbids[id] = true
			}
			continue
		}
		if granted.Seat != SeatNone {
			return SeatDecision{}, fmt.Errorf(
				"policies: a %s of a %s would hold two seats in %s: %s by %v and %s by %v; change the policies so that at most one holds",
				p.Role, p.Org.Kind, product, granted.Seat, granted.Policies, s, d.Policies)
		}
		granted.Seat, granted.Policies = s, d.Policies
	}
	if granted.Seat == SeatNone {
		granted.Policies = sortedKeys(forbids)
	}
	return granted, nil
}

// cloneSeats copies deep enough that no caller can change what another is told.
func cloneSeats(ds []SeatDecision) []SeatDecision {
	out := slices.Clone(ds)
	for i := range out {
		out[i].Policies = slices.Clone(out[i].Policies)
	}
	return out
}
