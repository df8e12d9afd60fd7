package connectortest

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// Work tells the suite what a product with work items is like.
type Work struct {
	Type        string                   // of a sample item
	Next        string                   // a status that one step leads to from a new item's, and back
	Unreachable string                   // a status that no step leads to from a new item's
	Makes       func(*http.Request) bool // the request that makes an item
	Comments    func(*http.Request) bool // the request that makes a comment
	Moves       func(*http.Request) bool // the request that makes a transition
	Ground      func() []GroundItem      // the vendor's ground truth, in the order in which the items were made
}

// GroundItem is a work item in the vendor's ground truth.
type GroundItem struct {
	ID, Summary, Status, Reporter string
	Participants                  []string
	Comments                      []GroundComment
	Files                         []GroundFile
}

// GroundComment is a comment in the vendor's ground truth.
type GroundComment struct {
	Body   string
	Public bool
}

// GroundFile is a file in the vendor's ground truth.
type GroundFile struct {
	Name   string
	Size   int
	Public bool
}

func hasWork(o connectors.Opened) bool {
	return o.WorkItems != nil && o.WorkCreator != nil && o.Comments != nil && o.Transitions != nil && o.SLAs != nil && o.Participants != nil && o.Attachments != nil
}

func workCases() []testCase {
	return []testCase{
		{name: "work item", run: workItem, needs: hasWork},
		{name: "lost answer of a work item", run: lostWorkItem, needs: hasWork},
		{name: "work item made a moment ago", run: laggingSearch, needs: hasWork},
		{name: "work item that never arrived", run: failedWorkItem, needs: hasWork},
		{name: "work items in pages", run: manyWorkItems, needs: hasWork},
		{name: "comments", run: comments, needs: hasWork},
		{name: "transition", run: transition, needs: hasWork},
		{name: "participants", run: participants, needs: hasWork},
		{name: "agreed times", run: agreedTimes, needs: hasWork},
		{name: "attachments", run: attachments, needs: hasWork},
		{name: "work items that are refused", run: refusedWork, needs: hasWork},
		{name: "work items and faults", run: workFaults, needs: hasWork},
	}
}

func draft(r *run, n int) connectors.WorkItemDraft {
	return connectors.WorkItemDraft{
		OwnKey: fmt.Sprintf("conformance.%03d", n), Type: r.h.Work.Type, Summary: fmt.Sprintf("適合試験 %03d \"<&>", n),
		Description: "一行目\n二行目\n\n- **項目**",
	}
}

// settleSearch waits until a search must show what was written.
func (r *run) settleSearch() { time.Sleep(r.Limits.SearchLag + time.Second) }

func (r *run) workItem(n int) connectors.WorkItem {
	w, err := r.WorkCreator.CreateWorkItem(r.ctx, draft(r, n))
	r.must(err, "CreateWorkItem")
	if w.ID == "" || w.Key == "" || w.OwnKey != draft(r, n).OwnKey {
		r.fatalf("CreateWorkItem gives %+v", w)
	}
	return w
}

func (r *run) groundItems(want int) []GroundItem {
	items := r.h.Work.Ground()
	if len(items) != want {
		r.fatalf("the vendor has %d work items, want %d", len(items), want)
	}
	return items
}

