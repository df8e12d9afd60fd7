package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/connectors"
)

// maxFile bounds the file, in bytes.
const maxFile = 32 << 10

const envPrefix = "MUSUBI_"

// envTest begins the variables by which tests talk to their child processes.
const envTest = envPrefix + "TEST_"

// EnvData and EnvFile stand for the flags --data and --config. They say where to look and aren't settings.
const (
	EnvData = envPrefix + "DATA"
	EnvFile = envPrefix + "CONFIG"
)

// Flag is a setting given on the command line.
type Flag struct {
	Name  string // with its dashes
	Key   string
	Value string
}

// Source is where a configuration is read from, in rising precedence: file, environment, flags.
type Source struct {
	Data  string // the data folder
	File  string // empty: musubi.yaml in the data folder, if there is one
	Env   []string
	Flags []Flag // those with an empty value aren't given
}

// Loaded is an effective configuration with the origin of each setting.
type Loaded struct {
	Config
	File    string            // what was read; empty: no file
	Origins map[string]Origin // of settings that aren't the default
	values  map[string]value
}

// Load reads and checks the whole configuration. What is wrong comes back as Faults, all at once.
func Load(s Source) (Loaded, error) {
	path := s.File
	if path == "" {
		path = filepath.Join(s.Data, FileName)
	}
	text, err := readBounded(path, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) && s.File == "":
		return resolve(s, "", nil)
	case err != nil:
		return Loaded{}, Faults{{Origin: Origin{File: path}, What: "the file can't be read (" + cause(err) + ")", Remedy: "name another with --config, or make it readable"}}
	}
	return resolve(s, path, text)
}

// resolve makes the effective configuration of the file's text and what stands above it.
func resolve(s Source, path string, text []byte) (Loaded, error) {
	l := Loaded{File: path, Origins: map[string]Origin{}, values: map[string]value{}}
	var faults Faults
	seen := map[string]Origin{}
	if path != "" {
		var values map[string]value
		values, seen, faults = parse(path, text)
		if seen == nil {
			return l, faults
		}
		for key, v := range values {
			v.text = relative(key, v.text, filepath.Dir(path), s.Data)
			l.values[key] = v
		}
	}
	env, more := environment(s.Env)
	faults = append(faults, more...)
	for key, v := range env {
		v.text = relative(key, v.text, s.Data, s.Data)
		l.values[key] = v
	}
	for _, f := range s.Flags {
		if f.Value != "" {
			l.values[f.Key] = value{f.Value, Origin{Flag: f.Name}}
		}
	}
	faults = append(faults, l.check(seen)...)
	if len(faults) > 0 {
		slices.SortStableFunc(faults, func(a, b Fault) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Column - b.Column
		})
		return l, faults
	}
	l.fill(s.Data)
	return l, nil
}

// relative makes a path of a value that is one: of the database from the data folder, of another file from base.
func relative(key, text, base, data string) string {
	if rest, ok := strings.CutPrefix(text, "sqlite:"); ok && key == "database" && rest != "" {
		return "sqlite:" + within(data, rest)
	}
	s, _ := find(key)
	if text != "" && (s.path || s.secret && secretFile(text) == nil) {
		return within(base, text)
	}
	return text
}

func within(base, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}

