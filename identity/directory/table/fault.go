package table

import (
	"fmt"

	"github.com/musubi-hub/musubi/identity/directory/review"
)

// The sentences of the report. Reasons and remedies stand side by side, so that nobody adds one without the other.

func ragged(got, want int) review.Finding {
	return review.Finding{
		Reason: review.Say(fmt.Sprintf("列が %d 個ありますが、見出しは %d 個です", got, want), fmt.Sprintf("the row has %d cells, the header has %d", got, want)),
		Remedy: review.Say("列の数を合わせ、値の中のコンマは二重引用符で囲んでください", "give it as many cells, and put a value with a comma in double quotes"),
	}
}

func rowTooLong(limit int) review.Finding {
	return review.Finding{
		Reason: review.Say(fmt.Sprintf("1 行が %d KiB を超えています", limit>>10), fmt.Sprintf("the row is longer than %d KiB", limit>>10)),
		Remedy: review.Say("長すぎる値や、閉じていない二重引用符がないか確かめてください", "look for a value that is too long, or a double quote that is not closed"),
	}
}

func badQuote(whyJA, whyEN string) review.Finding {
	return review.Finding{
		Reason: review.Say("二重引用符の使い方が違います: "+whyJA, "the double quotes are wrong: "+whyEN),
		Remedy: review.Say(`値全体を " で囲み、値の中の " は "" と書いてください`, `put the whole value in " and write a " inside it as ""`),
	}
}

func tooManyRows(limit int) review.Finding {
	return review.Finding{
		Reason: review.Say(fmt.Sprintf("%d 行を超えています", limit), fmt.Sprintf("the file has more than %d rows", limit)),
		Remedy: review.Say("ファイルを分けてください", "split the file"),
	}
}

func tooManyColumns(limit int) review.Finding {
	return review.Finding{
		Reason: review.Say(fmt.Sprintf("%d 列を超えています", limit), fmt.Sprintf("the file has more than %d columns", limit)),
		Remedy: review.Say("不要な列を消してください", "delete the columns that are not needed"),
	}
}

func fileTooLarge(limit int64) review.Finding {
	return review.Finding{
		Reason: review.Say(fmt.Sprintf("ファイルが %d MiB を超えています", limit>>20), fmt.Sprintf("the file is larger than %d MiB", limit>>20)),
		Remedy: review.Say("ファイルを分けてください", "split the file"),
	}
}

func unreadable(err error) review.Finding {
	return review.Finding{
		Reason: review.Say("ファイルを読めません: "+review.Visible(err.Error(), 200), "the file cannot be read: "+review.Visible(err.Error(), 200)),
		Remedy: review.Say("ファイルと権限を確かめてください", "check the file and its permissions"),
	}
}

func notTable(whatJA, whatEN string) review.Finding {
	return review.Finding{
		Reason: review.Say("読める表ではありません: "+whatJA, "this is not a table that can be read: "+whatEN),
		Remedy: review.Say("「CSV UTF-8 (コンマ区切り)」か「Excel ブック (*.xlsx)」で保存し直してください", `save it again as "CSV UTF-8 (comma delimited)" or "Excel workbook (*.xlsx)"`),
	}
}

func notCP932(column string, offset int64, b byte) review.Finding {
	f := review.Finding{
		Column: column,
		Reason: review.Say(fmt.Sprintf("Shift_JIS (CP932) でないバイト 0x%02X があります", b), fmt.Sprintf("it contains the byte 0x%02X, which is not Shift_JIS (CP932)", b)),
		Remedy: review.Say("その文字を入れ直すか、ファイルを「CSV UTF-8」で保存し直してください", `write that character again, or save the file again as "CSV UTF-8"`),
	}
	if offset >= 0 {
		f.Reason.JA += fmt.Sprintf(" (ファイルの先頭から %d バイト目)", offset+1)
		f.Reason.EN += fmt.Sprintf(" (byte %d of the file)", offset+1)
	}
	return f
}

