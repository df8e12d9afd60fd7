package connectortest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// worker is a connector with accounts, groups, work items and events; bugs of work items are planted in such a one.
type worker interface {
	product
	connectors.WorkItemReader
	connectors.WorkItemCreator
	connectors.Commenter
	connectors.Transitioner
	connectors.SLAReader
	connectors.ParticipantWriter
	connectors.Attacher
	connectors.EventReader
}

func isWorker(o connectors.Opened) bool { return hasWork(o) && hasEvents(o) && o.GroupWriter != nil }

// sickWorker is one in which single calls are replaced.
type sickWorker struct {
	worker
	create  func(context.Context, connectors.WorkItemDraft) (connectors.WorkItem, error)
	find    func(context.Context, string, time.Time) (connectors.WorkItem, error)
	search  func(context.Context, connectors.WorkItemQuery, func([]connectors.WorkItem) error) error
	comment func(context.Context, string, connectors.Comment) (connectors.Comment, error)
	move    func(context.Context, string, string) error
	sla     func(context.Context, string) ([]connectors.SLA, error)
	remove  func(context.Context, string, []string) error
	attach  func(context.Context, string, string, io.Reader, bool) (connectors.Attachment, error)
	file    func(context.Context, string) ([]byte, error)
	event   func(time.Time, connectors.Delivery) (connectors.Received, error)
}

func (s sickWorker) CreateWorkItem(ctx context.Context, d connectors.WorkItemDraft) (connectors.WorkItem, error) {
	if s.create != nil {
		return s.create(ctx, d)
	}
	return s.worker.CreateWorkItem(ctx, d)
}

func (s sickWorker) FindWorkItem(ctx context.Context, key string, attempted time.Time) (connectors.WorkItem, error) {
	if s.find != nil {
		return s.find(ctx, key, attempted)
	}
	return s.worker.FindWorkItem(ctx, key, attempted)
}

func (s sickWorker) SearchWorkItems(ctx context.Context, q connectors.WorkItemQuery, page func([]connectors.WorkItem) error) error {
	if s.search != nil {
		return s.search(ctx, q, page)
	}
	return s.worker.SearchWorkItems(ctx, q, page)
}

func (s sickWorker) AddComment(ctx context.Context, id string, c connectors.Comment) (connectors.Comment, error) {
	if s.comment != nil {
		return s.comment(ctx, id, c)
	}
	return s.worker.AddComment(ctx, id, c)
}

func (s sickWorker) TransitionWorkItem(ctx context.Context, id, status string) error {
	if s.move != nil {
		return s.move(ctx, id, status)
	}
	return s.worker.TransitionWorkItem(ctx, id, status)
}

func (s sickWorker) ReadSLA(ctx context.Context, id string) ([]connectors.SLA, error) {
	if s.sla != nil {
		return s.sla(ctx, id)
	}
	return s.worker.ReadSLA(ctx, id)
}

func (s sickWorker) RemoveParticipants(ctx context.Context, id string, ids []string) error {
	if s.remove != nil {
		return s.remove(ctx, id, ids)
	}
	return s.worker.RemoveParticipants(ctx, id, ids)
}

func (s sickWorker) AttachFile(ctx context.Context, id, name string, content io.Reader, internal bool) (connectors.Attachment, error) {
	if s.attach != nil {
		return s.attach(ctx, id, name, content, internal)
	}
	return s.worker.AttachFile(ctx, id, name, content, internal)
}

func (s sickWorker) ReadAttachment(ctx context.Context, id string) ([]byte, error) {
	if s.file != nil {
		return s.file(ctx, id)
	}
	return s.worker.ReadAttachment(ctx, id)
}

func (s sickWorker) ReadEvent(now time.Time, d connectors.Delivery) (connectors.Received, error) {
	if s.event != nil {
		return s.event(now, d)
	}
	return s.worker.ReadEvent(now, d)
}

var errEnough = errors.New("enough")

