// Package jira stands in for Jira Service Management on the cloud: portal-only customers, customer organizations and one service
// desk over /rest/servicedeskapi, and the few calls of the Jira platform that find people. It owns that state and rebuilds it from
// journalled changes; it never does what the vendor refuses.
//
// Called by connectors/sandbox. Licensed people come from connectors/sandbox/atlassian through the Licensed interface.
package jira
