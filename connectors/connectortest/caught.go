package connectortest

import "slices"

// caughtBy names the case that catches a planted bug, for those that the cases before it would take long to come to. It is tried
// first. That saves time and proves nothing less: where it doesn't catch the bug, the others follow.
var caughtBy = map[string]string{
	"reports a lost answer as success":                   "lost answer of a create",
	"sends a create again":                               "lost answer of a create",
	"asks again where the credential is refused":         "wrong token",
	"takes a wrong token for an outage":                  "wrong token",
	"storms a vendor that is away":                       "throttled by the vendor",
	"forgets Retry-After":                                "throttled by the vendor",
	"takes every failure of a look-up for absence":       "lost answers of repeatable calls",
	"takes every failure of a disable for success":       "lost answers of repeatable calls",
	"takes every failure of a member change for success": "lost answers of repeatable calls",
	"goes on after the caller gave up":                   "canceled",
	"lists the first page alone":                         "listing",
	"removes all members":                                "members",
	"forgets the last member to add":                     "members",
	"forgets the last member to remove":                  "members",
	"cuts a batch that is too large":                     "member batch",
	"lists the first members alone":                      "member batch",
	"reports a lost group as success":                    "lost answer of a group",
	"searches the first page alone":                      "work items in pages",
	"publishes internal comments":                        "comments",
	"comments twice":                                     "comments",
	"moves nothing":                                      "transition",
	"takes a conflict for success":                       "transition",
	"fails where the item is there already":              "transition",
	"forgets when an agreed time is due":                 "agreed times",
	"removes every participant":                          "participants",
	"publishes internal files":                           "attachments",
	"cuts a file":                                        "attachments",
	"believes a wrong signature on work items":           "forged delivery",
	"believes a repetition under another key":            "replayed delivery",
	"believes a repetition of any age":                   "replayed delivery",
	"reports a lost message as sent":                     "lost answer of a message",
	"sends a lost message again":                         "lost answer of a message",
	"answers beside the thread":                          "lost answer of a message",
	"sends for a caller who gave up":                     "message and faults",
	"hides that a relay is busy":                         "mail and faults",
	"forgets when to come back":                          "mail and faults",
	"hides a wrong password":                             "mail and faults",
	"takes a conversation for a recipient":               "mails that are refused",
}

// likeliest puts the case that is known to catch the bug first, then those of the bug's own section.
func (b bug) likeliest(all []testCase) []testCase {
	rank := func(c testCase) int {
		switch {
		case c.name == caughtBy[b.name]:
			return 0
		case c.section == b.section:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(all, func(x, y testCase) int { return rank(x) - rank(y) })
	return all
}
