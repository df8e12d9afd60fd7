package connectortest

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

func refusedWork(r *run) {
	for name, change := range map[string]func(*connectors.WorkItemDraft){
		"no key":           func(d *connectors.WorkItemDraft) { d.OwnKey = "" },
		"a blank in a key": func(d *connectors.WorkItemDraft) { d.OwnKey = "a b" },
		"no summary":       func(d *connectors.WorkItemDraft) { d.Summary = " " },
		"two lines":        func(d *connectors.WorkItemDraft) { d.Summary = "a\nb" },
		"long summary":     func(d *connectors.WorkItemDraft) { d.Summary = strings.Repeat("長", 256) },
		"long description": func(d *connectors.WorkItemDraft) { d.Description = strings.Repeat("長", 40_000) },
		"nobody":           func(d *connectors.WorkItemDraft) { d.Reporter = r.h.MissingID },
	} {
		d := draft(r, 1)
		change(&d)
		_, err := r.WorkCreator.CreateWorkItem(r.ctx, d)
		r.want(err, "CreateWorkItem with "+name, connectors.KindInvalid)
	}
	r.groundItems(0)
	w := r.workItem(1)
	_, err := r.Comments.AddComment(r.ctx, w.ID, connectors.Comment{OwnKey: "c", Body: " "})
	r.want(err, "AddComment without a text", connectors.KindInvalid)
	_, err = r.WorkItems.ReadWorkItem(r.ctx, "../x")
	r.want(err, "ReadWorkItem of a path", connectors.KindInvalid)
}

// workFaults tries a call of every kind with faults on the wire.
func workFaults(r *run) {
	w := r.workItem(1)
	each := func(what string, kind connectors.Kind) {
		calls := map[string]func() error{
			"FindWorkItem":   func() error { _, err := r.WorkItems.FindWorkItem(r.ctx, "x", time.Time{}); return err },
			"ReadWorkItem":   func() error { _, err := r.WorkItems.ReadWorkItem(r.ctx, w.ID); return err },
			"CreateWorkItem": func() error { _, err := r.WorkCreator.CreateWorkItem(r.ctx, draft(r, 2)); return err },
			"AddComment": func() error {
				_, err := r.Comments.AddComment(r.ctx, w.ID, connectors.Comment{OwnKey: "f", Body: "x"})
				return err
			},
			"Transition":       func() error { return r.Transitions.TransitionWorkItem(r.ctx, w.ID, r.h.Work.Next) },
			"ReadSLA":          func() error { _, err := r.SLAs.ReadSLA(r.ctx, w.ID); return err },
			"ListParticipants": func() error { _, err := r.Participants.ListParticipants(r.ctx, w.ID); return err },
			"AddParticipants":  func() error { return r.Participants.AddParticipants(r.ctx, w.ID, []string{r.h.MissingID}) },
			"ListAttachments":  func() error { _, err := r.Attachments.ListAttachments(r.ctx, w.ID); return err },
			"AttachFile": func() error {
				_, err := r.Attachments.AttachFile(r.ctx, w.ID, "x", strings.NewReader("x"), false)
				return err
			},
		}
		for name, do := range calls {
			r.want(do(), name+" with "+what, kind)
		}
		r.tap.Clear()
	}
	r.tap.Put(Answer(http.StatusTooManyRequests, "application/json", `{}`, "Retry-After", "30"), -1, Any)
	each("429", connectors.KindThrottled)
	r.tap.Put(WrongToken, -1, Any)
	each("a wrong token", connectors.KindAuth)
	r.tap.Put(EchoToken, -1, Any)
	each("an echo of the token", connectors.KindAuth)
	r.tap.Put(LoginPage, -1, Any)
	each("a login page", connectors.KindProtocol)
	r.tap.Put(Elsewhere, -1, Any)
	each("a redirect to another host", connectors.KindProtocol)
	r.tap.Put(Huge, -1, Any)
	each("fifty megabytes", connectors.KindTooLarge)
	r.groundItems(1)
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	r.ctx = ctx
	r.tap.Take()
	each("a canceled context", connectors.KindCanceled)
	if sent := r.tap.Take(); len(sent) != 0 {
		r.errorf("%d requests were sent for a caller that had given up", len(sent))
	}
}