func workItem(r *run) {
	asker, helper := r.account(1), r.account(2)
	d := draft(r, 1)
	d.Reporter, d.Participants = asker.ID, []string{helper.ID}
	group := r.group(1)
	d.Groups = []string{group.ID}
	made, err := r.WorkCreator.CreateWorkItem(r.ctx, d)
	r.must(err, "CreateWorkItem")
	same := func(what string, got connectors.WorkItem) {
		if got.ID != made.ID || got.Key != made.Key || got.OwnKey != d.OwnKey || got.Summary != d.Summary || got.Description != d.Description || got.Reporter != asker.ID ||
			!slices.Equal(got.Participants, d.Participants) || !slices.Equal(got.Groups, d.Groups) || got.Status == "" || got.Category == connectors.StatusDone || got.Created.IsZero() {
			r.errorf("%s gives %+v of %+v", what, got, d)
		}
	}
	same("CreateWorkItem", made)
	read, err := r.WorkItems.ReadWorkItem(r.ctx, made.ID)
	r.must(err, "ReadWorkItem")
	same("ReadWorkItem", read)
	r.settleSearch()
	found, err := r.WorkItems.FindWorkItem(r.ctx, d.OwnKey, time.Time{})
	r.must(err, "FindWorkItem")
	same("FindWorkItem", found)
	again, err := r.WorkCreator.CreateWorkItem(r.ctx, d)
	r.must(err, "CreateWorkItem of one that is there")
	same("CreateWorkItem of one that is there", again)
	if g := r.groundItems(1)[0]; g.Reporter != asker.ID || g.Summary != d.Summary {
		r.errorf("the vendor has %+v", g)
	}
	_, err = r.WorkItems.FindWorkItem(r.ctx, "conformance.none", time.Time{})
	r.want(err, "FindWorkItem of one that isn't there", connectors.KindNotFound)
}

func lostWorkItem(r *run) {
	d := draft(r, 1)
	d.Attempted = time.Now()
	r.tap.Put(LoseAnswer, 1, r.h.Work.Makes)
	// The first attempt sends; Attempted is set in advance, so it may also wait for the search first.
	first := d
	first.Attempted = time.Time{}
	_, err := r.WorkCreator.CreateWorkItem(r.ctx, first)
	r.want(err, "CreateWorkItem whose answer is lost", connectors.KindAmbiguous)
	r.groundItems(1)
	_, err = r.WorkCreator.CreateWorkItem(r.ctx, d)
	if r.want(err, "CreateWorkItem once more before the search has caught up", connectors.KindAmbiguous) && connectors.RetryAfterOf(err) <= 0 {
		r.errorf("it isn't said when to come back")
	}
	r.groundItems(1)
	time.Sleep(connectors.RetryAfterOf(err))
	r.settleSearch()
	made, err := r.WorkCreator.CreateWorkItem(r.ctx, d)
	r.must(err, "CreateWorkItem after the search has caught up")
	if g := r.groundItems(1)[0]; made.ID != g.ID {
		r.errorf("it gives %q, the vendor has %q", made.ID, g.ID)
	}
}

func laggingSearch(r *run) {
	began := time.Now()
	made := r.workItem(1)
	_, err := r.WorkItems.FindWorkItem(r.ctx, made.OwnKey, began)
	if err != nil {
		r.want(err, "FindWorkItem of one made a moment ago", connectors.KindAmbiguous)
	}
	d := draft(r, 1)
	d.Attempted = began
	again, err := r.WorkCreator.CreateWorkItem(r.ctx, d)
	if err != nil {
		r.want(err, "CreateWorkItem of one made a moment ago", connectors.KindAmbiguous)
	} else if again.ID != made.ID {
		r.errorf("a second one was made: %q and %q", made.ID, again.ID)
	}
	r.groundItems(1)
	if _, err := r.WorkItems.ReadWorkItem(r.ctx, made.ID); err != nil {
		r.errorf("reading by id must not lag: %v", err)
	}
}

func failedWorkItem(r *run) {
	d := draft(r, 1)
	r.tap.Put(Reset, 1, r.h.Work.Makes)
	_, err := r.WorkCreator.CreateWorkItem(r.ctx, d)
	r.want(err, "CreateWorkItem with a connection reset", connectors.KindAmbiguous)
	d.Attempted = time.Now()
	r.settleSearch()
	_, err = r.WorkItems.FindWorkItem(r.ctx, d.OwnKey, d.Attempted)
	r.want(err, "FindWorkItem after the lag", connectors.KindNotFound)
	_, err = r.WorkCreator.CreateWorkItem(r.ctx, d)
	r.must(err, "CreateWorkItem after the lag")
	r.groundItems(1)
}

