package config

import (
	"math"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// checkValue says what is wrong with a value, or nothing.
func (s setting) checkValue(value string) error {
	if len(value) > 1000 || strings.ContainsFunc(value, unicode.IsControl) {
		return wrong("write at most 1,000 characters, without line breaks", "the value is too long or has control characters")
	}
	if s.secret {
		return secretFile(value)
	}
	if len(s.choices) > 0 && !slices.Contains(s.choices, value) {
		return wrong("write "+strings.Join(s.choices[:len(s.choices)-1], ", ")+" or "+s.choices[len(s.choices)-1], "%s isn't one of the choices", shown(value))
	}
	if s.check != nil {
		return s.check(value)
	}
	return nil
}

// vendorToken is how tokens of the vendors, of JWT and of HTTP authorization begin.
var vendorToken = regexp.MustCompile(`^(AT[A-Z]{3}3|xox[a-z]-|eyJ|(?i:bearer|basic)\s|-----BEGIN)`)

// opaque is a long word without the marks of a path.
var opaque = regexp.MustCompile(`^[A-Za-z0-9+=_-]{32,}$`)

// secretFile refuses a value that is a secret instead of the name of its file. It never repeats it.
func secretFile(value string) error {
	if vendorToken.MatchString(value) || opaque.MatchString(value) {
		return wrong("write the secret to a file of its own, one line, chmod 600, and name that file here", "this looks like the secret itself")
	}
	return nil
}

func database(value string) error {
	if path, ok := strings.CutPrefix(value, "sqlite:"); ok && path != "" {
		return nil
	}
	if !strings.HasPrefix(value, "postgres://") && !strings.HasPrefix(value, "postgresql://") {
		return wrong(`write "sqlite:FILE" or "postgres://USER@HOST/DATABASE"`, "the value names no database") // not repeated: it may hold a password
	}
	u, err := url.Parse(value)
	if err != nil {
		return wrong(`write "postgres://USER@HOST/DATABASE"`, "the address can't be read")
	}
	_, password := u.User.Password()
	for name := range u.Query() {
		password = password || strings.HasSuffix(strings.ToLower(name), "password")
	}
	if password {
		return wrong("take it out of the address, write it to a file (one line, chmod 600) and name that file as database_password_file", "the address holds a password")
	}
	return nil
}

// Loopback refuses an address that other machines reach: what is served there asks for no login.
func Loopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return wrong("write host:port, e.g. 127.0.0.1:8080", "%s isn't host:port", shown(address))
	}
	if ip := net.ParseIP(host); host == "localhost" || (ip != nil && ip.IsLoopback()) {
		return nil
	}
	return wrong("what is served there asks for no login, so it is for loopback only, e.g. 127.0.0.1:8080; for others there are the sections internet, lgwan and government", "%s isn't a loopback address", shown(address))
}

func webAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err == nil && u.User != nil:
		return wrong("take it out and name the file of the secret instead", "the address holds a user name or a password")
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.RawQuery != "" || u.Fragment != "":
		return wrong("write https://host or https://host/path", "%s isn't a web address", shown(address))
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return wrong("write https", "http is allowed to loopback only")
	}
	return nil
}

func date(value string) error {
	if _, err := time.Parse(time.DateOnly, value); err != nil {
		return wrong("write YYYY-MM-DD", "%s isn't a date", shown(value))
	}
	return nil
}

func number(value string, ok func(float64) bool, remedy string) error {
	f, err := strconv.ParseFloat(value, 64)
	if err != nil || !ok(f) {
		return wrong(remedy, "%s doesn't fit", shown(value))
	}
	return nil
}

func share(value string) error {
	return number(value, func(f float64) bool { return f >= 0 && f <= 1 }, "write a number from 0 to 1")
}

func scale(value string) error {
	return number(value, func(f float64) bool { return f > 0 && f <= 1000 }, "write a number above 0, at most 1000")
}

func lag(value string) error {
	return number(value, func(f float64) bool { return f >= 1 && f <= 3600 }, "write seconds, from 1 to 3600")
}

func pause(value string) error {
	return number(value, func(f float64) bool { return f >= 0.1 && f <= 3600 }, "write seconds, from 0.1 to 3600")
}

func yen(value string) error {
	return number(value, func(f float64) bool { return f >= 0 && f <= 1e7 && f == math.Trunc(f) }, "write whole yen a month, from 0 to 10,000,000")
}

func digits(value string) error {
	if len(value) > 18 || value == "" || value[0] == '0' || strings.Trim(value, "0123456789") != "" {
		return wrong("write the number that stands in the service desk's address", "%s isn't a number", shown(value))
	}
	return nil
}

func mail(value string) error {
	local, domain, ok := strings.Cut(value, "@")
	if !ok || local == "" || domain == "" || strings.ContainsAny(value, " <>,;\"") || strings.Contains(domain, "@") || len(value) > 254 {
		return wrong("write one address, e.g. hub@example.go.jp", "%s isn't an e-mail address", shown(value))
	}
	return nil
}

func short(value string) error {
	if len(value) > 60 {
		return wrong("write at most 60 characters", "%s is too long", shown(value))
	}
	return nil
}

func port(value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > 65535 {
		return wrong("write a number from 1 to 65535", "%s isn't a port", shown(value))
	}
	return nil
}

// listOf takes "a, b" of the choices, each once.
func listOf(choices ...string) func(string) error {
	return func(value string) error {
		seen := map[string]bool{}
		for _, item := range splitList(value) {
			if !slices.Contains(choices, item) {
				return wrong("write "+strings.Join(choices, ", ")+", or some of them", "%s isn't one of the choices", shown(item))
			}
			if seen[item] {
				return wrong("write it once", "%s stands there twice", shown(item))
			}
			seen[item] = true
		}
		return nil
	}
}

func regions(value string) error {
	for _, item := range splitList(value) {
		if item == "" || len(item) > 60 {
			return wrong("write regions as they stand in data_region, separated by commas", "%s isn't a list of regions", shown(value))
		}
	}
	return nil
}

func proxy(value string) error {
	if value == "direct" {
		return nil
	}
	u, err := url.Parse(value)
	switch {
	case err == nil && u.User != nil:
		return wrong("take it out: a relay knows the hub by its certificate or its address", "the address holds a user name or a password")
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return wrong("write https://host:port, http://host:port or direct", "%s isn't a proxy", shown(value))
	}
	return nil
}
