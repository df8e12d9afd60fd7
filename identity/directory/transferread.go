package directory

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/code"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/directory/table"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

// SubjectTransfers is the word of `musubi import` for transfers.
const SubjectTransfers Subject = "transfers"

// MaxTransferRows bounds a file of transfers: it is published in one short transaction.
const MaxTransferRows = 20_000

// TransferRow is a transfer with the line of the file that it came from. People are named as the file names them: by organization and
// staff number, or by id in Transfer.Person.
type TransferRow struct {
	Line        int
	Org         policies.OrgID // the person's, with StaffNumber
	StaffNumber string
	Successor   string   // staff number in the same organization, or a person's id
	Named       []string // likewise
	Transfer    identity.Transfer
}

// TransferRows is a file of transfers as it was read.
type TransferRows struct {
	Name   string
	Rows   []TransferRow
	Report *review.Report
}

// transferColumn is a column of a transfers file.
type transferColumn struct {
	name, ja string
	required bool
	set      func(r *TransferRow, value string) *fault
	cell     func(r *TransferRow) string // what set takes back
}

// transferColumns are the columns in the order of the template.
func transferColumns() []transferColumn {
	text := func(name, ja string, required bool, field func(*TransferRow) *string) transferColumn {
		return transferColumn{
			name, ja, required,
			func(r *TransferRow, v string) *fault { *field(r) = v; return nil },
			func(r *TransferRow) string { return *field(r) },
		}
	}
	org := func(name, ja string, required bool, field func(*TransferRow) *policies.OrgID) transferColumn {
		return transferColumn{name, ja, required, setOrg(name, field), func(r *TransferRow) string { return string(*field(r)) }}
	}
	date := func(name, ja string, required bool, field func(*TransferRow) *int64) transferColumn {
		return transferColumn{name, ja, required, setDate(name, field), func(r *TransferRow) string { return jst.Date(*field(r)) }}
	}
	return []transferColumn{
		org("org", "団体コード", true, func(r *TransferRow) *policies.OrgID { return &r.Org }),
		text("staff_number", "職員番号", true, func(r *TransferRow) *string { return &r.StaffNumber }),
		{"kind", "異動区分", true, setKind, func(r *TransferRow) string { return string(r.Transfer.Kind) }},
		date("date", "発令日", true, func(r *TransferRow) *int64 { return &r.Transfer.At }),
		org("to_org", "異動先団体コード", false, func(r *TransferRow) *policies.OrgID { return &r.Transfer.To }),
		text("to_staff_number", "異動先職員番号", false, func(r *TransferRow) *string { return &r.Transfer.StaffNumber }),
		text("section", "部署", false, func(r *TransferRow) *string { return &r.Transfer.Section }),
		text("title", "役職", false, func(r *TransferRow) *string { return &r.Transfer.Title }),
		text("duties", "担当業務", false, func(r *TransferRow) *string { return &r.Transfer.Duties }),
		text("phone", "電話番号", false, func(r *TransferRow) *string { return &r.Transfer.Phone }),
		text("extension", "内線", false, func(r *TransferRow) *string { return &r.Transfer.Extension }),
		text("fax", "ファクス", false, func(r *TransferRow) *string { return &r.Transfer.Fax }),
		text("email", "メールアドレス", false, func(r *TransferRow) *string { return &r.Transfer.Email }),
		{"role", "権限", false, setRole, func(r *TransferRow) string { return string(r.Transfer.Role) }},
		date("return_date", "復帰予定日", false, func(r *TransferRow) *int64 { return &r.Transfer.ReturnAt }),
		date("handover_until", "引継ぎ終了日", false, func(r *TransferRow) *int64 { return &r.Transfer.HandoverUntil }),
		text("successor", "後任", false, func(r *TransferRow) *string { return &r.Successor }),
		{"embargo", "内示", false, setEmbargo, func(r *TransferRow) string { return map[bool]string{true: "yes"}[r.Transfer.Embargo] }},
		{"named", "内示閲覧者", false, setNamed, func(r *TransferRow) string { return strings.Join(r.Named, " ") }},
		text("why", "理由", false, func(r *TransferRow) *string { return &r.Transfer.Why }),
	}
}

