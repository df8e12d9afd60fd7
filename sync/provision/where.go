package provision

import (
	"context"
	"fmt"
	"slices"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/policies"
)

// Whereabouts is what an operation reads of the directory right before its call. Implemented by directory.Store.
type Whereabouts interface {
	These(ctx context.Context, scope policies.Scope, people ...policies.PersonID) ([]identity.Person, error)
	Posts(ctx context.Context, scope policies.Scope, of ...policies.PersonID) ([]identity.Post, error)
}

// whereabouts asks where people are now, so that a transfer recorded while a plan runs grants nothing in the organization that was left.
type whereabouts struct {
	dir   Whereabouts
	scope policies.Scope
	store *Store
}

// Recheck lets every operation that grants something read the directory right before its call.
func (r *Runner) Recheck(dir Whereabouts) {
	r.where = &whereabouts{dir: dir, scope: policies.System(policies.TaskProvision), store: r.store}
}

// moved says which of those to whom the operation grants something aren't of its organization any more, and who holds a post there beside another.
func (w *whereabouts) moved(ctx context.Context, v *View) error {
	people := v.Op.Members
	switch v.Op.Kind {
	case OpAccount, OpReplace:
		people = []policies.PersonID{v.Op.Person}
	case OpAdd:
	default:
		return nil
	}
	for part := range slices.Chunk(people, directory.MaxPage) {
		list, err := w.dir.These(ctx, w.scope, part...)
		if err != nil {
			return fmt.Errorf("read people: %w", err)
		}
		var elsewhere []policies.PersonID
		for _, p := range list { // whoever left is no matter of this: the ledger knows it
			if p.Active() && p.Org != v.Op.Org {
				elsewhere = append(elsewhere, p.ID)
			}
		}
		if len(elsewhere) == 0 {
			continue
		}
		posts, err := w.dir.Posts(ctx, w.scope, elsewhere...)
		if err != nil {
			return fmt.Errorf("read posts: %w", err)
		}
		posts = heldAt(posts, w.store.now().UnixMicro())
		for _, id := range elsewhere {
			if v.Moved == nil {
				v.Moved, v.Beside = map[policies.PersonID]bool{}, map[policies.PersonID]bool{}
			}
			if slices.ContainsFunc(posts, func(o identity.Post) bool { return o.Person == id && o.Org == v.Op.Org && o.Kind != identity.PostHome }) {
				v.Beside[id] = true
				continue
			}
			v.Moved[id] = true
		}
	}
	return nil
}
