package directory

import (
	"errors"
	"fmt"
	"strings"

	"github.com/musubi-hub/musubi/identity/code"
)

// The sentences of the report. Reasons and remedies stand side by side, so that nobody adds one without the other.

func badNumber(column, value string, err error) fault {
	f := fault{column: column, value: value}
	var e *code.Error
	if errors.As(err, &e) {
		f.reason.JA, f.remedy.JA = e.Japanese()
		f.reason.EN, f.remedy.EN = e.English()
	}
	return f
}

func empty(column string) fault {
	return fault{
		column: column,
		reason: Text{"値がありません", "the value is missing"},
		remedy: Text{"値を入れてください", "fill it in"},
	}
}

func tooLong(column, value string, limit int) fault {
	return fault{
		column: column, value: value,
		reason: Text{fmt.Sprintf("%d 文字を超えています", limit), fmt.Sprintf("it is longer than %d characters", limit)},
		remedy: Text{"短くしてください", "shorten it"},
	}
}

func badCharacter(column, value string, r rune) fault {
	return fault{
		column: column, value: value,
		reason: Text{fmt.Sprintf("見えない文字または制御文字 U+%04X があります", r), fmt.Sprintf("it contains the invisible or control character U+%04X", r)},
		remedy: Text{"その文字を消してください (セル内の改行も使えません)", "remove that character (line breaks inside a cell too)"},
	}
}

func lostCharacter(column, value string) fault {
	return fault{
		column: column, value: value,
		reason: Text{"文字化けの跡 U+FFFD があります", "it contains U+FFFD, the trace of a lost character"},
		remedy: Text{"元の文字を入れ直してください", "write the original character again"},
	}
}

func notUTF8Cell(column, value string) fault {
	return fault{
		column: column, value: value,
		reason: Text{"UTF-8 でないバイトがあります", "it contains bytes that are not UTF-8"},
		remedy: Text{"ファイルを「CSV UTF-8」で保存し直してください", `save the file again as "CSV UTF-8"`},
	}
}

func unknownWord(column, value string, allowed []string) fault {
	list := strings.Join(allowed, ", ")
	return fault{
		column: column, value: value,
		reason: Text{"決められた値ではありません", "it is not one of the values of this column"},
		remedy: Text{"次のどれかを書いてください: " + list, "write one of: " + list},
	}
}

func badEmail(value, whyJA, whyEN string) fault {
	return fault{
		column: "email", value: value,
		reason: Text{"メールアドレスではありません: " + whyJA, "it is not an e-mail address: " + whyEN},
		remedy: Text{"name@example.lg.jp の形で書いてください", "write it like name@example.lg.jp"},
	}
}

func twice(column, value string, first int) fault {
	return fault{
		column: column, value: value,
		reason: Text{fmt.Sprintf("%d 行目と重複しています", first), fmt.Sprintf("the same value stands in line %d", first)},
		remedy: Text{"どちらかの行を直すか消してください", "correct or delete one of the two rows"},
	}
}

func ragged(got, want int) fault {
	return fault{
		reason: Text{fmt.Sprintf("列が %d 個ありますが、見出しは %d 個です", got, want), fmt.Sprintf("the row has %d cells, the header has %d", got, want)},
		remedy: Text{"列の数を合わせ、値の中のコンマは二重引用符で囲んでください", "give it as many cells, and put a value with a comma in double quotes"},
	}
}

func rowTooLong(limit int) fault {
	return fault{
		reason: Text{fmt.Sprintf("1 行が %d KiB を超えています", limit>>10), fmt.Sprintf("the row is longer than %d KiB", limit>>10)},
		remedy: Text{"閉じていない二重引用符がないか確かめてください", "look for a double quote that is not closed"},
	}
}

func badQuote(whyJA, whyEN string) fault {
	return fault{
		reason: Text{"二重引用符の使い方が違います: " + whyJA, "the double quotes are wrong: " + whyEN},
		remedy: Text{`値全体を " で囲み、値の中の " は "" と書いてください`, `put the whole value in " and write a " inside it as ""`},
	}
}

func tooManyRows(limit int) fault {
	return fault{
		reason: Text{fmt.Sprintf("%d 行を超えています", limit), fmt.Sprintf("the file has more than %d rows", limit)},
		remedy: Text{"ファイルを分けてください", "split the file"},
	}
}

func fileTooLarge(limit int64) fault {
	return fault{
		reason: Text{fmt.Sprintf("ファイルが %d MiB を超えています", limit>>20), fmt.Sprintf("the file is larger than %d MiB", limit>>20)},
		remedy: Text{"ファイルを分けてください", "split the file"},
	}
}

func unreadable(err error) fault {
	return fault{
		reason: Text{"ファイルを読めません: " + Visible(err.Error(), 200), "the file cannot be read: " + Visible(err.Error(), 200)},
		remedy: Text{"ファイルと権限を確かめてください", "check the file and its permissions"},
	}
}

func notCSV(whatJA, whatEN string) fault {
	return fault{
		reason: Text{"CSV ではありません: " + whatJA, "this is not a CSV file: " + whatEN},
		remedy: Text{"「CSV UTF-8 (コンマ区切り)」で保存し直してください", `save it again as "CSV UTF-8 (comma delimited)"`},
	}
}

func badHeader(value string, reason Text, subject Subject) fault {
	return fault{
		value: value, reason: reason,
		remedy: Text{
			"1 行目を次のとおりにしてください: " + strings.Join(headerOf(subject), ","),
			"let the first line read: " + strings.Join(headerOf(subject), ","),
		},
	}
}

func outsideScope(column, value string) fault {
	return fault{
		column: column, value: value,
		reason: Text{"あなたが管理する組織ではありません", "this organization is outside what you administer"},
		remedy: Text{"行を消すか、その組織の管理者に頼んでください", "delete the row, or ask an administrator of that organization"},
	}
}

func unknownOrganization(column, value string) fault {
	return fault{
		column: column, value: value,
		reason: Text{"登録されていない組織です", "this organization is not registered"},
		remedy: Text{"先に組織を取り込むか、コードを直してください", "import the organization first, or correct the code"},
	}
}
