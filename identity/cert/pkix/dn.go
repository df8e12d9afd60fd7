package pkix

import (
	"fmt"
	"strings"

	"github.com/musubi-hub/musubi/identity/cert/der"
)

// ParseDN makes a Name from text as Name.String writes it: "C=JP, O=JPKI", relative names in the order of the encoding, one attribute each, values
// without comma or plus sign, as UTF8String. It is for configuration: names compare equal whatever their string types are.
func ParseDN(text string) (Name, error) {
	var rdns [][]byte
	for part := range strings.SplitSeq(text, ",") {
		label, value, found := strings.Cut(strings.TrimSpace(part), "=")
		if !found || value == "" || strings.ContainsAny(value, "+\\\"") {
			return Name{}, fmt.Errorf("%q is no name of the form C=JP, O=..., OU=...", text)
		}
		var id OID
		for o, name := range attributeNames {
			if strings.EqualFold(name, label) {
				id = o
			}
		}
		if id == "" {
			var err error
			if id, err = ParseOID(label); err != nil {
				return Name{}, fmt.Errorf("%q: unknown attribute %q", text, label)
			}
		}
		attribute := der.Wrap(der.Sequence, der.Wrap(der.OID, []byte(id)), der.Wrap(der.UTF8String, []byte(value)))
		rdns = append(rdns, der.Wrap(der.Set, attribute))
	}
	return ParseName(der.Wrap(der.Sequence, rdns...))
}