func plantedInWork() []bug {
	plant := func(name string, with func(w worker) sickWorker) bug {
		return bug{name: name, needs: isWorker, plantAny: func(c connectors.Connector) connectors.Connector {
			w, ok := c.(worker)
			if !ok { // needs says that it is one
				return c
			}
			s := with(w)
			s.worker = w
			return s
		}}
	}
	serial := 0
	return []bug{
		plant("makes a second item after a lost answer", func(w worker) sickWorker {
			return sickWorker{create: func(ctx context.Context, d connectors.WorkItemDraft) (connectors.WorkItem, error) {
				d.Attempted = time.Time{}
				return w.CreateWorkItem(ctx, d)
			}}
		}),
		plant("takes the search's lag for absence", func(w worker) sickWorker {
			return sickWorker{find: func(ctx context.Context, key string, _ time.Time) (connectors.WorkItem, error) {
				return w.FindWorkItem(ctx, key, time.Time{})
			}}
		}),
		plant("never believes that an item is absent", func(w worker) sickWorker {
			return sickWorker{find: func(ctx context.Context, key string, at time.Time) (connectors.WorkItem, error) {
				i, err := w.FindWorkItem(ctx, key, at)
				return i, changed(err, func(e *connectors.Error) {
					if e.Kind == connectors.KindNotFound {
						e.Kind = connectors.KindAmbiguous
					}
				})
			}}
		}),
		plant("reports a lost item as success", func(w worker) sickWorker {
			return sickWorker{create: func(ctx context.Context, d connectors.WorkItemDraft) (connectors.WorkItem, error) {
				i, err := w.CreateWorkItem(ctx, d)
				if connectors.KindOf(err) == connectors.KindAmbiguous {
					return connectors.WorkItem{ID: "1", Key: "X-1", OwnKey: d.OwnKey}, nil
				}
				return i, err
			}}
		}),
		plant("forgets for whom an item is", func(w worker) sickWorker {
			return sickWorker{create: func(ctx context.Context, d connectors.WorkItemDraft) (connectors.WorkItem, error) {
				d.Reporter = ""
				return w.CreateWorkItem(ctx, d)
			}}
		}),
		plant("searches the first page alone", func(w worker) sickWorker {
			return sickWorker{search: func(ctx context.Context, q connectors.WorkItemQuery, page func([]connectors.WorkItem) error) error {
				err := w.SearchWorkItems(ctx, q, func(list []connectors.WorkItem) error {
					if err := page(list); err != nil {
						return err
					}
					return errEnough
				})
				if errors.Is(err, errEnough) {
					return nil
				}
				return err
			}}
		}),
		plant("publishes internal comments", func(w worker) sickWorker {
			return sickWorker{comment: func(ctx context.Context, id string, c connectors.Comment) (connectors.Comment, error) {
				want := c.Internal
				c.Internal = false
				got, err := w.AddComment(ctx, id, c)
				got.Internal = want
				return got, err
			}}
		}),
		plant("comments twice", func(w worker) sickWorker {
			return sickWorker{comment: func(ctx context.Context, id string, c connectors.Comment) (connectors.Comment, error) {
				serial++
				want := c.OwnKey
				c.OwnKey = fmt.Sprintf("%s.%d", want, serial)
				got, err := w.AddComment(ctx, id, c)
				got.OwnKey = want
				return got, err
			}}
		}),
		plant("moves nothing", func(worker) sickWorker {
			return sickWorker{move: func(context.Context, string, string) error { return nil }}
		}),
		plant("takes a conflict for success", func(w worker) sickWorker {
			return sickWorker{move: func(ctx context.Context, id, status string) error {
				err := w.TransitionWorkItem(ctx, id, status)
				if connectors.KindOf(err) == connectors.KindUnavailable {
					return nil
				}
				return err
			}}
		}),
		plant("fails where the item is there already", func(w worker) sickWorker {
			return sickWorker{move: func(ctx context.Context, id, status string) error {
				if i, err := w.ReadWorkItem(ctx, id); err == nil && i.Status == status {
					return &connectors.Error{Kind: connectors.KindInvalid, Vendor: "x", Op: "x"}
				}
				return w.TransitionWorkItem(ctx, id, status)
			}}
		}),
		plant("forgets when an agreed time is due", func(w worker) sickWorker {
			return sickWorker{sla: func(ctx context.Context, id string) ([]connectors.SLA, error) {
				list, err := w.ReadSLA(ctx, id)
				for i := range list {
					list[i].Due = list[i].Started
				}
				return list, err
			}}
		}),
		plant("removes every participant", func(w worker) sickWorker {
			return sickWorker{remove: func(ctx context.Context, id string, _ []string) error {
				all, err := w.ListParticipants(ctx, id)
				if err != nil {
					return err
				}
				return w.RemoveParticipants(ctx, id, all)
			}}
		}),
		plant("publishes internal files", func(w worker) sickWorker {
			return sickWorker{attach: func(ctx context.Context, id, name string, content io.Reader, _ bool) (connectors.Attachment, error) {
				return w.AttachFile(ctx, id, name, content, false)
			}}
		}),
		plant("cuts a file", func(w worker) sickWorker {
			return sickWorker{file: func(ctx context.Context, id string) ([]byte, error) {
				data, err := w.ReadAttachment(ctx, id)
				return data[:len(data)/2], err
			}}
		}),
		plant("believes a wrong signature on work items", func(w worker) sickWorker {
			return sickWorker{event: func(now time.Time, d connectors.Delivery) (connectors.Received, error) {
				r, err := w.ReadEvent(now, d)
				if connectors.KindOf(err) == connectors.KindAuth {
					return connectors.Received{Key: "x", Attempt: 1, Events: []connectors.Event{connectors.WorkItemEvent{}}, Reply: connectors.Reply{Status: 200}}, nil
				}
				return r, err
			}}
		}),
		plant("believes a repetition under another key", func(w worker) sickWorker {
			return sickWorker{event: func(now time.Time, d connectors.Delivery) (connectors.Received, error) {
				r, err := w.ReadEvent(now, d)
				r.Signed = ""
				return r, err
			}}
		}),
		plant("believes a repetition of any age", func(w worker) sickWorker {
			return sickWorker{event: func(now time.Time, d connectors.Delivery) (connectors.Received, error) {
				r, err := w.ReadEvent(now, d)
				if connectors.KindOf(err) == connectors.KindAuth {
					return w.ReadEvent(now.Add(-time.Hour), d)
				}
				return r, err
			}}
		}),
	}
}
