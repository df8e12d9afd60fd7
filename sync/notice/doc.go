// Package notice tells people by mail what happened to their accounts: a card was linked or released, a password was reset, an administrator ended
// their sessions, an invitation is under way.
//
// What is to be told is a row (table person_notice) and a job, in the transaction of what happened, so that both are there or neither is. The job
// carries the row's id alone; who that is, and their address, are read when the mail leaves. A mail holds no password, no code and no other
// person's name. The one secret that goes by mail, the path of an invitation, is kept sealed until then and wiped; without the letter's code it
// opens nothing.
//
// Where no mail relay is configured, rows wait for a week and then stand as unsent, with the reason; `musubi notices people` shows them.
//
// Notices to system administrators are sync/dated's. Called by identity packages behind their own interfaces, and by cmd.
package notice
