package metadata_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
	"github.com/musubi-hub/musubi/sync/metadata"
)

var tables = sqldbtest.NewTemplate(func(ctx context.Context, db *sqldb.DB) error {
	if err := db.Migrate(ctx, sqldb.Tables(), audit.Migration(db.Engine()), sp.Migration()); err != nil {
		return err
	}
	return jobs.Migrate(ctx, db)
})

// certificate is made once: its key signs requests and metadata.
var certificate = sync.OnceValues(func() (*rsa.PrivateKey, []byte) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sp"}, NotBefore: time.Unix(1, 0), NotAfter: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		panic(err)
	}
	return k, der
})

// document is what a provider publishes: with this many addresses, signed.
func document(t testing.TB, id policies.RelyingPartyID, addresses int) []byte {
	t.Helper()
	key, der := certificate()
	var b strings.Builder
	fmt.Fprintf(&b, `<md:EntityDescriptor xmlns:md="%s" ID="_m" entityID="urn:%s" validUntil="2099-01-01T00:00:00Z"><md:SPSSODescriptor protocolSupportEnumeration="%s">`+
		`<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="%s"><ds:X509Data><ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`,
		wire.NSMetadata, id, wire.NSProtocol, wire.NSSignature, base64.StdEncoding.EncodeToString(der))
	for i := range addresses {
		fmt.Fprintf(&b, `<md:AssertionConsumerService Binding="%s" Location="https://sp.example/acs%d" index="%d"/>`, sp.BindingPOST, i, i)
	}
	b.WriteString(`</md:SPSSODescriptor></md:EntityDescriptor>`)
	el, err := wire.Parse([]byte(b.String()), wire.MetadataLimits)
	if err != nil {
		t.Fatal(err)
	}
	if err := wire.Sign(el, key, der); err != nil {
		t.Fatal(err)
	}
	data, err := wire.Bytes(el)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// world is providers that publish at addresses, and counts who asks.
type world struct {
	mu     sync.Mutex
	docs   map[string][]byte // by path
	asked  map[string]int
	busy   atomic.Int64
	most   atomic.Int64
	broken atomic.Bool
	slow   time.Duration
	ahead  atomic.Int64 // of the hub's clock
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	n := w.busy.Add(1)
	defer w.busy.Add(-1)
	for m := w.most.Load(); n > m && !w.most.CompareAndSwap(m, n); m = w.most.Load() {
	}
	if w.slow > 0 {
		time.Sleep(w.slow)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[r.URL.Path]++
	doc := w.docs[r.URL.Path]
	if w.broken.Load() || doc == nil {
		return nil, errors.New("connection refused")
	}
	tag := fmt.Sprintf(`"%x"`, len(doc))
	head := http.Header{"Etag": {tag}}
	if r.Header.Get("If-None-Match") == tag {
		return &http.Response{StatusCode: http.StatusNotModified, Header: head, Body: http.NoBody}, nil
	}
	return &http.Response{StatusCode: http.StatusOK, Header: head, Body: io.NopCloser(bytes.NewReader(doc)), ContentLength: int64(len(doc))}, nil
}

func (w *world) count(path string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[path]
}

func newWorld() *world { return &world{docs: map[string][]byte{}, asked: map[string]int{}} }

// none tells nobody.
type none struct{}

func (none) EnqueueNotice(context.Context, *sql.Tx, identity.Notice) error { return nil }

func node(t testing.TB, db *sqldb.DB, w *world, name string) *jobs.Client {
	t.Helper()
	kinds := jobs.NewWorkers()
	x := metadata.Register(kinds, db, sp.NewSources(db, none{}), metadata.Fetcher{Transport: w}, w.now, slog.New(slog.DiscardHandler))
	c, err := jobs.New(jobs.Config{
		DB: db, Workers: kinds, NodeID: name, Queues: metadata.Queues(), Now: w.now, ScheduleEvery: 100 * time.Millisecond, Periodic: metadata.Periodic(),
	})
	if err != nil {
		t.Fatal(err)
	}
	x.Bind(c)
	return c
}

// fill registers providers with their sources, as their documents make them.
func fill(t testing.TB, db *sqldb.DB, w *world, n int) {
	t.Helper()
	by, err := access.BreakGlass("operator")
	if err != nil {
		t.Fatal(err)
	}
	_, der := certificate()
	now := time.Now().UnixMicro()
	for i := range n {
		id := policies.RelyingPartyID(fmt.Sprint("sp-", i))
		doc := document(t, id, 1)
		m, err := sp.ReadMetadata(doc, now, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := m.Draft(policies.NetworkInternet)
		p.ID, p.Name, p.Sector, p.Least = id, "試験", "sp.example", policies.AssuranceTwo
		if err := sp.NewRegistry(db).Add(t.Context(), by, p, now); err != nil {
			t.Fatal(err)
		}
		if err := sp.NewSources(db, none{}).Set(t.Context(), by, id, sp.Source{Address: "https://sp.example/" + string(id), Signers: [][]byte{der}}, now); err != nil {
			t.Fatal(err)
		}
		w.docs["/"+string(id)] = doc
	}
}

func of(t testing.TB, db *sqldb.DB, id policies.RelyingPartyID) sp.Overview {
	t.Helper()
	o, err := sp.NewSources(db, nil).Of(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

// Two nodes on one database read each of hundreds once, and few at a time.
func TestTwoNodes(t *testing.T) {
	const providers = 100
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld()
		w.slow = 5 * time.Millisecond
		fill(t, db, w, providers)
		for _, name := range []string{"a", "b"} {
			c := node(t, db, w, name)
			if err := c.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Stop(context.WithoutCancel(t.Context())) }()
		}
		sources := sp.NewSources(db, nil)
		eventually(t, "all are read", func() bool {
			all, err := sources.All(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range all {
				if o.Status.ReadAt == 0 {
					return false
				}
			}
			return len(all) == providers
		})
		for path := range w.docs {
			if n := w.count(path); n != 1 {
				t.Errorf("%s was fetched %d times", path, n)
			}
		}
		if n := w.most.Load(); n > 8 {
			t.Errorf("%d fetches at once on two nodes", n)
		}
	})
}

// Over days: each once a day; a difference waits; an outage keeps what is in force and is made up for.
func TestDays(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld()
		fill(t, db, w, 3)
		c := node(t, db, w, "a")
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Stop(context.WithoutCancel(t.Context())) }()
		// tried passes a day, and waits until all have been tried in it.
		tried := func() {
			t.Helper()
			from := w.now().UnixMicro()
			w.ahead.Add(int64(37 * time.Hour)) // the longest that there is between two
			eventually(t, "each is tried", func() bool {
				for i := range 3 {
					if of(t, db, policies.RelyingPartyID(fmt.Sprint("sp-", i))).Status.TriedAt < from {
						return false
					}
				}
				return true
			})
		}
		eventually(t, "each is read", func() bool {
			return of(t, db, "sp-0").Status.ReadAt > 0 && of(t, db, "sp-1").Status.ReadAt > 0 && of(t, db, "sp-2").Status.ReadAt > 0
		})
		tried()
		w.mu.Lock()
		w.docs["/sp-0"] = document(t, "sp-0", 2)
		w.mu.Unlock()
		tried()
		if o := of(t, db, "sp-0"); o.Pending == nil || !o.Pending.Verified || len(o.SP.Faces[0].Consumers) != 1 {
			t.Errorf("%+v", o.Pending)
		}
		if o := of(t, db, "sp-1"); o.Pending != nil || o.Status.ReadAt != o.Status.TriedAt {
			t.Errorf("%+v", o.Status)
		}
		if n := w.count("/sp-1"); n != 3 {
			t.Errorf("fetched %d times, want 3", n)
		}
		w.broken.Store(true)
		tried()
		if o := of(t, db, "sp-1"); o.Status.Why != "unreachable" || o.Status.Fails != 1 || len(o.SP.Faces[0].Consumers) != 1 || strings.Contains(o.Status.Error, "https://") {
			t.Errorf("%+v", o.Status)
		}
		w.broken.Store(false)
		tried()
		if o := of(t, db, "sp-1"); o.Status.Why != "" || o.Status.Fails != 0 {
			t.Errorf("it isn't made up for: %+v", o.Status)
		}
	})
}

