package mynumber

import (
	"bytes"
	"cmp"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/crl"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// The bounds of the watched folder.
const (
	maxFiles  = 10_000
	maxList   = 1 << 30  // octets of one list
	smallList = 16 << 20 // up to here every entry is kept apart, so that deltas and indirect lists can be read
)

// Lists are the lists of revoked certificates in use, read from a folder. Verdicts read them without waiting. A file that can't be used is refused with
// its reason, and what was in use stays; a file that is taken away leaves its list in use.
type Lists struct {
	profile *cert.Profile
	anchors []*pkix.Certificate // that the profile takes
	store   crl.Store
	small   int64                                  // octets up to which a list is read with every entry apart
	index   atomic.Pointer[map[string][]cert.List] // by issuer and distribution point

	polling sync.Mutex
	seen    map[string]stamp // files that were read, or refused for good
}

// stamp tells whether a file is another one than before.
type stamp struct {
	size int64
	time int64
}

// NewLists makes an empty set of lists: until a Poll has read some no card is accepted.
func NewLists(p *cert.Profile, anchors *cert.Anchors) (*Lists, error) {
	l := &Lists{profile: p, small: smallList, seen: map[string]stamp{}}
	var subjects []pkix.Name
	for _, s := range p.Config().AnchorSubjects {
		n, err := pkix.ParseDN(s)
		if err != nil {
			return nil, fmt.Errorf("mynumber: anchor_subjects: %w", err)
		}
		subjects = append(subjects, n)
	}
	for _, a := range anchors.Certificates() {
		if len(subjects) == 0 || slices.ContainsFunc(subjects, a.Subject.Equal) {
			l.anchors = append(l.anchors, a)
		}
	}
	if len(l.anchors) == 0 {
		return nil, fmt.Errorf("mynumber: none of the anchors given is one that profile %s takes", p.Config().Name)
	}
	return l, nil
}

// Report is what a Poll did.
type Report struct {
	Taken   []Taken
	Refused []Refused
}

// Taken is a list that came into use.
type Taken struct {
	File string
	List crl.Held
	Old  bool // it was overdue already, and stands only because there was none: whether it counts is for the profile to say
}

// Refused is a file that wasn't used.
type Refused struct {
	File string
	Why  error
}

// Poll reads what is new or has changed in a folder: *.crl, in DER or PEM. The error is about the folder itself. One Poll runs at a time.
func (l *Lists) Poll(ctx context.Context, dir fs.FS, now time.Time) (Report, error) {
	l.polling.Lock()
	defer l.polling.Unlock()
	var report Report
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return report, fmt.Errorf("mynumber: the folder of lists can't be read: %w", err)
	}
	if len(entries) > maxFiles {
		return report, fmt.Errorf("mynumber: the folder of lists has %d files; at most %d are read: take old ones away", len(entries), maxFiles)
	}
	type loaded struct {
		file string
		mark stamp
		list crl.Held
	}
	var fresh []loaded
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return report, err
		}
		name := e.Name()
		if path.Ext(name) != ".crl" || strings.HasPrefix(name, ".") {
			continue
		}
		mark, list, err := l.load(dir, name)
		switch {
		case errors.Is(err, errSeen):
		case err != nil:
			l.seen[name] = mark // again when it changes
			report.Refused = append(report.Refused, Refused{name, err})
		default:
			fresh = append(fresh, loaded{name, mark, list})
		}
	}
	// The newest first: of two overdue lists the newer must be the one that stands.
	slices.SortStableFunc(fresh, func(a, b loaded) int {
		x, y := a.list.Info(), b.list.Info()
		return cmp.Or(y.ThisUpdate.Compare(x.ThisUpdate), crl.CompareNumbers(y.Number, x.Number))
	})
	for _, f := range fresh {
		if _, future := l.profile.Overdue(f.list.Info(), now); future {
			// It would push out the one that counts today. It is looked at again.
			report.Refused = append(report.Refused, Refused{f.file, fmt.Errorf("thisUpdate %s is in the future", f.list.Info().ThisUpdate.Format(time.RFC3339))})
			continue
		}
		l.seen[f.file] = f.mark
		_, err := l.store.Swap(f.list, now)
		old := crl.CodeOf(err) == crl.CodeStale
		if old && l.store.Restore(f.list) == nil {
			err = nil
		}
		if err != nil {
			report.Refused = append(report.Refused, Refused{f.file, err})
			continue
		}
		report.Taken = append(report.Taken, Taken{f.file, f.list, old})
	}
	if len(report.Taken) > 0 {
		l.reindex()
	}
	return report, nil
}

