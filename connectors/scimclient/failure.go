package scimclient

import (
	"encoding/json"
	"strings"
)

// parseError reads a SCIM server's code and words from an error answer. Servers use four shapes: RFC 7644's Error with the
// status as a string or as a number, Atlassian's {"error","traceId"} for 401 and 403, its Java-style BadRequestException, and
// SCIM 1.1's {"Errors"}.
func parseError(_ int, body []byte) (code, detail string) {
	var e struct {
		SCIMType      string          `json:"scimType"`
		Detail        string          `json:"detail"`
		Error         json.RawMessage `json:"error"`
		TraceID       string          `json:"traceId"`
		SCIMErrorType string          `json:"scimErrorType"`
		Message       string          `json:"message"`
		Errors        json.RawMessage `json:"Errors"`
	}
	if json.Unmarshal(body, &e) != nil {
		return "", ""
	}
	switch {
	case e.Detail != "" || e.SCIMType != "":
		return e.SCIMType, e.Detail
	case e.Message != "" || e.SCIMErrorType != "":
		return e.SCIMErrorType, e.Message
	}
	var text string
	if json.Unmarshal(e.Error, &text) == nil && text != "" {
		if e.TraceID != "" {
			text += " (trace " + e.TraceID + ")"
		}
		return "", text
	}
	return "", oldErrors(e.Errors)
}

// oldErrors reads SCIM 1.1's {"Errors":[{"description"}]}, or one such object without the list.
func oldErrors(raw json.RawMessage) string {
	type old struct {
		Description string `json:"description"`
	}
	var list []old
	var one old
	switch {
	case json.Unmarshal(raw, &list) == nil:
		var words []string
		for _, e := range list {
			words = append(words, e.Description)
		}
		return strings.Join(words, "; ")
	case json.Unmarshal(raw, &one) == nil:
		return one.Description
	}
	return ""
}