// serviceLink is a variable that Kubernetes sets in every container for a service called "musubi" or "musubi-...".
var serviceLink = regexp.MustCompile(`^MUSUBI_([A-Z0-9_]+_)?(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// environment picks the settings out of the environment. A variable without a value counts as not set.
func environment(env []string) (map[string]value, Faults) {
	values := map[string]value{}
	var faults Faults
	for _, pair := range env {
		name, text, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) || strings.HasPrefix(name, envTest) || text == "" || name == EnvData || name == EnvFile || serviceLink.MatchString(name) {
			continue
		}
		i := slices.IndexFunc(settings, func(s setting) bool { return s.env() == name })
		if i >= 0 {
			values[settings[i].key] = value{text, Origin{Env: name}}
			continue
		}
		f := Fault{Origin: Origin{Env: name}, What: "there is no such setting", Remedy: "unset it; `musubi config example` shows all names"}
		lower := strings.ToLower(strings.TrimPrefix(name, envPrefix))
		if secretName(lower) {
			f.What, f.Remedy = "a secret must not stand in the environment", "unset it, write the secret to a file of its own (one line, chmod 600) and name that file: "+envPrefix+"..._FILE"
		} else if near := nearestEnv(name); near != "" {
			f.Remedy = "did you mean " + near + "?"
		}
		faults = append(faults, f)
	}
	slices.SortFunc(faults, func(a, b Fault) int { return strings.Compare(a.Env, b.Env) })
	return values, faults
}

func nearestEnv(name string) string {
	best, distance := "", 3
	for _, s := range settings {
		if d := edits(name, s.env()); d < distance {
			best, distance = s.env(), d
		}
	}
	return best
}

// check checks every value, and what must be there together.
func (l *Loaded) check(seen map[string]Origin) Faults {
	var faults Faults
	there := map[string]Origin{}
	for _, s := range settings {
		v, ok := l.values[s.key]
		if !ok {
			continue
		}
		if _, known := there[s.section()]; !known {
			there[s.section()] = v.origin
		}
		if err := s.checkValue(v.text); err != nil {
			f := Fault{Origin: v.origin, Key: s.key, What: err.Error()}
			var r *remedied
			if errors.As(err, &r) {
				f.What, f.Remedy = r.what, r.remedy
			}
			faults = append(faults, f)
		}
	}
	for key, origin := range seen {
		if isSection(key) {
			there[key] = origin
		}
	}
	for _, s := range settings {
		_, given := l.values[s.key]
		_, tried := seen[s.key]
		if origin, ok := there[s.section()]; ok && s.need && !given && !tried {
			faults = append(faults, Fault{origin, s.key, "is missing", "add it, or remove all of " + s.section()})
		}
	}
	faults = append(faults, l.checkTogether()...)
	if v, ok := l.values["database_password_file"]; ok && strings.HasPrefix(l.text("database"), "sqlite:") {
		faults = append(faults, Fault{v.origin, "database_password_file", "SQLite has no password", "remove it, or name a PostgreSQL database"})
	}
	return faults
}

// checkTogether checks settings that only make sense with each other.
func (l *Loaded) checkTogether() Faults {
	var faults Faults
	pair := func(a, b string) {
		for _, p := range [][2]string{{a, b}, {b, a}} {
			if v, ok := l.values[p[0]]; ok {
				if _, there := l.values[p[1]]; !there {
					faults = append(faults, Fault{v.origin, p[0], "needs " + p[1] + " beside it", "set both, or neither"})
				}
			}
		}
	}
	for _, section := range append(slices.Clone(optional), "backchannel") {
		pair(section+".client_cert_file", section+".client_key_file")
	}
	pair("mail.user", "mail.password_file")
	faults = append(faults, l.checkGates(pair)...)
	for _, s := range settings {
		v, ok := l.values[s.key]
		if !ok || s.section() != "functions" || s.checkValue(v.text) != nil {
			continue
		}
		for _, product := range splitList(v.text) {
			if !l.configured(product) {
				faults = append(faults, Fault{v.origin, s.key, "names " + product + ", which isn't connected", "add the section " + product + ", or name another product"})
			}
		}
	}
	if v, ok := l.values["mail.user"]; ok && l.text("mail.security") == "none" {
		faults = append(faults, Fault{v.origin, "mail.user", "the password would go to the relay unencrypted", "set mail.security to starttls or tls, or remove user and password_file"})
	}
	return faults
}

// configured reports whether anything is set in a section.
func (l *Loaded) configured(section string) bool {
	for key := range l.values {
		if strings.HasPrefix(key, section+".") {
			return true
		}
	}
	return false
}

// text is the value that counts.
func (l *Loaded) text(key string) string {
	if v, ok := l.values[key]; ok {
		return v.text
	}
	s, _ := find(key)
	return s.def
}

// fill writes the checked values into the typed configuration.
func (l *Loaded) fill(data string) {
	present := map[string]bool{}
	for key, v := range l.values {
		s, _ := find(key)
		present[s.section()] = true
		l.Origins[key] = v.origin
	}
	for _, s := range settings {
		text := l.text(s.key)
		if _, given := l.values[s.key]; !given {
			text = relative(s.key, text, data, data)
		}
		if text == "" || (slices.Contains(optional, s.section()) && !present[s.section()]) {
			continue
		}
		switch f := l.field(s.key).(type) {
		case *string:
			*f = text
		case *connectors.Reach:
			*f = connectors.Reach(text)
		case *[]string:
			*f = splitList(text)
		case *float64:
			*f, _ = strconv.ParseFloat(text, 64) // checked
		}
	}
}

// splitList gives the items of "a, b".
func splitList(text string) []string {
	var out []string
	for item := range strings.SplitSeq(text, ",") {
		out = append(out, strings.TrimSpace(item))
	}
	return out
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path) // #nosec G304 -- the administrator names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("it is a folder")
	case info.Size() > limit:
		return nil, fmt.Errorf("it is larger than %d bytes", limit)
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("it is larger than %d bytes", limit)
	}
	return text, err
}

// cause is a file error without the path, which stands before it already.
func cause(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
