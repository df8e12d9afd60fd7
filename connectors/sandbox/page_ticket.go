package sandbox

import (
	"net/http"
	"time"
)

// jst is the zone in which pages show times.
func jst() *time.Location { return time.FixedZone("JST", 9*3600) }

func (p *pageSet) tickets(w http.ResponseWriter, r *http.Request) {
	query, page := readList(r)
	rows, total := p.s.service.Work().Rows(query, (page-1)*pageSize, pageSize)
	p.render(w, http.StatusOK, "tickets", view{
		Title: "Jira 依頼", TitleEN: "Jira requests", Tab: "tickets", Query: query, Searchable: true, Tickets: rows,
		Pager: newPager("/jira/requests", query, page, len(rows), total),
	})
}

// ticket shows one request with its thread, as an agent or, with view=customer, as its reporter sees it.
func (p *pageSet) ticket(w http.ResponseWriter, r *http.Request, key string) {
	customer := r.URL.Query().Get("view") == "customer"
	x, ok := p.s.service.Work().View(key, customer, p.s.now())
	if !ok {
		p.missing(w)
		return
	}
	p.render(w, http.StatusOK, "ticket", view{Title: x.Key + " " + x.Summary, TitleEN: "Request", Tab: "tickets", Ticket: x, AsCustomer: customer})
}
