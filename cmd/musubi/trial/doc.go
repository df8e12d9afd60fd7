// Package trial is what a newcomer can try in the demonstration, by a button on a page: a leaver, a transfer, a fault. Each really happens: it
// goes the way that the command of the same name goes, and the fault is planted in the stand-in of the SaaS as anybody would plant it, through
// /_control/faults. A story tells what was asked, which jobs ran, what the SaaS answered and what they hold now; it is kept in memory and
// ends with the process.
//
// It decides nothing about people or plans, and it is never there in a hub that isn't a demonstration.
//
// Called by cmd/musubi's demo; implements console.Trials.
package trial
