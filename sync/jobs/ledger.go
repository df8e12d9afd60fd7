package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"
)

// holding is a job that this node has taken and whose result isn't stored yet.
type holding struct {
	id      int64
	attempt int
	cancel  context.CancelCauseFunc // of the attempt's ctx; nil before its worker begins
	result  *result                 // what came of it, where the database didn't take it
}

// result is one job's part of riverdriver.JobSetStateIfRunningManyParams.
type result struct {
	attempt         *int
	errData         []byte
	finalizedAt     *time.Time
	metadataDoMerge bool
	metadataUpdates []byte
	scheduledAt     *time.Time
	state           rivertype.JobState
}

// ledger is what this node holds. A job that the database shows as this node's and that isn't in it was lost on the way, for
// example because the connection broke between the commit and its answer.
type ledger struct {
	mu   sync.Mutex
	held map[int64]*holding
}

func (l *ledger) take(rows []*rivertype.JobRow) []*holding {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*holding, len(rows))
	for i, r := range rows {
		out[i] = &holding{id: r.ID, attempt: r.Attempt}
		l.held[r.ID] = out[i]
	}
	return out
}

// begin notes how the running attempt is cancelled.
func (l *ledger) begin(id int64, cancel context.CancelCauseFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.held[id]; h != nil {
		h.cancel = cancel
	}
}

// cancel ends all running attempts for the reason given.
func (l *ledger) cancel(why error) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.held {
		if h.cancel != nil && h.result == nil {
			h.cancel(why)
			n++
		}
	}
	return n
}

// pick gives what is held of ids, in their order; nil where nothing is.
func (l *ledger) pick(ids []int64) []*holding {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*holding, len(ids))
	for i, id := range ids {
		out[i] = l.held[id]
	}
	return out
}

// drop lets go of holdings, but not of the same jobs where they were taken anew meanwhile.
func (l *ledger) drop(held []*holding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range held {
		if h != nil && l.held[h.id] == h {
			delete(l.held, h.id)
		}
	}
}

// owe keeps the results of held jobs until they can be stored.
func (l *ledger) owe(held []*holding, p *riverdriver.JobSetStateIfRunningManyParams) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, h := range held {
		if h == nil {
			continue
		}
		h.result = &result{
			attempt: p.Attempt[i], errData: p.ErrData[i], finalizedAt: p.FinalizedAt[i], metadataDoMerge: p.MetadataDoMerge[i],
			metadataUpdates: p.MetadataUpdates[i], scheduledAt: p.ScheduledAt[i], state: p.State[i],
		}
	}
}

// owed gives the jobs whose result isn't stored.
func (l *ledger) owed() (out []*holding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.held {
		if h.result != nil {
			out = append(out, h)
		}
	}
	return out
}

func (l *ledger) holds(id int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held[id] != nil
}

func addResult(p *riverdriver.JobSetStateIfRunningManyParams, h *holding) {
	r := h.result
	p.ID = append(p.ID, h.id)
	p.Attempt = append(p.Attempt, r.attempt)
	p.ErrData = append(p.ErrData, r.errData)
	p.FinalizedAt = append(p.FinalizedAt, r.finalizedAt)
	p.MetadataDoMerge = append(p.MetadataDoMerge, r.metadataDoMerge)
	p.MetadataUpdates = append(p.MetadataUpdates, r.metadataUpdates)
	p.ScheduledAt = append(p.ScheduledAt, r.scheduledAt)
	p.State = append(p.State, r.state)
}
