package sandbox

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"

	"github.com/musubi-hub/musubi/connectors/sandbox/samlsp"
)

// pathSAML is the page where an administrator of the products types in who the identity provider is.
const pathSAML = "/saml"

// samlView is one site on that page.
type samlView struct {
	ID       string
	Brand    [2]string
	Vendor   string
	What     SAMLDescription
	PEM      string // of the key that signs the site's requests
	Settings SAMLSettings
	Set      bool
	Choice   samlsp.Choices
}

func (s *Sandbox) samlViews() (list []samlView) {
	for _, x := range s.sites {
		if x.saml == nil {
			continue
		}
		v := samlView{ID: x.id, Brand: x.brand, Vendor: x.vendor, What: x.saml.Describe(), Choice: x.saml.Choices()}
		if len(v.What.Certificate) > 0 {
			v.PEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: v.What.Certificate}))
		}
		v.Settings, v.Set = x.saml.Settings()
		list = append(list, v)
	}
	return list
}

// getSAML tells what a site is registered with, and what is typed in.
func (s *Sandbox) getSAML(w http.ResponseWriter, r *http.Request) {
	x, err := s.samlSite(r.URL.Query().Get("site"))
	if err != nil {
		writeControl(w, http.StatusNotFound, controlError{err.Error()})
		return
	}
	doc := map[string]any{"site": x.id, "service_provider": x.saml.Describe()}
	if settings, ok := x.saml.Settings(); ok {
		doc["settings"] = settings
	}
	writeControl(w, http.StatusOK, doc)
}

// postSAML types settings in.
func (s *Sandbox) postSAML(w http.ResponseWriter, r *http.Request) {
	raw, ok := readControl(w, r)
	if !ok {
		return
	}
	var settings SAMLSettings
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&settings); err != nil {
		writeControl(w, http.StatusBadRequest, controlError{"the body must be the settings as GET gives them: " + err.Error()})
		return
	}
	name := r.URL.Query().Get("site")
	if _, err := s.samlSite(name); err != nil {
		writeControl(w, http.StatusNotFound, controlError{err.Error()})
		return
	}
	switch err := s.ConfigureSAML(name, settings); {
	case errors.Is(err, ErrSAMLSettings):
		writeControl(w, http.StatusBadRequest, controlError{err.Error()})
	case err != nil:
		writeControl(w, http.StatusServiceUnavailable, controlError{err.Error()})
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// serveSAML shows what is typed in at each site, and takes its form.
func (p *pageSet) serveSAML(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	page := view{Title: "SAML の設定", TitleEN: "SAML settings", Tab: "saml", SAML: p.s.samlViews()}
	if done := r.URL.Query().Get("done"); done != "" {
		page.SAMLDone = done
	}
	if r.Method != http.MethodPost {
		p.render(w, http.StatusOK, "saml", page)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := p.s.checkSender(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form can't be read", http.StatusBadRequest)
		return
	}
	f, name := r.PostForm, r.PostForm.Get("site")
	settings := SAMLSettings{
		Issuer: f.Get("issuer"), SSOURL: f.Get("sso_url"), Certificate: f.Get("certificate"), LogoutURL: f.Get("logout_url"), ServiceProvider: f.Get("service_provider"),
		SignRequests: f.Has("sign_requests"), ResponseSigned: f.Has("response_signed"), AssertionSigned: f.Has("assertion_signed"), RequestedContext: f.Get("requested_context"),
	}
	if err := p.s.ConfigureSAML(name, settings); err != nil {
		page.SAMLWrong, page.SAMLDone = err.Error(), ""
		for i := range page.SAML {
			if page.SAML[i].ID == name {
				page.SAML[i].Settings = settings // nothing that was typed is lost
			}
		}
		p.render(w, http.StatusUnprocessableEntity, "saml", page)
		return
	}
	http.Redirect(w, r, pathSAML+"?"+url.Values{"done": {name}}.Encode()+"#"+url.PathEscape(name), http.StatusSeeOther)
}