func setDate(column string, field func(*TransferRow) *int64) func(*TransferRow, string) *fault {
	return func(r *TransferRow, v string) *fault {
		at, err := jst.ParseDate(v)
		if err != nil {
			return &fault{
				Column: column, Value: v, Reason: review.Say("日付ではありません", "it is not a date"),
				Remedy: review.Say("2027-04-01、2027/4/1、令和9年4月1日、R9.4.1 のように書いてください", "write it like 2027-04-01, 2027/4/1 or R9.4.1"),
			}
		}
		*field(r) = at.UTC().UnixMicro()
		return nil
	}
}

func setOrg(column string, field func(*TransferRow) *policies.OrgID) func(*TransferRow, string) *fault {
	return func(r *TransferRow, v string) *fault {
		id, err := code.Parse(v)
		if err != nil {
			f := badNumber(column, v, err)
			return &f
		}
		*field(r) = id
		return nil
	}
}

// transferWords are what offices call the kinds.
var transferWords = map[string]identity.TransferKind{
	"異動": identity.TransferMove, "配置換": identity.TransferMove, "昇任": identity.TransferMove, "転任": identity.TransferMove,
	"出向": identity.TransferSecond, "派遣": identity.TransferSecond, "復帰": identity.TransferReturn, "帰任": identity.TransferReturn,
	"兼務": identity.TransferConcurrent, "併任": identity.TransferConcurrent, "兼務解除": identity.TransferRelease, "併任解除": identity.TransferRelease,
	"権限変更": identity.TransferRole, "退職": identity.TransferLeave, "離職": identity.TransferLeave,
}

func setKind(r *TransferRow, v string) *fault {
	kind, ok := transferWords[v]
	if !ok && slices.Contains(identity.TransferKinds(), identity.TransferKind(strings.ToLower(v))) {
		kind, ok = identity.TransferKind(strings.ToLower(v)), true
	}
	if !ok {
		f := unknownWord("kind", v, []string{"異動 (move)", "出向 (second)", "復帰 (return)", "兼務 (concurrent)", "兼務解除 (release)", "権限変更 (role)", "退職 (leave)"})
		return &f
	}
	r.Transfer.Kind = kind
	return nil
}

func setRole(r *TransferRow, v string) *fault {
	for _, role := range policies.Roles() {
		if n := role.Name(); v == string(role) || v == n.JA {
			r.Transfer.Role = role
			return nil
		}
	}
	return &roleFault(v)[0]
}

func setEmbargo(r *TransferRow, v string) *fault {
	switch strings.ToLower(v) {
	case "内示", "はい", "○", "〇", "yes", "true", "1":
		r.Transfer.Embargo = true
	case "公表", "いいえ", "×", "no", "false", "0":
	default:
		f := unknownWord("embargo", v, []string{"はい (yes)", "いいえ (no)"})
		return &f
	}
	return nil
}

func setNamed(r *TransferRow, v string) *fault {
	r.Named = strings.FieldsFunc(v, func(c rune) bool { return strings.ContainsRune(" \u3000;；、，,/", c) })
	if len(r.Named) > maxNamed {
		f := tooLong("named", v, maxNamed)
		return &f
	}
	return nil
}

// TransferHeader are the names of the columns of TransferCells, in Japanese or English.
func TransferHeader(locale review.Locale) []string {
	var names []string
	for _, c := range transferColumns() {
		if locale == review.Japanese {
			names = append(names, c.ja)
		} else {
			names = append(names, c.name)
		}
	}
	return names
}

// TransferCells writes a row of a transfers file: what ReadTransfers reads back.
func TransferCells(r TransferRow) []string {
	var cells []string
	for _, c := range transferColumns() {
		cells = append(cells, c.cell(&r))
	}
	return cells
}

// TransferTemplate is an empty file of transfers: the header line in Japanese or English, ended by CRLF. The Japanese one begins with a byte order
// mark, without which a spreadsheet shows it garbled.
func TransferTemplate(ja bool) []byte {
	names := TransferHeader(map[bool]review.Locale{true: review.Japanese, false: review.English}[ja])
	line := strings.Join(names, ",") + "\r\n"
	if ja {
		line = "\ufeff" + line
	}
	return []byte(line)
}

