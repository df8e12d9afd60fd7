// Package jira provisions portal-only customers of Jira Service Management and their customer organizations over REST. The
// hub's groups are customer organizations, associated with one service desk. Accounts carry no key of ours: the e-mail
// address is what they are found by, compared without case.
//
// It speaks through go-jira where that has the call, and through its NewRequest where it lacks it: the conflict status of
// POST customer, revoking portal-only access, user search, strictly decoded pages, and the removal of organization members,
// whose body go-jira 1.17.0 forgets to send. Every request passes connectors/outbound.
//
// What the product can't do is said, not pretended: a customer's name or e-mail address can't be changed by REST, so
// UpdateAccount, which can take access away and give it back, reports such a wish as KindInvalid. It never retries, schedules or decides who gets an account. Registered by
// cmd, called by sync/provision through the capabilities of package connectors.
package jira
