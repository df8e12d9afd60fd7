package pkix

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/musubi-hub/musubi/identity/cert/der"
)

// ErrMalformed is a value whose DER is right and whose meaning isn't.
var ErrMalformed = errors.New("malformed")

func malformed(field, format string, args ...any) error {
	return fmt.Errorf("%w %s: %s", ErrMalformed, field, fmt.Sprintf(format, args...))
}

// in names the field that an error is about.
func in(field string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", field, err)
}

// GeneralNameKind is the choice of a GeneralName (RFC 5280, 4.2.1.6): its context tag.
type GeneralNameKind byte

// Kinds of GeneralName.
const (
	OtherName     GeneralNameKind = 0
	RFC822Name    GeneralNameKind = 1
	DNSName       GeneralNameKind = 2
	X400Address   GeneralNameKind = 3
	DirectoryName GeneralNameKind = 4
	EDIPartyName  GeneralNameKind = 5
	URI           GeneralNameKind = 6
	IPAddress     GeneralNameKind = 7
	RegisteredID  GeneralNameKind = 8
)

var kindNames = [...]string{
	"otherName", "rfc822Name", "dNSName", "x400Address", "directoryName", "ediPartyName", "uniformResourceIdentifier", "iPAddress", "registeredID",
}

func (k GeneralNameKind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("[%d]", byte(k))
}

// GeneralName is one of the forms of a name. Value is the content; of a DirectoryName it is in Name.
type GeneralName struct {
	Kind  GeneralNameKind
	Value []byte
	Name  Name
}

// Equal compares directory names as RFC 5280 7.1, host names without regard to case (in a URI: scheme and host), everything else octet by octet.
func (g GeneralName) Equal(o GeneralName) bool {
	if g.Kind != o.Kind {
		return false
	}
	switch g.Kind {
	case DirectoryName:
		return g.Name.Equal(o.Name)
	case DNSName:
		return strings.EqualFold(string(g.Value), string(o.Value))
	case URI:
		return foldURI(string(g.Value)) == foldURI(string(o.Value))
	default:
		return bytes.Equal(g.Value, o.Value)
	}
}

// foldURI lowers the scheme and the host (RFC 5280, 7.4).
func foldURI(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority := rest[:end]
	user, host, found := strings.Cut(authority, "@")
	if found {
		authority = user + "@" + strings.ToLower(host)
	} else {
		authority = strings.ToLower(authority)
	}
	return strings.ToLower(scheme) + "://" + authority + rest[end:]
}

// maxGeneralNames bounds one GeneralNames.
const maxGeneralNames = 1024

// ReadGeneralNames reads the content of GeneralNames: one name or more.
func ReadGeneralNames(r der.Reader) ([]GeneralName, error) {
	var out []GeneralName
	for !r.Empty() {
		if len(out) == maxGeneralNames {
			return nil, malformed("names", "more than %d", maxGeneralNames)
		}
		g, err := readGeneralName(&r)
		if err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	if len(out) == 0 {
		return nil, malformed("names", "none")
	}
	return out, nil
}

func readGeneralName(r *der.Reader) (GeneralName, error) {
	tag, content, whole, err := r.Next()
	if err != nil {
		return GeneralName{}, err
	}
	g := GeneralName{Kind: GeneralNameKind(tag & 0x1f), Value: content}
	constructed := false
	switch g.Kind {
	case OtherName, X400Address, DirectoryName, EDIPartyName:
		constructed = true
	}
	if g.Kind > RegisteredID || tag != der.Context(byte(g.Kind)) && !constructed || tag != der.Constructed(byte(g.Kind)) && constructed {
		return GeneralName{}, fmt.Errorf("%w (tag %#02x is no form of a name)", der.ErrTag, tag)
	}
	switch g.Kind {
	case RFC822Name, DNSName, URI:
		for _, c := range content {
			if c >= 0x80 {
				return GeneralName{}, der.ErrString
			}
		}
	case DirectoryName:
		g.Name, err = ParseName(content)
		g.Value = nil
	case RegisteredID:
		err = der.CheckObjectID(content)
	case OtherName, X400Address, EDIPartyName:
		err = der.Check(whole, maxDepth)
	}
	return g, err
}

// String is for people; what a card's names say is personal data.
func (g GeneralName) String() string {
	switch g.Kind {
	case DirectoryName:
		return "directoryName:" + g.Name.String()
	case RFC822Name:
		return "rfc822Name:" + escape(string(g.Value))
	case DNSName:
		return "dNSName:" + escape(string(g.Value))
	case URI:
		return "URI:" + escape(string(g.Value))
	case IPAddress:
		if a, ok := netip.AddrFromSlice(g.Value); ok {
			return "iPAddress:" + a.String()
		}
	case RegisteredID:
		return "registeredID:" + OID(g.Value).String()
	}
	return fmt.Sprintf("[%d]:%x", g.Kind, g.Value)
}

// maxDepth bounds the nesting of everything that is read here.
const maxDepth = 16
