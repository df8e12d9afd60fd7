package signin

import (
	"net/http"

	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
)

// services lists what the person may enter, with the way there where a login may begin at the hub.
func (s *Site) services(w http.ResponseWriter, r *http.Request) {
	actor, own, _ := Present(r)
	all, err := s.cfg.Services(r.Context(), actor, own)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	for i := range all {
		if all[i].Link != "" && !page.Web(all[i].Link) {
			all[i].Link = ""
		}
	}
	post := postOf(actor)
	s.show(w, r, page.Sheet{
		Name: page.Services, Title: page.Label{JA: "サービス", EN: "Services"}, Body: page.ServicesBody{Post: post.Name, List: all},
		Visitor: &page.Visitor{Name: actor.Person.DisplayName(), Org: post.Name, Token: token(r)},
	})
}
