package policies

import (
	"fmt"

	"github.com/cedar-policy/cedar-go"
)

// Seats decides which seat p shall hold in each product, in the order of Reached. Two permitted seats in one product are an
// error: the policies contradict each other, and nobody's account is changed on a guess.
func (e *Engine) Seats(p Person) ([]SeatDecision, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	var decisions []SeatDecision
	for _, product := range Reached() {
		d, err := e.seat(p, product)
		if err != nil {
			return nil, err
		}
		decisions = append(decisions, d)
	}
	return decisions, nil
}

// seat decides the seat in one product. Where none is permitted, Policies names the policies that forbid; it is empty where
// no policy speaks of this person at all.
func (e *Engine) seat(p Person, product Product) (SeatDecision, error) {
	granted := SeatDecision{Product: product}
	forbids := map[string]bool{}
	for _, s := range Seats() {
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
