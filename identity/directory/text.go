package directory

import (
	"errors"
	"fmt"
	"strings"

	"github.com/musubi-hub/musubi/identity/directory/review"

	"github.com/musubi-hub/musubi/identity/code"
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
	return fault{
		Value: value, Reason: reason,
		Remedy: review.Say(
			"1 行目を次のとおりにしてください: "+strings.Join(headerOf(subject), ","),
			"let the first line read: "+strings.Join(headerOf(subject), ","),
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
