// Package atlassian stands in for Atlassian's user provisioning API, the SCIM directory of an organization: users and groups with
// the vendor's dialect, its three shapes of refusal and its limits. It owns the directory's state and rebuilds it from journalled
// changes; it never does what the vendor refuses.
//
// Called by connectors/sandbox, and by connectors/sandbox/jira as the site's licensed people.
package atlassian
