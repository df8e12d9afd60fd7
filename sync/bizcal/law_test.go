package bizcal

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "make known.csv anew from ../shared/data/holidays.csv")

// The embedded list is the whole list that we were given, in the Cabinet Office's form.
func TestKnownIsTheList(t *testing.T) {
	const file = "../../../shared/data/holidays.csv"
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		t.Skip("../shared/data/holidays.csv isn't there")
	}
	if err != nil {
		t.Fatal(err)
	}
	list, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	fmt.Fprintf(&want, "%s,%s\n", headings[0][0], headings[0][1])
	for _, h := range list {
		year, month, day := h.Day.Civil()
		fmt.Fprintf(&want, "%d/%d/%d,%s\n", year, month, day, h.Name)
	}
	if *update {
		if err := os.WriteFile("known.csv", []byte(want.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		knownFile = []byte(want.String())
	}
	if diff := cmp.Diff(want.String(), string(knownFile)); diff != "" {
		t.Errorf("known.csv isn't the list (-list +known.csv); run with -update:\n%s", diff)
	}
}

// For 72 years the law's rules give the announced days but for those that special laws made: the weddings and funerals of the imperial house, the
// accession of 2019, the Olympics of 2020 and 2021.
func TestLawGivesTheList(t *testing.T) {
	found, err := Departures(Known())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range found {
		got = append(got, fmt.Sprintf("%s list=%s law=%s", d.Day, d.Listed, d.Law))
	}
	want := []string{
		"1959-04-10 list=結婚の儀 law=", "1989-02-24 list=大喪の礼 law=", "1990-11-12 list=即位礼正殿の儀 law=", "1993-06-09 list=結婚の儀 law=",
		"2019-04-30 list=休日 law=", "2019-05-01 list=休日（祝日扱い） law=", "2019-05-02 list=休日 law=", "2019-10-22 list=休日（祝日扱い） law=",
		"2020-07-20 list= law=海の日", "2020-07-23 list=海の日 law=", "2020-07-24 list=スポーツの日 law=",
		"2020-08-10 list=山の日 law=", "2020-08-11 list= law=山の日", "2020-10-12 list= law=スポーツの日",
		"2021-07-19 list= law=海の日", "2021-07-22 list=海の日 law=", "2021-07-23 list=スポーツの日 law=",
		"2021-08-08 list=山の日 law=", "2021-08-09 list=休日 law=", "2021-08-11 list= law=山の日", "2021-10-11 list= law=スポーツの日",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Names too, where no special law was.
func TestLawGivesNames(t *testing.T) {
	listed := map[Day]string{}
	for _, h := range Known() {
		listed[h.Day] = h.Name
	}
	for year := 1955; year <= 2026; year++ {
		if year >= 2019 && year <= 2021 {
			continue
		}
		days, err := Compute(year)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range days {
			if listed[h.Day] != h.Name {
				t.Errorf("%s: computed %s, listed %q", h.Day, h.Name, listed[h.Day])
			}
		}
	}
}

func TestYearsToCome(t *testing.T) {
	for year, want := range map[int]string{
		2027: "01-01 元日|01-11 成人の日|02-11 建国記念の日|02-23 天皇誕生日|03-21 春分の日|03-22 休日|04-29 昭和の日|05-03 憲法記念日|05-04 みどりの日|05-05 こどもの日|07-19 海の日|08-11 山の日|09-20 敬老の日|09-23 秋分の日|10-11 スポーツの日|11-03 文化の日|11-23 勤労感謝の日",
		// 敬老の日 20 September, 秋分の日 22 September: the 21st lies between two.
		2032: "01-01 元日|01-12 成人の日|02-11 建国記念の日|02-23 天皇誕生日|03-20 春分の日|04-29 昭和の日|05-03 憲法記念日|05-04 みどりの日|05-05 こどもの日|07-19 海の日|08-11 山の日|09-20 敬老の日|09-21 休日|09-22 秋分の日|10-11 スポーツの日|11-03 文化の日|11-23 勤労感謝の日",
		// 3 May is a Sunday: the substitute is the 6th, after two more holidays (2007 rule).
		2037: "01-01 元日|01-12 成人の日|02-11 建国記念の日|02-23 天皇誕生日|03-20 春分の日|04-29 昭和の日|05-03 憲法記念日|05-04 みどりの日|05-05 こどもの日|05-06 休日|07-20 海の日|08-11 山の日|09-21 敬老の日|09-22 休日|09-23 秋分の日|10-12 スポーツの日|11-03 文化の日|11-23 勤労感謝の日",
	} {
		days, err := Compute(year)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, h := range days {
			got = append(got, h.Day.String()[5:]+" "+h.Name)
		}
		if diff := cmp.Diff(strings.Split(want, "|"), got); diff != "" {
			t.Errorf("%d:\n%s", year, diff)
		}
	}
}

// The days on which nobody works, in years that trip calendars up.
func TestTrickyDays(t *testing.T) {
	c := ministry(t, 2099)
	for _, row := range []struct{ why, from, until, closed string }{
		{"2019: ten days for the accession", "2019-04-26", "2019-05-08", "27 28 29 30 1 2 3 4 5 6"},
		{"2019: enthronement ceremony", "2019-10-21", "2019-10-24", "22"},
		{"2020: Olympics that were put off moved the days all the same", "2020-07-20", "2020-07-28", "23 24 25 26"},
		{"2020: 山の日 on the 10th, not the 11th", "2020-08-07", "2020-08-13", "8 9 10"},
		{"2020: no スポーツの日 in October", "2020-10-09", "2020-10-15", "10 11"},
		{"2021: 山の日 on Sunday 8, substitute on the 9th", "2021-08-06", "2021-08-13", "7 8 9"},
		{"2009: silver week", "2009-09-18", "2009-09-25", "19 20 21 22 23"},
		{"2015: silver week", "2015-09-18", "2015-09-25", "19 20 21 22 23"},
		{"2026: silver week", "2026-09-18", "2026-09-25", "19 20 21 22 23"},
		{"2032: silver week, computed", "2032-09-17", "2032-09-24", "18 19 20 21 22"},
		{"2008: 3 May on Saturday, 4 May on Sunday, substitute on the 6th", "2008-05-02", "2008-05-08", "3 4 5 6"},
		{"the turn of a year", "2026-12-28", "2027-01-05", "29 30 31 1 2 3"},
		{"1 January on a Sunday: 2 January is a substitute within the year-end days", "2022-12-28", "2023-01-05", "29 30 31 1 2 3"},
		{"a leap day", "2028-02-28", "2028-03-02", ""},
	} {
		t.Run(row.why, func(t *testing.T) {
			var got []string
			for d := day(t, row.from); d < day(t, row.until); d++ {
				open, err := c.WorkingDay(d)
				if err != nil {
					t.Fatal(err)
				}
				if _, _, of := d.Civil(); !open {
					got = append(got, fmt.Sprint(of))
				}
			}
			if diff := cmp.Diff(row.closed, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An independent reading of the sky: the instants of the equinoxes after Meeus, Astronomical Algorithms, chapter 27, put into JST. The formula and the
// sky must name the same day in every year that can be computed.
func TestEquinoxesBySky(t *testing.T) {
	closest := 24.0
	for year := FirstYear; year <= LastYear; year++ {
		vernal, autumnal, err := Equinoxes(year)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []struct {
			day   Day
			coeff [5]float64
		}{
			{vernal, [5]float64{2451623.80984, 365242.37404, 0.05169, -0.00411, -0.00057}},
			{autumnal, [5]float64{2451810.21715, 365242.01767, -0.11575, 0.00337, 0.00078}},
		} {
			sky := equinox(year, e.coeff)
			if DayOf(sky) != e.day {
				t.Errorf("%d: the formula says %s, the sky %s", year, e.day, sky.In(e.day.Start().Location()))
			}
			_, since := split(sky)
			closest = min(closest, since.Hours(), 24-since.Hours())
		}
	}
	t.Logf("closest to midnight: %.1f minutes", closest*60)
}

func equinox(year int, k [5]float64) time.Time {
	y := (float64(year) - 2000) / 1000
	jde := k[0] + y*(k[1]+y*(k[2]+y*(k[3]+y*k[4])))
	century := (jde - 2451545) / 36525
	rad := math.Pi / 180
	w := (35999.373*century - 2.47) * rad
	lambda := 1 + 0.0334*math.Cos(w) + 0.0007*math.Cos(2*w)
	sum := 0.0
	for _, p := range [][3]float64{ // table 27.C
		{485, 324.96, 1934.136},
		{203, 337.23, 32964.467},
		{199, 342.08, 20.186},
		{182, 27.85, 445267.112},
		{156, 73.14, 45036.886},
		{136, 171.52, 22518.443},
		{77, 222.54, 65928.934},
		{74, 296.72, 3034.906},
		{70, 243.58, 9037.513},
		{58, 119.81, 33718.147},
		{52, 297.17, 150.678},
		{50, 21.02, 2281.226},
		{45, 247.54, 29929.562},
		{44, 325.15, 31555.956},
		{29, 60.93, 4443.417},
		{18, 155.12, 67555.328},
		{17, 288.79, 4562.452},
		{16, 198.04, 62894.029},
		{14, 199.76, 31436.921},
		{12, 95.39, 14577.848},
		{12, 287.11, 31931.756},
		{12, 320.81, 34777.259},
		{9, 227.73, 1222.114},
		{8, 15.45, 16859.074},
	} {
		sum += p[0] * math.Cos((p[1]+p[2]*century)*rad)
	}
	jde += 0.00001 * sum / lambda
	deltaT := 30 + 0.65*(float64(year)-1950) // seconds, roughly: the nearest equinox lies minutes from midnight
	return time.Unix(0, 0).Add(time.Duration((jde-2440587.5)*86400-deltaT) * time.Second)
}

func TestOutsideTheLaw(t *testing.T) {
	for _, year := range []int{FirstYear - 1, LastYear + 1} {
		if _, err := Compute(year); err == nil {
			t.Errorf("%d was computed", year)
		}
	}
	if _, err := NewNational(Known(), LastYear+1); err == nil {
		t.Error("a calendar reaches beyond the formula")
	}
	if _, err := NewNational(Known(), 2025); err == nil {
		t.Error("a calendar ends before its list does")
	}
}

func TestOverdue(t *testing.T) {
	n, err := NewNational(Known(), 2030)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]bool{"2025-12-31": false, "2026-02-28": false, "2026-03-01": true, "2026-12-31": true, "2027-01-01": true} {
		year, late := n.Overdue(day(t, at).Start())
		if late != want || year != 2027 {
			t.Errorf("%s: %d overdue=%t, want %t", at, year, late, want)
		}
	}
}
