package jobs

import "time"

// running is a job that the database shows as running.
type running struct {
	id      int64
	attempt int
	node    string // that took it
}

// noBeat is the beat of a node that has no row: it has stopped, or never was.
const noBeat = -1

type sighting struct {
	beat int64
	at   time.Time // when this beat was first seen, on this process's monotonic clock
}

type attempt struct {
	id      int64
	attempt int
}

// roll is what one node knows of the others: when it last saw each one's beat move. No clock is compared with another machine's
// and none that can be set, so that neither skew nor a clock that jumps makes a node look dead.
type roll struct {
	self   string
	alone  bool // one process serves: what other names left running, Recover took up at the start
	after  time.Duration
	nodes  map[string]sighting
	orphan map[attempt]bool // own jobs that this node did not hold at the last look
}

// judge looks at the running jobs and the beats of all nodes, and gives the jobs that are lost: those of nodes whose beat hasn't
// moved for r.after, and those of this node that it doesn't hold at two looks. dead are the nodes that don't move.
func (r *roll) judge(now time.Time, jobs []running, beats map[string]int64, holds func(id int64) bool) (lost []running, dead []string) {
	all := make(map[string]int64, len(beats))
	for n, b := range beats {
		all[n] = b
	}
	for _, j := range jobs {
		if _, ok := all[j.node]; !ok && !r.alone {
			all[j.node] = noBeat
		}
	}
	delete(all, r.self)
	gone := map[string]bool{}
	nodes := make(map[string]sighting, len(all))
	for n, b := range all {
		s, known := r.nodes[n]
		if !known || s.beat != b {
			s = sighting{b, now}
		}
		nodes[n] = s
		if now.Sub(s.at) >= r.after {
			gone[n] = true
			dead = append(dead, n)
		}
	}
	r.nodes = nodes

	orphans := map[attempt]bool{}
	for _, j := range jobs {
		switch {
		case j.node != r.self:
			if gone[j.node] {
				lost = append(lost, j)
			}
		case !holds(j.id):
			a := attempt{j.id, j.attempt}
			if r.orphan[a] {
				lost = append(lost, j)
			}
			orphans[a] = true
		}
	}
	r.orphan = orphans
	return lost, dead
}
