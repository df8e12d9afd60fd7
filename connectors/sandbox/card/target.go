package card

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// maxTarget bounds an address, in octets.
const maxTarget = 2048

// target reads where the card is to be presented: the card path of a hub's card host, as the hub writes it, and nothing else.
func (o Options) target(text string) (*url.URL, error) {
	if text == "" {
		return nil, errNoTarget
	}
	u, err := onOrigin(text, o.CardOrigins)
	switch {
	case err != nil:
		return nil, err
	case u.EscapedPath() != o.CardPath:
		return nil, fmt.Errorf("the path isn't %s", o.CardPath)
	case u.Fragment != "" || strings.Contains(text, "#"):
		return nil, errors.New("it has a fragment")
	}
	return u, nil
}

// errNoTarget says that the page was opened by itself.
var errNoTarget = errors.New("no address")

// onOrigin reads an absolute address whose origin is exactly one of these.
func onOrigin(text string, origins []string) (*url.URL, error) {
	if len(text) > maxTarget {
		return nil, fmt.Errorf("longer than %d octets", maxTarget)
	}
	for _, c := range text { // a browser and Go read some of these differently
		if c <= ' ' || c == '\\' || c >= 0x7f {
			return nil, errors.New("a character that no address has")
		}
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("no address")
	case u.User != nil || u.Opaque != "" || !strings.HasPrefix(text, "https://"):
		return nil, errors.New("no https address, or one with a user")
	case !slices.Contains(origins, "https://"+u.Host):
		return nil, errors.New("another host")
	}
	return u, nil
}

// checkOrigin refuses what isn't the origin of an https address.
func checkOrigin(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || text != "https://"+strings.ToLower(u.Host) {
		return fmt.Errorf("sandbox card: %q: give an origin, https://host or https://host:port", text)
	}
	return nil
}
