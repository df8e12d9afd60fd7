package jira

import (
	"context"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

type moment struct {
	Millis *int64 `json:"epochMillis"`
}

func (m moment) time() time.Time {
	if m.Millis == nil {
		return time.Time{}
	}
	return time.UnixMilli(*m.Millis).UTC()
}

// slaCycle is one measurement of an SLA.
type slaCycle struct {
	Start     moment `json:"startTime"`
	Breach    moment `json:"breachTime"`
	Breached  bool   `json:"breached"`
	Paused    bool   `json:"paused"`
	Remaining struct {
		Millis int64 `json:"millis"`
	} `json:"remainingTime"`
}

type slaRecord struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Completed []slaCycle `json:"completedCycles"`
	Ongoing   *slaCycle  `json:"ongoingCycle"`
}

// ReadSLA gives the SLAs of a request: of each the measurement that goes on, else the last one that ended. While it is paused, Due is
// what it would be if it went on now.
func (c *Connector) ReadSLA(ctx context.Context, itemID string) ([]connectors.SLA, error) {
	const op = "read SLA"
	if err := c.itemID(op, itemID); err != nil {
		return nil, err
	}
	read := listed[slaRecord](call(ctx, op, ClassGet, again), c, op, "rest/servicedeskapi/request/"+itemID+"/sla")
	var out []connectors.SLA
	err := pages(c, op, read, func(r slaRecord) string { return r.ID }, func(values []slaRecord) error {
		for _, r := range values {
			s := connectors.SLA{ID: r.ID, Name: r.Name}
			y := r.Ongoing
			if s.Running = y != nil; !s.Running && len(r.Completed) > 0 {
				y = &r.Completed[len(r.Completed)-1]
			}
			if y != nil {
				s.Paused, s.Breached, s.Started, s.Due = s.Running && y.Paused, y.Breached, y.Start.time(), y.Breach.time()
				s.Remaining = time.Duration(y.Remaining.Millis) * time.Millisecond
				if s.Started.IsZero() || s.Running && s.Due.IsZero() {
					return c.out.Fail(op, connectors.KindProtocol, "the SLA "+r.Name+" has no start or no due time")
				}
			}
			out = append(out, s)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
