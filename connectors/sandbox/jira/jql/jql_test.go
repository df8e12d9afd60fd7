package jql_test

import (
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/jql"
)

type subject map[string][]string

func (s subject) Values(field string) []string { return s[field] }
func (subject) Created() time.Time             { return time.Date(2026, 11, 24, 0, 0, 30, 0, time.UTC) } // 09:00:30 JST

func (subject) Updated() time.Time { return time.Date(2026, 11, 24, 1, 0, 0, 0, time.UTC) }

func TestMatches(t *testing.T) {
	x := subject{"project": {"HELP", "10000"}, "labels": {"A"}, "summary": {"見本 \"引用\""}, "reporter": {"me"}}
	now := time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)
	for text, want := range map[string]bool{
		`project = help`: true, `project != HELP`: false, `project in (X, "10000")`: true, `project not in (X)`: true, `labels = a`: false, `labels = A`: true,
		`labels is not empty`: true, `assignee is EMPTY`: true, `assignee != x AND project = HELP`: false, `reporter = currentUser()`: true,
		`summary ~ "見本*"`: true, `summary !~ "見本"`: false, `summary ~ "\"引用\""`: true, `created = "2026-11-24 09:00"`: true, `created > "2026/11/24 09:00"`: false,
		`created < 2026-11-25`: true, `updated >= -60m`: true, `updated > -60m`: false, `updated <= now()`: true, `updated >= "2026-11-24 10:01"`: false,
	} {
		q, err := jql.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if q.Matches(x, "me", now) != want {
			t.Errorf("%s: want %v", text, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`project = HELP AND labels in ("a", b) ORDER BY created DESC`)
	f.Add(`updated >= -15m and assignee is not empty`)
	f.Add(`project = "unfinished`)
	f.Fuzz(func(t *testing.T, text string) {
		q, err := jql.Parse(text)
		if err == nil {
			_ = q.Matches(subject{"project": {"HELP"}}, "me", time.Unix(0, 0))
		}
	})
}