func gaiji(column string, c rune) review.Finding {
	return review.Finding{
		Column: column,
		Reason: review.Say(fmt.Sprintf("外字 (利用者定義文字 U+%04X) があります。何の字かは作った機器でしか分かりません", c),
			fmt.Sprintf("it contains a user-defined character 外字 (U+%04X), whose meaning only the machine that it was made on knows", c)),
		Remedy: review.Say("正式な文字 (異体字はIVS) に直し、「CSV UTF-8」で保存してください", `write the standard character (a variant with its variation selector) and save as "CSV UTF-8"`),
	}
}

func locked() review.Finding {
	return review.Finding{
		Reason: review.Say("パスワードで保護された Excel ブックです", "it is an Excel workbook under a password"),
		Remedy: review.Say("パスワードを外して保存し直してください", "save it again without the password"),
	}
}

func bomb(ja, en string) review.Finding {
	return review.Finding{
		Reason: review.Say("Excel ブックとして読めません: "+ja, "it cannot be read as an Excel workbook: "+en),
		Remedy: review.Say("表だけを新しいブックに写して保存してください", "copy the table alone into a new workbook and save that"),
	}
}

func unpacksTooLarge() review.Finding {
	return bomb("展開すると大きすぎます", "it is too large when unpacked")
}

func brokenWorkbook(err error) review.Finding {
	why := review.Visible(err.Error(), 200)
	return review.Finding{
		Reason: review.Say("Excel ブックが壊れています: "+why, "the Excel workbook is damaged: "+why),
		Remedy: review.Say("Excel で開いて保存し直してください", "open it in Excel and save it again"),
	}
}

func noSheet(name string, visible []string) review.Finding {
	if name == "" {
		return notTable("表示されているシートがありません", "it has no sheet that is visible")
	}
	if len(visible) > 10 {
		visible = visible[:10]
	}
	list := review.Visible(fmt.Sprintf("%q", visible), 400)
	return review.Finding{
		Value:  name,
		Reason: review.Say("その名前のシートがありません", "there is no sheet of that name"),
		Remedy: review.Say("次のどれかを指定してください: "+list, "name one of: "+list),
	}
}

func formulaCell(place string) review.Finding {
	return review.Finding{
		Reason: review.Say("数式があります ("+place+")。保存された計算結果は正しいとは限りません", "it is a formula ("+place+"), and the result that was saved with it may be wrong"),
		Remedy: review.Say("「値の貼り付け」で値に直してください", `replace it by its value with "paste values"`),
	}
}

func mergedCell(place string) review.Finding {
	return review.Finding{
		Reason: review.Say("結合されたセルがあります ("+place+")", "cells are merged ("+place+")"),
		Remedy: review.Say("結合を解除し、すべての行に値を入れてください", "unmerge them and fill in every row"),
	}
}

func digitsLost() review.Finding {
	return review.Finding{
		Reason: review.Say("数値の桁が多すぎて、表計算ソフトが 16 桁目から後を失っています", "the number has too many digits: the spreadsheet has lost those after the 15th"),
		Remedy: review.Say("セルの書式を「文字列」にして入れ直してください", `give the cell the format "text" and write it again`),
	}
}

func badDate() review.Finding {
	return review.Finding{
		Reason: review.Say("日付の書式ですが、日付にならない数値です", "the cell has a date's format, but its number is no date"),
		Remedy: review.Say("日付を入れ直すか、書式を直してください", "write the date again, or correct the format"),
	}
}

func logicalCell() review.Finding {
	return review.Finding{
		Reason: review.Say("論理値 (TRUE/FALSE) です", "it is a logical value (TRUE or FALSE)"),
		Remedy: review.Say("文字列で入れ直してください", "write it as text"),
	}
}

func errorCell() review.Finding {
	return review.Finding{
		Reason: review.Say("エラー値です", "it is an error value"),
		Remedy: review.Say("正しい値を入れ直してください", "write the right value"),
	}
}

func lacking(column, value string, c rune) review.Finding {
	return review.Finding{
		Column: column, Value: value,
		Reason: review.Say(fmt.Sprintf("「%c」(U+%04X) は Shift_JIS (CP932) にない文字です", c, c), fmt.Sprintf("Shift_JIS (CP932) lacks the character %c (U+%04X)", c, c)),
		Remedy: review.Say("UTF-8 で書き出してください", "write the file as UTF-8"),
	}
}
