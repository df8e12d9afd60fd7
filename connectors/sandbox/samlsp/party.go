package samlsp

import (
	"cmp"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

// Options make a site a service provider.
type Options struct {
	Habits Habits
	// BaseURL is the site as a browser sees it, https without a path, such as "https://slack.localhost:8444".
	BaseURL    string
	Connection string // the number that the product gave the connection
	// Key (RSA) and Certificate (DER) are what the product signs its requests with; nil: it doesn't.
	Key         crypto.Signer
	Certificate []byte
	Settings    *Settings // what an administrator has typed in already; nil: nothing yet
	Random      io.Reader // required, such as crypto/rand.Reader
}

// Described is what the product's page gives its administrator, to be registered at the provider.
type Described struct {
	EntityID    string   `json:"entity_id"`
	Consumer    string   `json:"acs"` // compared octet by octet
	Login       string   `json:"login_url"`
	Logout      string   `json:"logout_url,omitempty"` // of the product
	Metadata    string   `json:"metadata_url,omitempty"`
	Binding     string   `json:"request_binding"`
	NameID      string   `json:"name_id_policy,omitempty"`
	Attributes  []string `json:"required_attributes,omitempty"`
	Certificate []byte   `json:"signing_certificate,omitempty"` // DER; of signed requests
	Initiated   bool     `json:"idp_initiated"`
	Signed      bool     `json:"requests_signed"`
}

// Party is a site as a service provider. All methods may be called from many goroutines.
type Party struct {
	*visitor.Visitors

	opt      Options
	consumer string
	store    *store
	mu       sync.RWMutex
	entered  *entered // nil: nothing is configured
}

// New makes a service provider.
func New(opt Options, place visitor.Place) (*Party, error) {
	wrong := func(err error) (*Party, error) { return nil, fmt.Errorf("samlsp: %s: %w", place.Name, err) }
	base, err := visitor.Base("BaseURL", opt.BaseURL)
	if err != nil {
		return wrong(err)
	}
	opt.BaseURL = base
	h := opt.Habits
	switch {
	case h.Identify == nil || h.Consumer == "" || h.Start == "" || h.EntityID == "":
		return wrong(errors.New("the habits aren't those of a product"))
	case (opt.Key == nil) != (len(opt.Certificate) == 0):
		return wrong(errors.New("give Key and Certificate, or neither"))
	case h.Signs == AlwaysSigns && opt.Key == nil:
		return wrong(errors.New("this product signs its requests: give Key and Certificate"))
	}
	if opt.Key != nil {
		if key, ok := opt.Key.Public().(*rsa.PublicKey); !ok || key.N.BitLen() < minKeyBits {
			return wrong(fmt.Errorf("Key must be RSA of at least %d bits", minKeyBits))
		}
	}
	visitors, err := visitor.New(place, base, h.Start, []string{"/" + place.Name + pathLogout}, opt.Random)
	if err != nil {
		return wrong(err)
	}
	p := &Party{Visitors: visitors, opt: opt, store: newStore()}
	p.consumer = base + strings.ReplaceAll(h.Consumer, "{id}", opt.Connection)
	if opt.Settings != nil {
		if err := p.Configure(*opt.Settings); err != nil {
			return wrong(err)
		}
	}
	return p, nil
}

// pathLogout takes the form of a page's logout button, below the site's name.
const pathLogout = "/logout"

// entityID gives an entity id; form "" for the product's own.
func (p *Party) entityID(form string) string {
	form = cmp.Or(form, p.opt.Habits.EntityID)
	return strings.NewReplacer("{base}", p.opt.BaseURL, "{id}", p.opt.Connection).Replace(form)
}

// Describe gives what the provider must know.
func (p *Party) Describe() Described {
	d := Described{
		EntityID: p.entityID(""), Consumer: p.consumer, Login: p.opt.BaseURL + p.opt.Habits.Start, Binding: bindingRedirect, NameID: p.opt.Habits.NameID,
		Attributes: p.opt.Habits.Required, Certificate: p.opt.Certificate, Initiated: p.opt.Habits.Initiated, Signed: p.opt.Habits.Signs == AlwaysSigns,
	}
	if p.opt.Habits.Post {
		d.Binding = bindingPOST
	}
	if s, ok := p.settings(); ok {
		d.EntityID, d.Signed = s.entity, p.signs(s)
	}
	if p.opt.Habits.Logout != "" {
		d.Logout = p.opt.BaseURL + p.opt.Habits.Logout
	}
	if p.opt.Habits.Metadata != "" {
		d.Metadata = p.opt.BaseURL + p.opt.Habits.Metadata
	}
	return d
}

// Configure takes what an administrator types in, all of it or nothing. Sessions go on. The error is ErrSettings where the product refuses it.
func (p *Party) Configure(s Settings) error {
	return p.configure(s, true)
}

// Restore takes what was typed in earlier, whose certificate may have expired since.
func (p *Party) Restore(s Settings) error { return p.configure(s, false) }

func (p *Party) configure(s Settings, anew bool) error {
	x, err := p.check(s)
	if err == nil && anew {
		err = x.fresh(p.Now())
	}
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entered = &x
	return nil
}

// Restart takes back what was typed in after the start.
func (p *Party) Restart() {
	p.mu.Lock()
	p.entered = nil
	p.mu.Unlock()
	if p.opt.Settings != nil {
		_ = p.Configure(*p.opt.Settings) // it was taken at the start; if its certificate has expired meanwhile, nothing is configured
	}
}

// Settings gives what is typed in; false for nothing.
func (p *Party) Settings() (Settings, bool) {
	x, ok := p.settings()
	return x.Settings, ok
}

func (p *Party) settings() (entered, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.entered == nil {
		return entered{}, false
	}
	return *p.entered, true
}

// Clear forgets all logins and sessions.
func (p *Party) Clear() {
	p.store.clear()
	p.Visitors.Clear()
}

// CanForce says whether "prompt=login" asks for a new proof; else the provider's session counts.
func (p *Party) CanForce() bool { return p.opt.Habits.Forces }

// LogoutPath takes the form of a page's logout button.
func (p *Party) LogoutPath() string { return "/" + p.Name + pathLogout }

// Handle answers the paths of login and logout; false for any other.
func (p *Party) Handle(w http.ResponseWriter, r *http.Request) bool {
	consumer, _, _ := strings.Cut(p.opt.Habits.Consumer, "?")
	methods, handler := http.MethodGet, p.login
	switch {
	case r.URL.Path == consumer:
		methods, handler = http.MethodPost, p.consume
	case r.URL.Path == p.opt.Habits.Start:
	case r.URL.Path == p.LogoutPath():
		methods, handler = http.MethodPost, p.logout
	case p.opt.Habits.Logout != "" && r.URL.Path == p.opt.Habits.Logout:
		methods, handler = http.MethodGet+", "+http.MethodPost, p.logoutMessage
	case p.opt.Habits.Metadata != "" && r.URL.Path == p.opt.Habits.Metadata:
		handler = p.metadata
	default:
		return false
	}
	w.Header().Set("Cache-Control", "no-store")
	if !strings.Contains(methods, r.Method) {
		w.Header().Set("Allow", methods)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return true
	}
	handler(w, r)
	return true
}

// login begins a login. "return" is where it ends, "prompt=login" asks for a new proof.
func (p *Party) login(w http.ResponseWriter, r *http.Request) {
	s, ok := p.settings()
	if !ok {
		p.Refuse(w, r, &Refusal{Status: http.StatusServiceUnavailable, Reason: NotConfigured})
		return
	}
	q := r.URL.Query()
	id, err1 := p.newID()
	relay, err2 := p.Secret()
	browser, err3 := p.Browser(w, r, visitor.PostedCookie)
	if errors.Join(err1, err2, err3) != nil {
		p.Refuse(w, r, visitor.Broken())
		return
	}
	p.store.begin(id, pending{browser: visitor.DigestOf(browser), relay: relay, target: p.Target(q.Get("return")), begun: p.Now()})
	el := p.request(id, s, p.opt.Habits.Forces && q.Get("prompt") == "login")
	if p.opt.Habits.Post {
		if err := p.post(w, s.SSOURL, "SAMLRequest", el, relay, p.signs(s)); err != nil {
			p.Refuse(w, r, visitor.Broken())
		}
		return
	}
	to, err := p.redirectTo(s.SSOURL, "SAMLRequest", el, relay, p.signs(s))
	if err != nil {
		p.Refuse(w, r, visitor.Broken())
		return
	}
	http.Redirect(w, r, to, http.StatusFound)
}

// one gives a form's field that is there once at most.
func one(f url.Values, name string) (string, bool) {
	switch v := f[name]; len(v) {
	case 0:
		return "", true
	case 1:
		return v[0], true
	}
	return "", false
}

// consume takes the provider's answer (SAML 2.0 Profiles, section 4.1.4.5).
func (p *Party) consume(w http.ResponseWriter, r *http.Request) {
	if p.Describe().Consumer != p.opt.BaseURL+r.URL.RequestURI() {
		p.Refuse(w, r, refused(Recipient)) // another connection's
		return
	}
	session, target, no := p.enter(w, r)
	if no == nil {
		if p.Open(w, r, session) != nil {
			no = visitor.Broken()
		}
	}
	if no != nil {
		p.Refuse(w, r, no)
		return
	}
	http.Redirect(w, r, target, http.StatusSeeOther) //nolint:gosec // Visitors.Target lets only paths of the site through
}

// enter goes from the provider's answer to a session that isn't kept yet, and where it begins.
func (p *Party) enter(w http.ResponseWriter, r *http.Request) (*visitor.Session, string, *Refusal) {
	malformed := &Refusal{Status: http.StatusBadRequest, Reason: MessageMalformed}
	s, ok := p.settings()
	if !ok {
		return nil, "", &Refusal{Status: http.StatusServiceUnavailable, Reason: NotConfigured}
	}
	r.Body = http.MaxBytesReader(w, r.Body, 2*maxEncoded)
	if r.ParseForm() != nil {
		return nil, "", malformed
	}
	encoded, ok1 := one(r.PostForm, "SAMLResponse")
	relay, ok2 := one(r.PostForm, "RelayState")
	if !ok1 || !ok2 || encoded == "" {
		return nil, "", malformed
	}
	raw, no := decode(encoded)
	if no != "" {
		return nil, "", refused(no)
	}
	root, no := read(raw)
	if no != "" {
		return nil, "", refused(no)
	}
	now := p.Now()
	request, target := attrOf(root, "InResponseTo"), ""
	if request != "" {
		begun, no := p.store.find(request, p.Cookie(r, visitor.PostedCookie), false, now)
		switch {
		case no != "":
			return nil, "", refused(no)
		case relay != begun.relay:
			return nil, "", refused(RelayState)
		}
		target = begun.target
	} else if !p.opt.Habits.Initiated {
		return nil, "", refused(Unsolicited)
	} else {
		target = p.Target(strings.TrimPrefix(relay, p.opt.BaseURL))
	}
	a, refusal := judge(root, wanted{
		issuer: s.Issuer, entity: s.entity, consumer: p.consumer, request: request, cert: s.cert, response: s.ResponseSigned, assertion: s.AssertionSigned,
		either: p.opt.Habits.Either, required: p.opt.Habits.Required, now: now,
	})
	if refusal != nil {
		if refusal.Reason == visitor.ProviderError {
			p.store.drop(request)
		}
		return nil, "", refusal
	}
	if no := p.store.finish(request, a.id, a.until, now); no != "" {
		return nil, "", refused(no)
	}
	account, refusal := p.admit(s, a)
	if refusal != nil {
		return nil, "", refusal
	}
	x := &visitor.Session{
		Account: account, Protocol: "SAML 2.0", ACR: a.context, Facts: a.facts(), Subject: a.name, Index: a.index, Issued: a.issued, Proof: a.format,
	}
	if p.opt.Habits.Obeys {
		x.Ends = a.ends
	}
	return x, target, nil
}

// emails is a record of accounts that knows each one's address.
type emails interface{ Email(account string) string }

// admit finds the account. Nobody is made one: the product is told to provision by its API alone.
func (p *Party) admit(s entered, a assertion) (string, *Refusal) {
	subject, email, no := p.opt.Habits.Identify(a)
	if no != "" {
		return "", refused(no)
	}
	account, err := p.Accounts.Admit(s.Issuer, subject, email)
	switch {
	case errors.Is(err, site.ErrInactive):
		return "", refused(visitor.AccountInactive)
	case errors.Is(err, site.ErrLinked):
		return "", refused(visitor.AccountLinked)
	case errors.Is(err, site.ErrNoAccount):
		return "", refused(visitor.NoAccount)
	case err != nil:
		return "", visitor.Broken()
	}
	if known, ok := p.Accounts.(emails); ok && p.opt.Habits.EmailKept && !strings.EqualFold(known.Email(account), email) {
		return "", refused(EmailChanged)
	}
	return account, nil
}
