// Package escalate decides who is told next about an inquiry that nobody has answered, and proves that somebody is.
//
// A Ladder is data: rungs that say after how long, since when, who is told by what. Next takes what is known of one inquiry, what happened, and the time, and
// gives what is known then, what is to be done, and when to ask again. Each rung is told once in the life of an inquiry, none after it is answered,
// none early. Where nobody is on duty the inquiry climbs at once and says why; where nobody is left to climb to, that is an alarm and is tried again.
// Prove looks at a stretch of days and lists when that would happen.
//
// It is pure: no clock, file or network; it stores and sends nothing. Working days and hours are bizcal's, by the calendar of the team that answers.
//
// Called by nobody yet: see docs/escalation.md.
package escalate
