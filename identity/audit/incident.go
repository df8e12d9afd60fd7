package audit

import (
	"encoding/base32"
	"fmt"
	"io"
	"time"

	"github.com/musubi-hub/musubi/identity/jst"
)

// crockford has no letter that is read as a digit.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// NewIncident makes the number of an incident, as people read it to each other: the day in Japan, and 60 random bits. It is the id of the row
// that tells what happened (Row.ID). random must be cryptographically strong.
func NewIncident(random io.Reader, now time.Time) (string, error) {
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("audit: no randomness: %w", err)
	}
	text := crockford.EncodeToString(b[:])[:12]
	return now.In(jst.Zone).Format("060102") + "-" + text[:4] + "-" + text[4:8] + "-" + text[8:], nil
}