// A provider that is gone when its turn comes is nothing to do; a database that takes nothing ends in the dead letters, and the source is due again.
func TestDeadLetter(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld()
		fill(t, db, w, 1)
		c := node(t, db, w, "a")
		insert := func(args jobs.Args) {
			t.Helper()
			err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				_, err := c.InsertTx(ctx, tx, jobs.Insert{Args: args})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		insert(metadata.FetchArgs{Party: "nobody", Due: 1})
		if _, err := db.Writer().ExecContext(t.Context(), `UPDATE saml_metadata SET status = 'damaged'`); err != nil {
			t.Fatal(err)
		}
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Stop(context.WithoutCancel(t.Context())) }()
		var id int64
		eventually(t, "it fails, and no other does", func() bool {
			list, err := c.List(t.Context(), jobs.Filter{Kind: "saml.metadata_fetch.v1"}, jobs.Page{})
			if err != nil {
				t.Fatal(err)
			}
			for _, j := range list {
				if j.LastError != "" && strings.Contains(j.LastError, "damaged") {
					id = j.ID
				}
			}
			return id != 0 && w.count("/sp-0") == 0
		})
		due, err := sp.NewSources(db, nil).Due(t.Context(), time.Now().Add(61*time.Minute).UnixMicro(), 10)
		if err != nil || len(due) != 1 {
			t.Errorf("it isn't due again: %v %v", due, err)
		}
		eventually(t, "what is gone is done", func() bool {
			dead, err := c.List(t.Context(), jobs.Filter{States: jobs.DeadLetters()}, jobs.Page{})
			if err != nil {
				t.Fatal(err)
			}
			return len(dead) == 0
		})
	})
}
