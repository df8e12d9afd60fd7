package inbound

import (
	"regexp"
	"strings"
)

// withoutQuotation gives what the person wrote above the mail that is being answered. It cuts only where a quotation surely begins
// and nothing of the person's stands below it; in doubt the whole text stays, because an answer that lost its point is worse than
// one with a tail.
func withoutQuotation(text string) string {
	lines := strings.Split(text, "\n")
	at := len(lines)
	for i := range lines {
		if divider(lines, i) {
			at = i
			break
		}
		if attribution(lines, i) || quoted(lines[i]) {
			if !onlyQuoted(lines[i:]) {
				return text // answers between the lines: they mean nothing without the questions
			}
			at = i
			break
		}
	}
	return strings.Trim(strings.Join(lines[:at], "\n"), "\n \t\u3000")
}

func quoted(line string) bool {
	line = strings.TrimLeft(line, " \t\u3000")
	return strings.HasPrefix(line, ">") || strings.HasPrefix(line, "＞") || strings.HasPrefix(line, "|>")
}

func blank(line string) bool { return strings.Trim(line, " \t\r\u3000") == "" }

// onlyQuoted says whether lines, which begin a quotation, hold nothing else: an attribution of at most two lines, then quoted and
// empty lines.
func onlyQuoted(lines []string) bool {
	some, lead := false, 0
	for _, line := range lines {
		switch {
		case quoted(line):
			some = true
		case blank(line):
		case !some && lead < 2:
			lead++
		default:
			return false
		}
	}
	return some
}

var (
	// wrote ends the line above a quotation: "On ... wrote:", "2026年4月1日(水) 10:00 見本 花子 <a@b>:", "...さんは書きました:".
	wrote = regexp.MustCompile(`(?i)(\bwrote:|さん(は|が)?(書きました|のメール|wrote)?[:：]|は書きました[:：]|>\s*[:：])\s*$`)
	dated = regexp.MustCompile(`(?i)^\s*(on\b|\d{4}[年/.-]\s?\d{1,2}[月/.-]|[(（]?\d{4}/\d{2}/\d{2}|.*\d{1,2}:\d{2})`)

	original = regexp.MustCompile(`(?i)^\s*[-_－ー—]{2,}\s*(original message|original appointment|forwarded message|元のメッセージ|元のメール|オリジナルメッセージ|転送メッセージ|返信元メッセージ)\s*[-_－ー—]{2,}\s*$`)
	rule     = regexp.MustCompile(`^\s*[-_]{10,}\s*$`)
	fromLine = regexp.MustCompile(`(?i)^\s*\*?(from|差出人|送信者)\s*[:：]\*?\s*\S`)
	sentLine = regexp.MustCompile(`(?i)^\s*\*?(sent|date|送信日時|日時|送信日|日付)\s*[:：]\*?\s*\S`)
)

// attribution says whether line i, alone or with the next, stands above a quotation that follows at once.
func attribution(lines []string, i int) bool {
	for n := 1; n <= 2 && i+n <= len(lines); n++ {
		joined := strings.Join(lines[i:i+n], " ")
		if len(joined) > 500 || blank(lines[i]) || !wrote.MatchString(joined) || !dated.MatchString(joined) {
			continue
		}
		for _, next := range lines[i+n:] {
			if blank(next) {
				continue
			}
			return quoted(next)
		}
	}
	return false
}

// divider says whether the original message begins at line i, as Outlook and its like write it: a rule or nothing, then From and
// Sent within a few lines. All that follows is the original.
func divider(lines []string, i int) bool {
	if original.MatchString(lines[i]) {
		return true
	}
	begin := i
	if rule.MatchString(lines[i]) {
		begin = i + 1
	}
	if begin >= len(lines) || !fromLine.MatchString(lines[begin]) {
		return false
	}
	for _, line := range lines[begin+1 : min(begin+5, len(lines))] {
		if sentLine.MatchString(line) {
			return true
		}
	}
	return false
}
