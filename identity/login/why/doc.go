// Package why says in one sentence whether somebody can log in to a relying party, and if not, the one thing that is missing and what to do about it.
//
// Decide is pure: it is given the facts, asks the policies what the dispatcher of logins asks them (login.Entrances), and decides as the dispatcher
// does (login.Foresee); it has no opinion of its own. What is missing it finds by asking again with one thing or another set right, and it names the
// smallest set of things with which the policies would say yes. Its sentences are Japanese and English.
//
// It reads no database and no clock, and says nothing of the person but what the caller put into the facts. Called by cmd ("musubi why login",
// "musubi rp check").
package why