// Watch polls at once and whenever ticks says so, until ctx ends. tell hears of each poll that did something or failed.
func (l *Lists) Watch(ctx context.Context, dir fs.FS, ticks <-chan time.Time, now func() time.Time, tell func(Report, error)) {
	for {
		report, err := l.Poll(ctx, dir, now())
		if ctx.Err() != nil {
			return
		}
		if err != nil || len(report.Taken)+len(report.Refused) > 0 {
			tell(report, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
	}
}

var errSeen = errors.New("read before")

// load reads a list whose signature one of the anchors made.
func (l *Lists) load(dir fs.FS, name string) (mark stamp, list crl.Held, err error) {
	f, err := dir.Open(name)
	if err != nil {
		return mark, nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return mark, nil, err
	}
	mark = stamp{info.Size(), info.ModTime().UnixNano()}
	switch {
	case l.seen[name] == mark:
		return mark, nil, errSeen
	case !info.Mode().IsRegular():
		return mark, nil, errors.New("not a regular file")
	case info.Size() > maxList:
		return mark, nil, fmt.Errorf("%d octets; at most %d are read", info.Size(), maxList)
	}
	c := l.profile.Config()
	rules := crl.Rules{AnySerial: !c.Leaf.PositiveSerial, Version1: c.ListVersion1, Unnumbered: !c.RequireNumber}
	policy := l.profile.Signatures()
	if info.Size() <= l.small {
		list, err = l.readSmall(f, rules, &policy)
	} else {
		list, err = l.readLarge(dir, name, rules, &policy)
	}
	return mark, list, err
}

func (l *Lists) readSmall(f io.Reader, rules crl.Rules, policy *pkix.Policy) (crl.Held, error) {
	raw, err := io.ReadAll(io.LimitReader(f, smallList+1))
	if err != nil {
		return nil, err
	}
	if block, rest := pem.Decode(raw); block != nil {
		if block.Type != "X509 CRL" || strings.TrimSpace(string(rest)) != "" {
			return nil, errors.New(`PEM, but not one block of "X509 CRL"`)
		}
		raw = block.Bytes
	}
	list, err := crl.Parse(raw, rules, crl.Limits{SmallOnly: smallList})
	if err != nil {
		return nil, err
	}
	return list, l.sign(list, policy)
}

// sign finds the anchor that signed. Generations share a name: only the key tells.
func (l *Lists) sign(list *crl.List, policy *pkix.Policy) error {
	named := false
	var err error
	for _, a := range l.anchors {
		if !a.Subject.Equal(list.Info().Issuer) {
			continue
		}
		named = true
		if err = list.CheckSignature(&a.Key, policy); err == nil {
			return nil
		}
	}
	if !named {
		return fmt.Errorf("no anchor has the name of its issuer, %s", list.Info().Issuer)
	}
	return fmt.Errorf("none of the anchors of its issuer's name signed it: %w", err)
}

// readLarge streams a list of national size, once for each anchor until one fits.
func (l *Lists) readLarge(dir fs.FS, name string, rules crl.Rules, policy *pkix.Policy) (crl.Held, error) {
	var err error
	for _, a := range l.anchors {
		set, e := l.stream(dir, name, crl.Load{Key: &a.Key, Policy: policy, Bits: crl.DefaultBits, Rules: rules, Limits: crl.Limits{Octets: maxList}})
		if e == nil && !a.Subject.Equal(set.Info().Issuer) {
			e = fmt.Errorf("signed by an anchor of another name than its issuer's, %s", set.Info().Issuer)
		}
		if e == nil {
			return set, nil
		}
		err = e
		if code := crl.CodeOf(e); code != crl.CodeSignature && code != crl.CodeAlgorithm {
			break // no other key makes it readable
		}
	}
	return nil, err
}

func (l *Lists) stream(dir fs.FS, name string, load crl.Load) (*crl.Set, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return load.Read(f)
}

// reindex sorts the lists by what they are about: an authority may have a list for each municipality, and a decision takes only a few.
func (l *Lists) reindex() {
	index := map[string][]cert.List{}
	for _, h := range l.store.All() {
		info := h.Info()
		issuer := info.Issuer.Canonical()
		var points []pkix.GeneralName
		if s := info.Scope; s != nil {
			points = pointNames(s.FullName, s.RelativeName, info.Issuer)
		}
		if len(points) == 0 {
			index[issuer] = append(index[issuer], h)
		}
		for _, key := range pointKeys(issuer, points) {
			index[key] = append(index[key], h)
		}
	}
	l.index.Store(&index)
}

// For gives the lists that can say something about a certificate.
func (l *Lists) For(c *pkix.Certificate) (out []cert.List) {
	index := l.index.Load()
	if index == nil {
		return nil
	}
	issuer := c.Issuer.Canonical()
	keys := []string{issuer}
	for _, p := range c.DistributionPoints {
		keys = append(keys, pointKeys(issuer, pointNames(p.FullName, p.RelativeName, c.Issuer))...)
	}
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		for _, x := range (*index)[key] {
			// Another generation's list has the same name, and couldn't count: it would only be blamed.
			mine, its := c.Authority.KeyID, x.Info().Authority.KeyID
			other := mine != nil && its != nil && !bytes.Equal(mine, its)
			if !other && !slices.Contains(out, x) {
				out = append(out, x)
			}
		}
	}
	return out
}

func pointNames(full []pkix.GeneralName, relative []byte, below pkix.Name) []pkix.GeneralName {
	if relative == nil {
		return full
	}
	n, err := below.With(relative)
	if err != nil {
		return nil
	}
	return []pkix.GeneralName{{Kind: pkix.DirectoryName, Name: n}}
}

func pointKeys(issuer string, points []pkix.GeneralName) (keys []string) {
	for _, p := range points {
		value := string(p.Value)
		if p.Kind == pkix.DirectoryName {
			value = p.Name.Canonical()
		}
		keys = append(keys, fmt.Sprintf("%s\x00%d\x00%s", issuer, p.Kind, value))
	}
	return keys
}

// State is how the lists stand.
type State struct {
	Fresh    int
	Degraded int      // overdue, within the profile's degraded mode
	Stale    int      // overdue beyond it: the cards that they are about are refused
	Missing  []string // anchors in force of which there is no list at all
	Oldest   time.Time
}

// State tells how the lists stand.
func (l *Lists) State(at time.Time) State {
	var s State
	have := map[string]bool{}
	allowed := l.profile.Config().DegradedOverdue.Duration()
	for _, h := range l.store.All() {
		info := h.Info()
		have[string(h.SignedBy())] = true
		late, future := l.profile.Overdue(info, at)
		switch {
		case late == 0 && !future:
			s.Fresh++
		case late <= allowed && !future:
			s.Degraded++
		default:
			s.Stale++
		}
		if s.Oldest.IsZero() || info.ThisUpdate.Before(s.Oldest) {
			s.Oldest = info.ThisUpdate
		}
	}
	for _, a := range l.anchors {
		if at.Before(a.NotBefore) || at.After(a.NotAfter) || have[string(a.Key.Raw)] {
			continue
		}
		s.Missing = append(s.Missing, fmt.Sprintf("%s (key %x)", a.Subject, a.SubjectKeyID))
	}
	return s
}

// Ready is nil where every anchor in force has a list and every list is fresh, or within the profile's degraded mode.
func (l *Lists) Ready(at time.Time) error {
	s := l.State(at)
	switch {
	case len(s.Missing) > 0:
		return fmt.Errorf("失効リストがありません / no list of revoked certificates of: %s", strings.Join(s.Missing, "; "))
	case s.Stale > 0:
		return fmt.Errorf("失効リストが古すぎます / %d lists of revoked certificates are too old, the oldest of %s", s.Stale, s.Oldest.Format(time.RFC3339))
	}
	return nil
}
