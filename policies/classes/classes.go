package classes

import (
	"sync"

	"github.com/musubi-hub/musubi/policies"
)

// MaxClasses bounds what is remembered of each kind of question. Policies that name thousands of people can make more
// classes than that; the rest is then asked one by one.
const MaxClasses = 1 << 16

// Classes answers as its engine does, asking it once a class. It is safe for concurrent use.
type Classes struct {
	engine  *policies.Engine
	actions map[policies.Action]*reading
	seats   *reading

	mu        sync.RWMutex
	decisions map[Key]policies.Decision
	seated    map[Key][]policies.SeatDecision
}

// New makes classes of what the engine's policies read.
func New(engine *policies.Engine) *Classes {
	return over(engine, engine.Reads, engine.SeatReads())
}

// over is New with what is read as an argument.
func over(engine *policies.Engine, reads func(policies.Action) policies.Reads, seats policies.Reads) *Classes {
	c := &Classes{
		engine: engine, actions: map[policies.Action]*reading{}, seats: newReading(0, seats),
		decisions: map[Key]policies.Decision{}, seated: map[Key][]policies.SeatDecision{},
	}
	for i, a := range policies.Actions() {
		c.actions[a] = newReading(uint8(i+1), reads(a))
	}
	return c
}

// Hash is the hash of the policy set.
func (c *Classes) Hash() string { return c.engine.Hash() }

// Class gives the class of a question to Decide, or the error that Decide would give. resource is nil for the workspace.
func (c *Classes) Class(actor policies.Person, action policies.Action, resource *policies.Organization, ctx policies.Context) (Key, error) {
	if err := c.engine.CheckQuestion(actor, action, resource, ctx); err != nil {
		return Key{}, err
	}
	maker := action == policies.ActionPlanApprove && ctx.PlanMaker == actor.ID
	return c.actions[action].key(actor, resource, maker), nil
}

// Decide is policies.Engine.EvaluateWith, or EvaluateWorkspace where resource is nil.
func (c *Classes) Decide(actor policies.Person, action policies.Action, resource *policies.Organization, ctx policies.Context) (policies.Decision, error) {
	key, err := c.Class(actor, action, resource, ctx)
	if err != nil {
		return policies.Decision{}, err
	}
	c.mu.RLock()
	d, known := c.decisions[key]
	c.mu.RUnlock()
	if known {
		return cloneDecision(d), nil
	}
	if resource == nil {
		d, err = c.engine.EvaluateWorkspace(actor, action, ctx)
	} else {
		d, err = c.engine.EvaluateWith(actor, action, *resource, ctx)
	}
	if err != nil {
		return policies.Decision{}, err
	}
	c.mu.Lock()
	if len(c.decisions) < MaxClasses {
		c.decisions[key] = cloneDecision(d)
	}
	c.mu.Unlock()
	return d, nil
}

// Seats is policies.Engine.Seats.
func (c *Classes) Seats(p policies.Person) ([]policies.SeatDecision, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	key := c.seats.key(p, nil, false)
	c.mu.RLock()
	ds, known := c.seated[key]
	c.mu.RUnlock()
	if known {
		return cloneSeats(ds), nil
	}
	ds, err := c.engine.Seats(p)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	if len(c.seated) < MaxClasses {
		c.seated[key] = cloneSeats(ds)
	}
	c.mu.Unlock()
	return ds, nil
}

// Len is how many classes have been asked about so far.
func (c *Classes) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.decisions) + len(c.seated)
}