// ReadTransfers reads a file of transfers, CSV or XLSX, with the header of TransferTemplate in either language; columns that aren't required may
// be left out. It is pure: who and what exists is ImportTransfers' to say. What is wrong with the file stands in the report of the
// rows; the error is that of ctx.
func ReadTransfers(ctx context.Context, r io.Reader, name string, opt table.Options) (*TransferRows, error) {
	rows := &TransferRows{Name: name, Report: review.New(name)}
	at, size, err := table.Source(r)
	if err != nil {
		rows.Report.Stop(0, table.Unreadable(err))
		return rows, ctx.Err()
	}
	var columns []*transferColumn
	head := func(cells []string) (f *fault) {
		columns, f = transferHeader(cells)
		return f
	}
	over := false
	err = table.Read(ctx, at, size, opt, rows.Report, head, func(line int, cells []string) {
		if len(rows.Rows) >= MaxTransferRows {
			if !over {
				rows.Report.Stop(line, table.TooManyRows(MaxTransferRows))
			}
			over = true
			return
		}
		row := TransferRow{Line: line}
		var faults []fault
		for i, c := range columns {
			v := cells[i]
			switch {
			case v == "" && c.required:
				faults = append(faults, empty(c.name))
			case v == "":
			case len(v) > MaxCell*4:
				faults = append(faults, tooLong(c.name, v, MaxCell))
			default:
				f := cell(c.name, v, MaxCell, false)
				if f == nil {
					if one := c.set(&row, v); one != nil {
						f = []fault{*one}
					}
				}
				faults = append(faults, f...)
			}
		}
		rows.keep(row, faults)
	})
	return rows, err
}

// keep checks a row on its own and keeps it or reports it.
func (r *TransferRows) keep(row TransferRow, faults []fault) {
	if faults == nil {
		check := row.Transfer
		if check.Person == "" {
			check.Person = policies.PersonID(row.StaffNumber) // stands for the person, who isn't known yet
		}
		if !check.Embargo && len(row.Named) > 0 {
			check.Named = []policies.PersonID{"somebody"}
		}
		if f := checkTransfer(&check); f != nil {
			faults = append(faults, *f)
		}
	}
	for _, f := range faults {
		r.Report.Refuse(row.Line, f)
	}
	if faults == nil {
		r.Rows = append(r.Rows, row)
	}
}

// TransferRowsOf makes rows of transfers that don't come from a file, with the checks that ReadTransfers makes.
func TransferRowsOf(name string, list iter.Seq[TransferRow]) (*TransferRows, *review.Report) {
	rows := &TransferRows{Name: name, Report: review.New(name)}
	for row := range list {
		if len(rows.Rows) >= MaxTransferRows {
			rows.Report.Stop(row.Line, table.TooManyRows(MaxTransferRows))
			break
		}
		rows.keep(row, nil)
	}
	return rows, rows.Report
}

func foldColumn(s string) string {
	return strings.ToLower(strings.Join(strings.Fields(norm.NFKC.String(s)), ""))
}

func transferHeader(cells []string) ([]*transferColumn, *fault) {
	known := transferColumns()
	remedy := review.Say("見出しを `musubi transfers import-template` のとおりにしてください", "use the header that `musubi transfers import-template` prints")
	found := make([]*transferColumn, len(cells))
	for i, text := range cells {
		at := slices.IndexFunc(known, func(c transferColumn) bool { return foldColumn(text) == c.name || foldColumn(text) == foldColumn(c.ja) })
		if at < 0 {
			return nil, &fault{Value: text, Reason: review.Say("知らない列が見出しにあります", "the header has an unknown column"), Remedy: remedy}
		}
		if slices.Contains(found, &known[at]) {
			return nil, &fault{Value: text, Reason: review.Say("見出しに同じ列が二つあります", "the header has the same column twice"), Remedy: remedy}
		}
		found[i] = &known[at]
	}
	for i := range known {
		if c := &known[i]; c.required && !slices.Contains(found, c) {
			return nil, &fault{
				Value:  review.Visible(strings.Join(cells, ","), review.MaxShown),
				Reason: review.Say("見出しに列「"+c.ja+"」がありません", fmt.Sprintf("the header has no column %q", c.name)), Remedy: remedy,
			}
		}
	}
	return found, nil
}
