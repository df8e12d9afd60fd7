package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/sync/provision"
)

// How often a page that shows something under way is loaded anew. WCAG 2.2.1 and 2.2.2: whoever reads slowly stops it by a link.
const (
	liveEvery     = 2 * time.Second
	overviewEvery = 5 * time.Second
)

// refresh is how a page keeps itself up to date without a script, and the way to stop or start that.
type refresh struct {
	Every time.Duration // 0: it was stopped
	Path  string        // the page stopped, or going again
}

// Seconds is the interval as it is shown.
func (r refresh) Seconds() int { return int(r.Every / time.Second) }

// keepUp lets the browser load the page again after a time, unless the reader has stopped that.
func keepUp(w http.ResponseWriter, r *http.Request, every time.Duration) *refresh {
	q := r.URL.Query()
	stopped := q.Get("pause") == "1"
	if stopped {
		q.Del("pause")
	} else {
		q.Set("pause", "1")
	}
	to := url.URL{Path: r.URL.Path, RawQuery: q.Encode()}
	if stopped {
		return &refresh{Path: to.String()}
	}
	w.Header().Set("Refresh", strconv.Itoa(int(every/time.Second)))
	return &refresh{Every: every, Path: to.String()}
}

// progressBody is a plan that is being applied, live.
type progressBody struct {
	Row      planRow
	Running  bool
	Final    int
	Total    int
	Products []progressRow
	Rate     string // operations a minute; empty: too early to say
	Left     label
	Took     label
	Quota    string // share of the vendors' quotas; empty: not known
	Stop     *form
	Troubles int
}

func (c *Console) progressPage(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer) error {
	if !v.mayReadPlans() {
		return fmt.Errorf("read a plan's progress: %w", identity.ErrRefused)
	}
	hash := r.PathValue("hash")
	if !planHash(hash) {
		return identity.ErrNotFound
	}
	record, err := c.cfg.Provision.Record(ctx, v.plans, hash)
	if err != nil {
		return err
	}
	rows, err := c.planRows(ctx, v, []provision.PlanRecord{record})
	if err != nil {
		return err
	}
	body := progressBody{Row: rows[0], Running: record.State == provision.PlanStaging || record.State == provision.PlanRunning, Troubles: rows[0].Troubles}
	if p := rows[0].Progress; p != nil {
		body.Products, body.Final, body.Total = progressRows(*p), p.Final, p.Total
		body.Rate, body.Left, body.Took = pace(*p, c.cfg.Now())
	}
	d, err := c.decide(ctx, r, v, record, tally{})
	if err != nil {
		return err
	}
	body.Stop = d.Stop
	f := frame{
		label: label{"適用の進み具合 " + hash[:12], "Progress"}, Section: "overview", Body: body,
		Crumbs: []crumb{{label{"概要", "Overview"}, "/"}, {label{"計画 " + hash[:12], "Plan"}, "/plans/" + hash}},
	}
	if body.Running && c.cfg.QuotaShare != nil {
		body.Quota = c.cfg.QuotaShare(ctx)
		f.Body = body
	}
	if body.Running {
		f.Refresh = keepUp(w, r, liveEvery)
	}
	return c.show(w, r, v, c.pages.progress, f)
}

// pace tells how fast a plan is being applied, how long the rest will take at that pace, and how long the whole took. It is pure.
func pace(p provision.Progress, now time.Time) (rate string, left, took label) {
	from, to := p.Plan.StartedAt, now
	if !p.Plan.FinishedAt.IsZero() {
		to = p.Plan.FinishedAt
	}
	elapsed := to.Sub(from)
	if from.IsZero() || elapsed <= 0 {
		return "", label{}, label{}
	}
	took = duration(elapsed)
	if p.Final == 0 || elapsed < time.Second {
		return "", label{}, took
	}
	perSecond := float64(p.Final) / elapsed.Seconds()
	rate = num(int(perSecond*60 + 0.5))
	if pending := p.Total - p.Final; pending > 0 && p.Plan.FinishedAt.IsZero() {
		left = duration(time.Duration(float64(pending) / perSecond * float64(time.Second)))
	}
	return rate, left, took
}

// duration writes a time span as staff say it, rounded up to what is worth saying.
func duration(d time.Duration) label {
	seconds := int((d + time.Second - 1) / time.Second)
	switch {
	case seconds < 60:
		return label{num(seconds) + " 秒", num(seconds) + " s"}
	case seconds < 3600:
		minutes := (seconds + 59) / 60
		return label{num(minutes) + " 分", num(minutes) + " min"}
	}
	hours, minutes := seconds/3600, seconds%3600/60
	return label{num(hours) + " 時間 " + num(minutes) + " 分", num(hours) + " h " + num(minutes) + " min"}
}
