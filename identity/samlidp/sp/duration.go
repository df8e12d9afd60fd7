package sp

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var durationForm = regexp.MustCompile(`^P(?:(\d{1,6})Y)?(?:(\d{1,6})M)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6})(?:\.\d{1,9})?S)?)?$`)

// maxDuration bounds what is read: nobody keeps metadata for longer.
const maxDuration = 10 * 365 * 24 * time.Hour

// duration reads an xs:duration that isn't negative (XML Schema 1.1 part 2, section 3.3.6), to the second. A year counts 365 days, a month 30:
// it says how long something may be kept, not when.
func duration(text string) (time.Duration, error) {
	m := durationForm.FindStringSubmatch(text)
	if m == nil || strings.HasSuffix(text, "P") || strings.HasSuffix(text, "T") {
		return 0, errors.New("isn't a duration, like P1D or PT6H")
	}
	var seconds int64
	for i, unit := range []int64{365 * 86400, 30 * 86400, 86400, 3600, 60, 1} {
		if m[i+1] == "" {
			continue
		}
		n, err := strconv.ParseInt(m[i+1], 10, 64)
		if err != nil {
			return 0, errors.New("isn't a duration, like P1D or PT6H")
		}
		seconds += n * unit // at most 999,999 years: far from an overflow
	}
	if seconds > int64(maxDuration/time.Second) {
		return maxDuration, nil
	}
	return time.Duration(seconds) * time.Second, nil
}
