package directory

import (
	"errors"
	"fmt"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/code"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

// The sentences of the report. Reasons and remedies stand side by side, so that nobody adds one without the other.

func badNumber(column, value string, err error) fault {
	f := fault{Column: column, Value: value}
	var e *code.Error
	if errors.As(err, &e) {
		f.Reason.JA, f.Remedy.JA = e.Japanese()
		f.Reason.EN, f.Remedy.EN = e.English()
	}
	return f
}

func empty(column string) fault {
	return fault{
		Column: column,
		Reason: review.Say("値がありません", "the value is missing"),
		Remedy: review.Say("値を入れてください", "fill it in"),
	}
}

func tooLong(column, value string, limit int) fault {
	return fault{
		Column: column, Value: value,
		Reason: review.Say(fmt.Sprintf("%d 文字を超えています", limit), fmt.Sprintf("it is longer than %d characters", limit)),
		Remedy: review.Say("短くしてください", "shorten it"),
	}
}

func badCharacter(column, value string, r rune) fault {
	return fault{
		Column: column, Value: value,
		Reason: review.Say(fmt.Sprintf("見えない文字または制御文字 U+%04X があります", r), fmt.Sprintf("it contains the invisible or control character U+%04X", r)),
		Remedy: review.Say("その文字を消してください (セル内の改行も使えません)", "remove that character (line breaks inside a cell too)"),
	}
}

func lostCharacter(column, value string) fault {
	return fault{
		Column: column, Value: value,
		Reason: review.Say("文字化けの跡 U+FFFD があります", "it contains U+FFFD, the trace of a lost character"),
		Remedy: review.Say("元の文字を入れ直してください", "write the original character again"),
	}
}

func notUTF8Cell(column, value string) fault {
	return fault{
		Column: column, Value: value,
		Reason: review.Say("UTF-8 でないバイトがあります", "it contains bytes that are not UTF-8"),
		Remedy: review.Say("ファイルを「CSV UTF-8」で保存し直してください", `save the file again as "CSV UTF-8"`),
	}
}

func unknownWord(column, value string, allowed []string) fault {
	list := strings.Join(allowed, ", ")
	return fault{
		Column: column, Value: value,
		Reason: review.Say("決められた値ではありません", "it is not one of the values of this column"),
		Remedy: review.Say("次のどれかを書いてください: "+list, "write one of: "+list),
	}
}

func badEmail(value, whyJA, whyEN string) fault {
	return fault{
		Column: "email", Value: value,
		Reason: review.Say("メールアドレスではありません: "+whyJA, "it is not an e-mail address: "+whyEN),
		Remedy: review.Say("name@example.lg.jp の形で書いてください", "write it like name@example.lg.jp"),
	}
}

func twice(column, value string, first int) fault {
	return fault{
		Column: column, Value: value,
		Reason: review.Say(fmt.Sprintf("%d 行目と重複しています", first), fmt.Sprintf("the same value stands in line %d", first)),
		Remedy: review.Say("どちらかの行を直すか消してください", "correct or delete one of the two rows"),
	}
}

func badHeader(value string, reason review.Text, subject Subject) fault {
	en := strings.Join(headerOf(subject, review.English), ",")
	return fault{
		Value: value, Reason: reason,
		Remedy: review.Say(
			"1 行目に使える列は次のとおりです: "+strings.Join(headerOf(subject, review.Japanese), ",")+" (英語なら "+en+")",
			"the first line may have these columns: "+en,
		),
	}
}

func outsideScope(column, value string) fault {
	return fault{
		Column: column, Value: value,
		Reason: review.Say("あなたが管理する組織ではありません", "this organization is outside what you administer"),
		Remedy: review.Say("行を消すか、その組織の管理者に頼んでください", "delete the row, or ask an administrator of that organization"),
	}
}

func unknownOrganization(column, value string) fault {
	return fault{
		Column: column, Value: value,
		Reason: review.Say("登録されていない組織です", "this organization is not registered"),
		Remedy: review.Say("先に組織を取り込むか、コードを直してください", "import the organization first, or correct the code"),
	}
}

func notExisting(column string, o identity.Organization, now int64) fault {
	f := fault{Column: column, Value: string(o.ID)}
	if o.From > now {
		f.Reason = review.Say(jst.Date(o.From)+" に設置される組織です", "this organization begins to exist on "+jst.Date(o.From))
		f.Remedy = review.Say("その日以後に取り込むか、その日の異動として登録してください", "import it from that day on, or record transfers for that day")
		return f
	}
	f.Reason = review.Say(jst.Date(o.Until)+" に廃止された組織です", "this organization ceased on "+jst.Date(o.Until))
	f.Remedy = review.Say("コードを直すか、行を消してください", "correct the code, or delete the row")
	if o.Successor != "" {
		f.Remedy = review.Say("承継した団体のコード "+string(o.Successor)+" を書いてください", "write the code of its successor, "+string(o.Successor))
	}
	return f
}

// collisionFault says who has the address, as far as the scope may know.
func collisionFault(scope policies.Scope, email string, h holder) fault {
	reason := review.Say("ほかの組織の在職者が使っているメールアドレスです", "somebody in service in another organization has this e-mail address")
	if scope.Covers(h.org) {
		who := fmt.Sprintf("%s / %s", h.org, review.Visible(h.number, review.MaxShown))
		reason = review.Say("在職者 ("+who+") が使っているメールアドレスです", "somebody in service ("+who+") has this e-mail address")
	}
	return fault{
		Column: "email", Value: email, Reason: reason,
		Remedy: review.Say(
			"別のアドレスにするか、先にその職員の在職を終了するかアドレスを変えてください。部署で共有しているメールボックスなら --shared-mailbox alias で取り込んでください",
			"write another address, or first end that person's service or change their address; where the section shares a mailbox, import with --shared-mailbox alias",
		),
	}
}

func returnedFault(staffNumber string) fault {
	return fault{
		Column: "staff_number", Value: staffNumber,
		Reason: review.Say("在職を終了した職員の職員番号です", "this staff number belongs to a person whose service has ended"),
		Remedy: review.Say("新しい職員番号を書くか、行を消してください", "write a new staff number, or delete the row"),
	}
}

func noteEnded(report *review.Report, line int) {
	report.Note(line, review.Say(
		"在職を終了した職員の行です。終了のままにします",
		"this person's service has ended; it stays ended",
	))
}
