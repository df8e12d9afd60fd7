package directory

import (
	"context"
	"io"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/code"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/directory/table"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

// SubjectServices is the word of `musubi import` for who serves whom.
const SubjectServices Subject = "services"

// MaxServiceRows bounds a file of services: it is published in one transaction without staging.
const MaxServiceRows = 20_000

// ServiceRow is a service with the line of the file that it came from.
type ServiceRow struct {
	Line    int
	Service identity.Service
}

// serviceColumns are the columns of a services file, in the order of the template.
var serviceColumns = []column[identity.Service]{
	{
		name: "contractor", ja: "事業者法人番号", required: true, also: []string{"事業者", "事業者コード", "委託先", "委託先法人番号", "contractor_code"},
		set:  func(v *identity.Service, s string) []fault { return numberCell("contractor", s, &v.Contractor) },
		cell: func(v *identity.Service) string { return string(v.Contractor) },
	},
	{
		name: "org", ja: "委託元団体コード", required: true, also: []string{"団体コード", "委託元", "全国地方公共団体コード", "organization", "organization_code"},
		set:  func(v *identity.Service, s string) []fault { return numberCell("org", s, &v.Org) },
		cell: func(v *identity.Service) string { return string(v.Org) },
	},
	{
		name: "from", ja: "委託開始日", required: true, also: []string{"開始日", "契約開始日", "valid_from"},
		set:  func(v *identity.Service, s string) []fault { return serviceDay("from", s, 0, &v.From) },
		cell: func(v *identity.Service) string { return jst.Date(v.From) },
	},
	{ // the day from which it is over, as in `musubi orgs serve --until`
		name: "until", ja: "委託解除日", also: []string{"解除日", "契約解除日", "valid_until"},
		set:  func(v *identity.Service, s string) []fault { return serviceDay("until", s, 0, &v.Until) },
		cell: func(v *identity.Service) string { return jst.Date(v.Until) },
	},
	{ // as contracts say it: the last day of service
		name: "last_day", ja: "委託終了日", also: []string{"終了日", "契約終了日", "満了日", "契約満了日", "委託最終日"}, only: true,
		set: func(v *identity.Service, s string) []fault { return serviceDay("last_day", s, 1, &v.Until) },
	},
}

func numberCell(column, value string, to *policies.OrgID) []fault {
	*to = ""
	if f := cell(column, value, maxName, true); f != nil {
		return f
	}
	id, err := code.Parse(value)
	if err != nil {
		return []fault{badNumber(column, value, err)}
	}
	*to = id
	return nil
}

// serviceDay reads a day of a service. 0 means none, and the beginning of time isn't needed: services before 1971 are refused.
func serviceDay(column, value string, plus int, to *int64) []fault {
	f := dayCell(column, value, plus, to)
	if f == nil && value != "" && *to < earliestService {
		*to = 0
		f = []fault{{
			Column: column, Value: value,
			Reason: review.Say("1971 年より前の日は登録できません", "a day before 1971 can't be recorded"),
			Remedy: review.Say("日付を確かめてください", "check the date"),
		}}
	}
	return f
}

// earliestService is 1971-01-01 00:00 JST.
const earliestService = 365*oneDay - 9*60*60*1_000_000

// ServiceHeader are the names of the columns of ServiceCells, in Japanese or English.
func ServiceHeader(locale review.Locale) []string { return headerNames(serviceColumns, locale) }

// ServiceCells writes a service as a row of a services file: what ReadServices reads back.
func ServiceCells(v identity.Service) []string {
	var cells []string
	for _, c := range serviceColumns {
		if !c.only {
			cells = append(cells, c.cell(&v))
		}
	}
	return cells
}

// ReadServices is Read of a services file without options.
func ReadServices(r io.Reader, name string) (*Rows, *review.Report) {
	rows, _ := Read(context.Background(), SubjectServices, r, name, table.Options{}) // the error is the context's
	return rows, rows.Report
}

func (r *Rows) readServices(ctx context.Context, at io.ReaderAt, size int64, opt table.Options) error {
	var l layout[identity.Service]
	head := func(cells []string) (f *fault) {
		if l, f = recognise(cells, serviceColumns, SubjectServices); f != nil {
			return f
		}
		names := l.canonical(cells)
		ends := 0
		for _, c := range l.columns {
			if c != nil && (c.name == "until" || c.name == "last_day") {
				ends++
			}
		}
		if ends > 1 {
			f := badHeader("", review.Say("終わりの日の列が二つあります (委託解除日と委託終了日)", "the header has two columns for the end (until and last_day)"), SubjectServices)
			return &f
		}
		r.serviceEnds = ends == 1
		r.Report.SetColumns(names)
		return nil
	}
	first := map[identity.Service]int{} // line of each contractor, organization and beginning
	return table.Read(ctx, at, size, opt, r.Report, head, func(line int, cells []string) {
		var v identity.Service
		faults := l.read(&v, cells)
		faults = append(faults, unfaulted(checkService(v), faults)...)
		if len(faults) == 0 {
			key := identity.Service{Contractor: v.Contractor, Org: v.Org, From: v.From}
			if n, again := first[key]; again {
				faults = append(faults, twice("from", jst.Date(v.From), n))
			} else {
				first[key] = line
			}
		}
		for _, f := range faults {
			r.Report.Refuse(line, f)
		}
		if len(faults) == 0 {
			r.Services = append(r.Services, ServiceRow{line, v})
		}
	})
}

// checkService checks what can be known without the directory.
func checkService(v identity.Service) []fault {
	switch {
	case v.From == 0:
		return []fault{empty("from")}
	case v.From < 0 || v.Until < 0 || v.Until != 0 && v.Until <= v.From:
		return []fault{{
			Column: "until", Value: jst.Date(v.Until),
			Reason: review.Say("期間の終わりが始まりより前です", "the period ends before it begins"),
			Remedy: review.Say("日付を直してください", "correct the dates"),
		}}
	}
	return nil
}