func manyWorkItems(r *run) {
	const n = 101
	for i := range n {
		r.workItem(i)
	}
	r.settleSearch()
	seen := map[string]int{}
	r.must(r.WorkItems.SearchWorkItems(r.ctx, connectors.WorkItemQuery{UpdatedSince: time.Now().Add(-time.Hour)}, func(page []connectors.WorkItem) error {
		for _, w := range page {
			seen[w.OwnKey]++
		}
		return nil
	}), "SearchWorkItems")
	if len(seen) != n || seen[draft(r, 0).OwnKey] != 1 || seen[draft(r, n-1).OwnKey] != 1 {
		r.errorf("%d of %d items were found", len(seen), n)
	}
	found := 0
	r.must(r.WorkItems.SearchWorkItems(r.ctx, connectors.WorkItemQuery{Category: connectors.StatusDone}, func(page []connectors.WorkItem) error { found += len(page); return nil }), "SearchWorkItems")
	if found != 0 {
		r.errorf("%d items are done already", found)
	}
	r.want(r.WorkItems.SearchWorkItems(r.ctx, connectors.WorkItemQuery{}, func([]connectors.WorkItem) error { return nil }), "SearchWorkItems without a restriction", connectors.KindInvalid)
}

func comments(r *run) {
	w := r.workItem(1)
	wanted := []connectors.Comment{
		{OwnKey: "c.1", Body: "公開の**返事**\n二行目"}, {OwnKey: "c.2", Body: "内部のメモ", Internal: true}, {OwnKey: "c.3", Body: "失われた答え", Internal: true},
	}
	for i, c := range wanted {
		if i == 2 {
			r.tap.Put(LoseAnswer, 1, r.h.Work.Comments)
			_, err := r.Comments.AddComment(r.ctx, w.ID, c)
			r.want(err, "AddComment whose answer is lost", connectors.KindAmbiguous)
			r.tap.Clear()
		}
		for range 2 {
			got, err := r.Comments.AddComment(r.ctx, w.ID, c)
			r.must(err, "AddComment")
			if got.ID == "" || got.OwnKey != c.OwnKey || got.Internal != c.Internal || got.Body != c.Body {
				r.errorf("AddComment gives %+v of %+v", got, c)
			}
		}
	}
	ground := r.groundItems(1)[0].Comments
	if len(ground) != len(wanted) {
		r.errorf("the vendor has %d comments, want %d", len(ground), len(wanted))
	}
	for i := range min(len(ground), len(wanted)) {
		if ground[i].Public == wanted[i].Internal {
			r.errorf("the comment %q is public: %v", wanted[i].Body, ground[i].Public)
		}
	}
	var listed []connectors.Comment
	r.must(r.Comments.ListComments(r.ctx, w.ID, func(page []connectors.Comment) error { listed = append(listed, page...); return nil }), "ListComments")
	for i := range listed {
		if len(listed) != len(wanted) || listed[i].OwnKey != wanted[i].OwnKey || listed[i].Internal != wanted[i].Internal || listed[i].Body != wanted[i].Body {
			r.errorf("listed %+v", listed)
			break
		}
	}
}

func transition(r *run) {
	w := r.workItem(1)
	status := func(want, what string) {
		if got := r.groundItems(1)[0].Status; got != want {
			r.errorf("%s: the vendor says %q, want %q", what, got, want)
		}
	}
	r.want(r.Transitions.TransitionWorkItem(r.ctx, w.ID, r.h.Work.Unreachable), "TransitionWorkItem to where no step leads", connectors.KindInvalid)
	status(w.Status, "after a refusal")
	r.tap.Put(Answer(http.StatusConflict, "application/json", `{"errorMessages":["conflict"]}`), 1, r.h.Work.Moves)
	r.want(r.Transitions.TransitionWorkItem(r.ctx, w.ID, r.h.Work.Next), "TransitionWorkItem while somebody else changes it", connectors.KindUnavailable)
	status(w.Status, "after a conflict")
	for range 2 {
		r.must(r.Transitions.TransitionWorkItem(r.ctx, w.ID, r.h.Work.Next), "TransitionWorkItem")
	}
	status(r.h.Work.Next, "after the transition")
	r.tap.Put(LoseAnswer, 1, r.h.Work.Moves)
	if err := r.Transitions.TransitionWorkItem(r.ctx, w.ID, w.Status); err != nil {
		r.want(err, "TransitionWorkItem whose answer is lost", connectors.KindAmbiguous)
	}
	r.must(r.Transitions.TransitionWorkItem(r.ctx, w.ID, w.Status), "TransitionWorkItem once more")
	status(w.Status, "after the lost answer")
	r.tap.Clear()
}

