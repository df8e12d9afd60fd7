package testpki

import (
	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// basicFour is the subject alternative name of signature certificates: name, sex, date of birth and address of the holder, each an
// otherName under 1.2.392.200149.8.5.5. The holder is invented and says so.
func basicFour() Extension {
	other := func(id, value string) []byte {
		return der.Wrap(der.Constructed(0), oid(mustOID(id)), der.Wrap(der.Constructed(0), der.Wrap(der.UTF8String, []byte(value))))
	}
	return Extension{pkix.OIDSubjectAltName, false, der.Wrap(der.Sequence,
		other("1.2.392.200149.8.5.5.1", "試験　太郎"),
		other("1.2.392.200149.8.5.5.2", "00000"),
		other("1.2.392.200149.8.5.5.3", "1"),
		other("1.2.392.200149.8.5.5.4", "519990101"),
		other("1.2.392.200149.8.5.5.5", "試験県試験市試験町０－０－０"),
		other("1.2.392.200149.8.5.5.6", "00000000000000"),
	)}
}
