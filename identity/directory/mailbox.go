package directory

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/policies"
)

// A mailbox that a section shares can't be anybody's name in a SaaS: two people would be one there, and nobody could tell who acted.

// sectionWords are the local parts by which offices call the mailbox of a section rather than a person's; digits, and signs at the
// ends, don't count.
var sectionWords = []string{
	"soumu", "somu", "kikaku", "jinji", "shokuin", "zaisei", "zeimu", "shimin", "jumin", "juumin", "chomin", "choumin", "sonmin", "kumin", "koseki",
	"hoken", "kokuho", "fukushi", "kaigo", "kosodate", "kyouiku", "kyoiku", "gakkou", "bousai", "bosai", "kiki", "kanri", "keiyaku", "kaikei",
	"gikai", "kensetsu", "toshi", "doboku", "suidou", "suido", "kankyou", "kankyo", "nourin", "norin", "nougyou", "shoukou", "shoko", "kankou", "kanko",
	"jouhou", "joho", "densan", "system", "dx", "digital", "hisho", "kouhou", "koho", "chiiki", "shakai", "senkyo", "toukei", "madoguchi",
	"info", "contact", "office", "mail", "webmaster", "postmaster", "admin", "administrator", "support", "help", "helpdesk", "desk", "inquiry", "toiawase", "noreply",
}

// sectionEndings follow the name of a section: soumu-ka, zeimu.kakari, kikaku_g.
var sectionEndings = []string{"ka", "bu", "kyoku", "shitsu", "kakari", "han", "group", "g", "section", "div", "dept", "center", "yakuba", "shiyakusho"}

// sectionMailbox reports whether an e-mail address looks like that of the section: its local part is a word for one, or a section's ending
// stands after a sign. Words alone never refuse anything.
func sectionMailbox(email, section string) bool {
	local, _, _ := strings.Cut(strings.ToLower(email), "@")
	local = strings.Trim(local, "0123456789-_.")
	if slices.Contains(sectionWords, local) {
		return true
	}
	at := strings.LastIndexAny(local, "-_.")
	if at < 0 {
		for _, word := range sectionWords {
			if rest, ok := strings.CutPrefix(local, word); ok && slices.Contains(sectionEndings, rest) && len(rest) > 1 {
				return true
			}
		}
		return section != "" && strings.EqualFold(local, section)
	}
	return slices.Contains(sectionEndings, local[at+1:]) || slices.Contains(sectionWords, local[:at]) && slices.Contains(sectionWords, local[at+1:])
}

// aliasOf is the address that somebody with a shared mailbox gets: always the same for the same staff number of the same organization.
func aliasOf(org policies.OrgID, staffNumber, domain string) string {
	sum := sha256.Sum256([]byte("musubi.alias.v1\x00" + string(org) + "\x00" + staffNumber))
	return "p-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10])) + "@" + strings.ToLower(domain)
}

// checkAliases refuses aliases that somebody has already, in the directory or in the file: two rows' digests don't meet by chance.
func (s *Store) checkAliases(ctx context.Context, c *comparison) error {
	rows := make(map[string]int, len(c.aliases))
	for d, i := range c.aliases {
		row := c.people.person(i)
		alias := aliasOf(row.Org, row.StaffNumber, c.opt.AliasDomain)
		if _, written := c.people.mail[d]; written {
			c.refuse(i, collisionFault(policies.Scope{}, alias, holder{}))
			continue
		}
		rows[alias] = i
	}
	keys := make([]string, 0, len(rows))
	for key := range rows {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for part := range slices.Chunk(keys, 500) {
		args := make([]any, len(part))
		for i, key := range part {
			args[i] = key
		}
		q := sqlText("SELECT id, email_key FROM " + personTable + " WHERE ended_at = 0")
		q.and("email_key IN (?"+strings.Repeat(",?", len(args)-1)+")", args...)
		err := each(ctx, s.db.Reader(), q, func(r *sql.Rows) error {
			var id, key string
			if err := r.Scan(&id, &key); err != nil {
				return fmt.Errorf("directory: read addresses: %w", err)
			}
			if i := rows[key]; string(c.found[i].id) != id {
				c.refuse(i, collisionFault(policies.Scope{}, key, holder{}))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func sharedFault(email string, first, line int) fault {
	reason := review.Say("複数の行が同じメールアドレスです (最初は "+fmt.Sprint(first)+" 行目)", "several rows have this e-mail address; the first is line "+fmt.Sprint(first))
	if first == line {
		reason = review.Say("後の行も同じメールアドレスです", "a later row has the same e-mail address")
	}
	return fault{
		Column: "email", Value: email, Reason: reason,
		Remedy: review.Say(
			"一人ずつのアドレスを書いてください。部署で共有しているメールボックスなら --shared-mailbox alias で取り込むと、一人ずつに別名アドレスが付きます",
			"write an address for each person; where the section shares a mailbox, import with --shared-mailbox alias and each gets an alias of their own",
		),
	}
}

func sectionNotice(email string) review.Text {
	shown := review.Visible(email, review.MaxShown)
	return review.Say(
		"「"+shown+"」は部署のメールボックスのようです。使うのが一人だけか確かめてください",
		shown+" looks like the mailbox of a section; make sure that one person alone uses it",
	)
}