func participants(r *run) {
	w := r.workItem(1)
	a, b := r.account(1), r.account(2)
	check := func(want ...string) {
		got, err := r.Participants.ListParticipants(r.ctx, w.ID)
		r.must(err, "ListParticipants")
		truth := slices.Sorted(slices.Values(r.groundItems(1)[0].Participants))
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || !slices.Equal(truth, want) {
			r.errorf("listed %v, the vendor has %v, want %v", got, truth, want)
		}
	}
	for range 2 {
		r.must(r.Participants.AddParticipants(r.ctx, w.ID, []string{a.ID, b.ID}), "AddParticipants")
	}
	check(a.ID, b.ID)
	for range 2 {
		r.must(r.Participants.RemoveParticipants(r.ctx, w.ID, []string{a.ID}), "RemoveParticipants")
	}
	check(b.ID)
	r.want(r.Participants.AddParticipants(r.ctx, w.ID, make([]string, r.Limits.MemberBatch+1)), "AddParticipants of too many", connectors.KindInvalid)
}

func agreedTimes(r *run) {
	w := r.workItem(1)
	began := time.Now()
	time.Sleep(time.Minute)
	list, err := r.SLAs.ReadSLA(r.ctx, w.ID)
	r.must(err, "ReadSLA")
	if len(list) == 0 {
		r.errorf("a new item has no agreed time")
	}
	for _, s := range list {
		if s.Name == "" || !s.Running || s.Paused || s.Breached || s.Started.After(began) || !s.Due.After(began) || s.Remaining <= 0 || s.Remaining > s.Due.Sub(s.Started) {
			r.errorf("an agreed time of a new item is %+v", s)
		}
		if left := time.Until(s.Due); (left - s.Remaining).Abs() > time.Second {
			r.errorf("due in %v, but %v remain", left, s.Remaining)
		}
	}
}

func attachments(r *run) {
	w := r.workItem(1)
	content := bytes.Repeat([]byte("様式\n"), 1000)
	made, err := r.Attachments.AttachFile(r.ctx, w.ID, "様式 1.csv", bytes.NewReader(content), false)
	r.must(err, "AttachFile")
	_, err = r.Attachments.AttachFile(r.ctx, w.ID, "internal.txt", strings.NewReader("x"), true)
	r.must(err, "AttachFile, internal")
	files := r.groundItems(1)[0].Files
	if len(files) != 2 || files[0] != (GroundFile{"様式 1.csv", len(content), true}) || files[1] != (GroundFile{"internal.txt", 1, false}) {
		r.errorf("the vendor has %+v", files)
	}
	list, err := r.Attachments.ListAttachments(r.ctx, w.ID)
	r.must(err, "ListAttachments")
	if len(list) != 2 || list[0].ID != made.ID || list[0].Name != "様式 1.csv" || list[0].Size != int64(len(content)) {
		r.errorf("listed %+v", list)
	}
	got, err := r.Attachments.ReadAttachment(r.ctx, made.ID)
	r.must(err, "ReadAttachment")
	if !bytes.Equal(got, content) {
		r.errorf("%d octets came back of %d", len(got), len(content))
	}
	_, err = r.Attachments.AttachFile(r.ctx, w.ID, "x", bytes.NewReader(make([]byte, r.Limits.FileSize+1)), false)
	r.want(err, "AttachFile of a file that is too large", connectors.KindTooLarge)
	_, err = r.Attachments.AttachFile(r.ctx, w.ID, "../x", strings.NewReader("x"), false)
	r.want(err, "AttachFile with a path for a name", connectors.KindInvalid)
}
