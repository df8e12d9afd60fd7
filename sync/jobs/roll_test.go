package jobs

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRollNeverBuriesTheLiving drives two nodes' views at random: a job is taken for lost only when its node gave no sign for as
// long as the rule says (or, of one's own, when it wasn't held at two looks), and then always.
func TestRollNeverBuriesTheLiving(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const after = 30 * time.Second
		r := roll{self: "me", after: after}
		now := time.Unix(1_000_000, 0)
		beats := map[string]int64{"me": 1, "a": 1, "b": 1}
		moved := map[string]time.Time{}
		unheld := map[int64]int{}
		for range rapid.IntRange(1, 60).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(0, 12_000).Draw(t, "ms")) * time.Millisecond)
			for _, n := range []string{"a", "b"} {
				if rapid.Bool().Draw(t, n+" beats") {
					beats[n]++
					moved[n] = now
				}
				if moved[n].IsZero() {
					moved[n] = now // first seen
				}
			}
			holds := map[int64]bool{}
			jobs := []running{{10, 1, "a"}, {20, 3, "b"}, {30, 1, "me"}, {31, 2, "me"}}
			for _, id := range []int64{30, 31} {
				if holds[id] = rapid.Bool().Draw(t, "held"); holds[id] {
					unheld[id] = 0
				} else {
					unheld[id]++
				}
			}
			lost, dead := r.judge(now, jobs, beats, func(id int64) bool { return holds[id] })
			var want []string
			for _, j := range jobs {
				switch {
				case j.node == "me" && unheld[j.id] >= 2:
					want = append(want, fmt.Sprint(j.id))
				case j.node != "me" && now.Sub(moved[j.node]) >= after:
					want = append(want, fmt.Sprint(j.id))
				}
			}
			var got []string
			for _, j := range lost {
				got = append(got, fmt.Sprint(j.id))
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("lost %v, want %v", got, want)
			}
			if slices.Contains(dead, "me") {
				t.Fatal("a node takes itself for dead")
			}
		}
	})
}

func TestRollKnowsNodesWithoutARow(t *testing.T) {
	r := roll{self: "me", after: time.Minute}
	jobs := []running{{1, 1, "never seen"}}
	now := time.Unix(0, 0)
	none := func(int64) bool { return false }
	if lost, _ := r.judge(now, jobs, nil, none); len(lost) != 0 {
		t.Error("lost at first sight")
	}
	if lost, dead := r.judge(now.Add(time.Minute), jobs, nil, none); len(lost) != 1 || !slices.Equal(dead, []string{"never seen"}) {
		t.Errorf("after a minute: %v, %v", lost, dead)
	}
	// On SQLite there are no other nodes, but a job of one's own may be lost all the same.
	r = roll{self: "me", alone: true, after: time.Minute}
	jobs = append(jobs, running{2, 1, "me"})
	r.judge(now, jobs, nil, none)
	if lost, dead := r.judge(now.Add(time.Hour), jobs, nil, none); len(lost) != 1 || lost[0].node != "me" || len(dead) != 0 {
		t.Errorf("alone: %v, %v", lost, dead)
	}
}
