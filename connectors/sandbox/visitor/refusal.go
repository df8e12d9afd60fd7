package visitor

import (
	"net/http"
	"regexp"
)

// Reason says for machines why somebody wasn't let in, or a message not taken.
type Reason string

// The reasons that are no protocol's own.
const (
	Unauthenticated     Reason = "unauthenticated"      // a form without a session
	FormForeign         Reason = "form_foreign"         // a form that isn't this site's, or is of an older session
	StateUnknown        Reason = "state_unknown"        // no login is under way with this state (any more)
	OtherBrowser        Reason = "other_browser"        // the login was begun by another browser
	ProviderError       Reason = "provider_error"       // the provider said no, with Code
	ProviderUnreachable Reason = "provider_unreachable" // or it answers what can't be used
	AssuranceTooLow     Reason = "assurance_too_low"    // the login was of another kind than this site insists on
	NoEmail             Reason = "no_email"             // a first login, and no address to find the account by
	NoAccount           Reason = "no_account"           // nobody has provisioned this person
	AccountInactive     Reason = "account_inactive"
	AccountLinked       Reason = "account_linked" // to another subject
	SessionEnded        Reason = "session_ended"  // the provider ended it before it began here
	TooMany             Reason = "too_many"
	Internal            Reason = "internal"
)

// Refusal is what a person, or the provider, is told.
type Refusal struct {
	Status   int // of HTTP
	Reason   Reason
	Code     string // the provider's word for it, "" for none
	Incident string // the provider's number of it, "" for none
}

// Refuse makes a refusal that is the other side's doing.
func Refuse(reason Reason) *Refusal { return &Refusal{Status: http.StatusForbidden, Reason: reason} }

// Broken is a refusal that is this side's fault.
func Broken() *Refusal {
	return &Refusal{Status: http.StatusInternalServerError, Reason: Internal}
}

var incidentForm = regexp.MustCompile(`\bincident ([0-9A-Za-z]{1,40}(?:-[0-9A-Za-z]{1,40}){0,6})(?:[;,.\s]|$)`)

// IncidentIn finds the provider's incident number in its free text, of which nothing else is ever shown.
func IncidentIn(text string) string {
	if found := incidentForm.FindStringSubmatch(text); found != nil {
		return found[1]
	}
	return ""
}
