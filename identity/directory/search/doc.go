// Package search finds people by what somebody remembers of them: name in kanji, kana or Latin letters, section, title, duties,
// organization, the beginning of a telephone number or an e-mail address.
//
// It keeps the people in service in memory, folded by identity/directory/fold, and follows the directory's change feed; it owns no table and
// may be thrown away at any time. Each search takes a policies.Scope and finds nobody outside it; people whose service has ended are
// never found. What the feed doesn't show, such as an embargoed transfer, isn't here either. Searching takes no lock: a new state is made
// beside the old one and put in its place.
//
// Called by cmd.
package search
