// Package bizcal is the business calendar of Japanese public offices: which days and hours are open, and what is due when.
//
// The days on which administrative organs are closed are those of 行政機関の休日に関する法律 (Act 91 of 1988) as it stands since May 1992:
// Saturdays, Sundays, the days of 国民の祝日に関する法律 (Act 178 of 1948, substitute holidays included) and 29 December to 3 January. An Office adds
// its own hours, closed days and open days. Days are Japan's; instants are taken and given as time.Time.
//
// Holidays up to a year are known from the Cabinet Office's list (embedded, see known.csv; replaceable by Parse). Later years are computed by the law's
// rules and say so, until they are announced each February. Days that a special law made (2019, 2020, 2021) come from the list alone.
// Outside its years a calendar answers with an OutsideError, never with "open".
//
// It is pure: no clock, file or network. Called by sync/escalate and whoever counts working days.
//
// The embedded list is made anew from ../shared/data/holidays.csv by
//
//	go test ./sync/bizcal -run TestKnownIsTheList -update
package bizcal
