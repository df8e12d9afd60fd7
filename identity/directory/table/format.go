package table

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// format is what a cell's number format makes of a number.
type format struct {
	date  bool
	clock bool // hours, minutes or seconds are shown
	day   bool // years, months or days are shown
	zeros int  // digits that an integer is filled up to
}

// builtin are the formats that a workbook needn't spell out and that show dates: ECMA-376 part 1, 18.8.30, with those of the Japanese edition.
func builtin(id int) format {
	switch {
	case id >= 14 && id <= 17, id >= 27 && id <= 31, id >= 34 && id <= 36, id >= 50 && id <= 58:
		return format{date: true, day: true}
	case id == 22:
		return format{date: true, day: true, clock: true}
	case id >= 18 && id <= 21, id == 32, id == 33, id >= 45 && id <= 47:
		return format{date: true, clock: true}
	}
	return format{}
}

// parseFormat reads a number format's code as far as it says whether a date is shown, and how many digits.
func parseFormat(code string) format {
	first, _, _ := strings.Cut(code, ";")
	if first != "" && strings.Trim(first, "0") == "" && len(first) > 1 {
		return format{zeros: min(len(first), 15)}
	}
	var f format
	for i := 0; i < len(first); i++ {
		switch c := first[i]; c {
		case '"':
			end := strings.IndexByte(first[i+1:], '"')
			if end < 0 {
				return f
			}
			i += end + 1
		case '\\', '_', '*':
			i++
		case '[':
			end := strings.IndexByte(first[i:], ']')
			if end < 0 {
				return f
			}
			if inside := strings.ToLower(first[i+1 : i+end]); inside != "" && strings.Trim(inside, "hms") == "" {
				f.date, f.clock = true, true
			}
			i += end
		case 'G', 'g':
			if strings.HasPrefix(strings.ToLower(first[i:]), "general") {
				i += len("general") - 1
				continue
			}
			f.date, f.day = true, true
		case 'E', 'e':
			if i+1 < len(first) && (first[i+1] == '+' || first[i+1] == '-') {
				i++ // an exponent
				continue
			}
			f.date, f.day = true, true
		case 'y', 'Y', 'd', 'D', 'r', 'R', 'b', 'B':
			f.date, f.day = true, true
		case 'h', 'H', 's', 'S':
			f.date, f.clock = true, true
		case 'm', 'M':
			f.date = true
		case 'a', 'A':
			f.date = true
			switch lower := strings.ToLower(first[i:]); {
			case strings.HasPrefix(lower, "am/pm"):
				i += len("am/pm") - 1
			case strings.HasPrefix(lower, "a/p"):
				i += len("a/p") - 1
			default:
				f.day = true // 曜日
			}
		}
	}
	if f.date && !f.clock {
		f.day = true
	}
	return f
}

// readStyles reads the formats of the cells' styles.
func (b *book) readStyles(s *scanner) error {
	custom := map[string]format{}
	inside := false // cellXfs
	return each(s, func() error {
		switch string(s.name) {
		case "numFmt":
			custom[s.attribute("numFmtId")] = parseFormat(s.attribute("formatCode"))
		case "cellXfs":
			inside = true
		case "cellStyles", "dxfs", "cellStyleXfs":
			inside = false
		case "xf":
			if !inside {
				return nil
			}
			id := s.attribute("numFmtId")
			f, ok := custom[id]
			if n, err := strconv.Atoi(id); !ok && err == nil {
				f = builtin(n)
			}
			if len(b.formats) >= 1<<16 {
				return fail(unpacksTooLarge())
			}
			b.formats = append(b.formats, f)
		}
		return nil
	})
}

// problem is why a number gives no value.
type problem int

const (
	fine problem = iota
	notNumber
	manyDigits
	noDate
)

// number writes a numeric cell as the shortest decimal that is exact, without an exponent, or as the date or time that it shows.
func (b *book) number(raw string, style int) (string, problem) {
	var f format
	if style >= 0 && style < len(b.formats) {
		f = b.formats[style]
	}
	if !f.date && f.zeros == 0 && len(raw) <= 15 && strings.Trim(raw, "0123456789") == "" && raw != "" && (raw[0] != '0' || raw == "0") {
		return raw, fine
	}
	v, err := strconv.ParseFloat(raw, 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		return "", notNumber
	}
	if f.date {
		return b.date(v, f)
	}
	if math.Abs(v) >= 1e15 {
		return "", manyDigits // a spreadsheet keeps 15 digits of a number and makes the others zero
	}
	if v == 0 {
		v = 0 // not -0
	}
	s := strconv.FormatFloat(v, 'f', -1, 64)
	if f.zeros > len(s) && strings.Trim(s, "0123456789") == "" {
		s = strings.Repeat("0", f.zeros-len(s)) + s
	}
	return s, fine
}

// date writes a serial number of days as an ISO 8601 date, a time of day, or both. Serials: ECMA-376 part 1, 18.17.4.1.
func (b *book) date(v float64, f format) (string, problem) {
	const last1900, last1904 = 2958465, 2957003 // 9999-12-31
	last := float64(last1900)
	if b.from1904 {
		last = last1904
	}
	if v < 0 || v >= last+1 {
		return "", noDate
	}
	seconds := int64(math.Round(v * 86400))
	days, clock := seconds/86400, seconds%86400
	of := time.Unix(clock, 0).UTC().Format("15:04:05")
	if days == 0 && f.clock && !f.day {
		return of, fine
	}
	epoch := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	switch {
	case b.from1904:
		epoch = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	case days == 0, days == 60: // 1900-01-00, and 1900-02-29, which never was
		return "", noDate
	case days < 60:
		epoch = epoch.AddDate(0, 0, 1)
	}
	day := epoch.AddDate(0, 0, int(days)).Format(time.DateOnly)
	if clock == 0 && (f.day || !f.clock) {
		return day, fine
	}
	return day + "T" + of, fine
}
