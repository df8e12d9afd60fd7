package site

import "errors"

// Why somebody who has logged in isn't let in.
var (
	ErrNoAccount = errors.New("site: nobody has this e-mail address here")
	ErrInactive  = errors.New("site: the account is deactivated")
	ErrLinked    = errors.New("site: the account belongs to another subject of the identity provider")
)

// Subject is whom an identity provider has named: unlike an e-mail address it never changes and never goes to somebody else.
type Subject struct {
	Issuer string `json:"issuer"`
	ID     string `json:"sub"`
}

// Link ties a subject to an account; it is journalled.
type Link struct {
	Subject
	Account string `json:"account"`
	Gone    bool   `json:"gone,omitempty"` // the tie is undone
}

// Links are the ties between subjects and accounts, one to one per issuer. The zero value is empty. The caller locks.
type Links struct {
	accounts map[Subject]string
	subjects map[string]Subject // account -> subject
	order    []string           // accounts, in the order in which they were tied
}

// Account gives the account of a subject, "" for none.
func (l *Links) Account(s Subject) string { return l.accounts[s] }

// Of says whether an account is tied to a subject.
func (l *Links) Of(account string) (Subject, bool) {
	s, ok := l.subjects[account]
	return s, ok
}

// Put takes a tie, or its end, into the set.
func (l *Links) Put(k Link) {
	if l.accounts == nil {
		l.accounts, l.subjects = map[Subject]string{}, map[string]Subject{}
	}
	if k.Gone {
		delete(l.accounts, l.subjects[k.Account])
		delete(l.subjects, k.Account)
		return
	}
	if _, known := l.subjects[k.Account]; !known {
		l.order = append(l.order, k.Account)
	}
	l.accounts[k.Subject], l.subjects[k.Account] = k.Account, k.Subject
}

// All gives the ties, in the order in which they were made.
func (l *Links) All() []Link {
	var list []Link
	seen := map[string]bool{}
	for _, account := range l.order {
		if s, ok := l.subjects[account]; ok && !seen[account] {
			seen[account] = true
			list = append(list, Link{Subject: s, Account: account})
		}
	}
	return list
}

// Candidate is an account that an e-mail address finds; Account is "" where it finds none.
type Candidate struct {
	Account string
	Active  bool
}

// Admit decides who somebody is: by the subject if it is known here, else by the address, once. tie is true where the decision is new and
// must be kept.
func (l *Links) Admit(s Subject, byEmail Candidate, active func(account string) bool) (account string, tie bool, err error) {
	if known := l.Account(s); known != "" {
		if !active(known) {
			return "", false, ErrInactive
		}
		return known, false, nil
	}
	switch _, tied := l.Of(byEmail.Account); {
	case byEmail.Account == "":
		return "", false, ErrNoAccount
	case !byEmail.Active:
		return "", false, ErrInactive
	case tied:
		return "", false, ErrLinked
	}
	return byEmail.Account, true, nil
}
