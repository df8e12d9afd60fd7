package slack

import (
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/connectors"
)

// codeKinds says what each of Slack's error codes means for the caller. A code that isn't here is KindInvalid: the vendor looked at
// the request and refused it. Sources: the enums of Slack's OpenAPI document of the Web API, docs.slack.dev for the later ones.
var codeKinds = byCode(map[connectors.Kind][]string{
	connectors.KindAuth: {
		"not_authed", "invalid_auth", "account_inactive", "token_expired", "token_revoked", "no_permission", "missing_scope",
		"not_allowed_token_type", "org_login_required", "ekm_access_denied", "access_denied", "two_factor_setup_required",
		"enterprise_is_restricted", "team_access_not_granted", "accesslimited", "permission_denied", "user_is_bot",
		"user_is_restricted", "restricted_action", "restricted_action_read_only_channel", "restricted_action_thread_only_channel",
		"not_allowed", "not_an_admin", "is_inactive", "invalid_token", "app_not_installed",
	},
	connectors.KindNotFound: {
		"channel_not_found", "user_not_found", "users_not_found", "no_user", "message_not_found", "thread_not_found",
		"no_such_subteam", "subteam_not_found", "no_such_user", "no_such_group", "group_not_found",
	},
	connectors.KindConflict: {
		"name_taken", "name_already_exists", "handle_already_exists", "already_in_channel", "already_archived",
		"email_taken", "username_taken", "name_conflict", "displayname_taken",
	},
	connectors.KindThrottled: {
		"ratelimited", "rate_limited", "message_limit_exceeded", "resource_locked", "too_many_requests",
	},
	connectors.KindTooLarge: {
		"msg_too_long", "msg_blocks_too_long", "metadata_too_large", "too_many_attachments",
	},
	connectors.KindProtocol: {
		"unknown_method", "method_deprecated", "deprecated_endpoint", "method_not_supported_for_channel_type", "invalid_arg_name",
		"invalid_array_arg", "invalid_charset", "invalid_form_data", "invalid_post_type", "missing_post_type", "invalid_json",
		"json_not_object", "upgrade_required", "missing_charset", "superfluous_charset", "invalid_arguments",
	},
	// The vendor says itself that part of the work may have been done.
	connectors.KindAmbiguous: {"fatal_error", "internal_error", "request_timeout"},
	// Nothing was done, later it will be.
	connectors.KindUnavailable: {"service_unavailable", "team_added_to_org", "fetch_members_failed"},
})

// scimCodes are the codes that SCIM answers with statuses of their own choice. Those of the credential are left to the status.
var scimCodes = map[string]connectors.Kind{
	"email_taken": connectors.KindConflict, "username_taken": connectors.KindConflict,
	"no_such_user": connectors.KindNotFound, "user_not_found": connectors.KindNotFound, "no_such_group": connectors.KindNotFound,
	"resource_locked": connectors.KindThrottled, "too_many_requests": connectors.KindThrottled, "ratelimited": connectors.KindThrottled,
	"too_many_users": connectors.KindInvalid, "group_member_max_exceeded": connectors.KindInvalid,
}

func byCode(kinds map[connectors.Kind][]string) map[string]connectors.Kind {
	codes := map[string]connectors.Kind{}
	for kind, list := range kinds {
		for _, code := range list {
			codes[code] = kind
		}
	}
	return codes
}

// kindOf gives a code's kind. Where a request may be repeated, what may have been done is merely unavailable.
func kindOf(code string, idempotent bool) connectors.Kind {
	kind, ok := codeKinds[code]
	switch {
	case !ok:
		return connectors.KindInvalid
	case kind == connectors.KindAmbiguous && idempotent:
		return connectors.KindUnavailable
	}
	return kind
}

// remedies say what an administrator must do, for the codes that nobody else can cure.
var remedies = map[string]string{
	"not_in_channel": "the application isn't in this channel: invite it",
	"is_archived":    "the channel is archived",
	"token_expired":  "the token has expired: issue a new one",
	"token_revoked":  "the token was revoked: install the application again",
	"invalid_auth":   "the token isn't valid",
	"not_authed":     "no token reached Slack",
}

// detailOf words a refusal: the code, what to do, what is missing, the vendor's own messages.
func (e envelope) detail() string {
	words := []string{e.Error}
	if remedy := remedies[e.Error]; remedy != "" {
		words = append(words, remedy)
	}
	if e.Needed != "" {
		words = append(words, "the token lacks the scope "+e.Needed)
	}
	words = append(words, e.Metadata.Messages...)
	return strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), ": ")
}
