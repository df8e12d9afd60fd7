package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

var all = policies.System(policies.TaskTest)

func TestPersonalDataCanBeErased(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db)
		h.fill(20)
		find := func(id string) audit.Row {
			t.Helper()
			rows, err := audit.Find(t.Context(), db.Reader(), all, audit.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				if r.ID == id {
					return r
				}
			}
			t.Fatalf("no row %s", id)
			return audit.Row{}
		}
		if r := find("r003"); r.Personal["mail"] != "taro@city.example.jp" || r.Erased || !r.Sequenced || r.Seq != 3 {
			t.Errorf("%+v", r)
		}
		var salt []byte
		var data, committed string
		err := db.Reader().QueryRowContext(t.Context(), `SELECT p.salt, p.data, r.commitment FROM audit_personal p JOIN audit_row r ON r.id = p.row_id WHERE r.id = 'r003'`).
			Scan(&salt, &data, &committed)
		if sum := sha256.Sum256(append(salt, data...)); err != nil || len(salt) != 32 || hex.EncodeToString(sum[:]) != committed {
			t.Errorf("the commitment isn't SHA-256 of salt and data: %v", err)
		}
		erase := func(scope policies.Scope, id string) error {
			return db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				return audit.Erase(ctx, tx, scope, id, row(func(r *audit.Row) { r.ID, r.Reason = "why-"+id, "on request" }))
			})
		}
		if err := erase(policies.Scope{}, "r003"); !errors.Is(err, identity.ErrRefused) {
			t.Errorf("a scope of nothing: %v", err)
		}
		if err := erase(all, "r003"); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"r003", "r004", "nobody"} {
			if err := erase(all, id); !errors.Is(err, identity.ErrNotFound) {
				t.Errorf("erase %s: %v", id, err)
			}
		}
		h.tick()
		if r := find("r003"); r.Personal != nil || !r.Erased {
			t.Errorf("%+v", r)
		}
		if r := find("why-r003"); r.Action != "audit.erase" || r.Object != "r003" || r.Org != "011002" {
			t.Errorf("%+v", r)
		}
		if rep := h.verify(audit.VerifyOptions{}); !rep.OK() || rep.Erased != 1 || rep.Personal != 1 || rep.Rows != 21 {
			t.Errorf("%+v", rep)
		}
		var left int
		if err := db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM audit_personal WHERE row_id = 'r003'`).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d left: %v", left, err)
		}
	})
}

func TestPersonalDataThatCantBeKept(t *testing.T) {
	db := tables.Open(t, sqldb.SQLite)
	prepare(t, db)
	for want, data := range map[string]map[string]any{
		"bytes of personal data": {"x": strings.Repeat("x", audit.MaxPersonal)},
		"isn't JSON":             {"x": func() {}},
	} {
		err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return audit.Append(ctx, tx, row(func(r *audit.Row) { r.Personal = data }))
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func export(t testing.TB, h *house, f audit.Filter) (string, int64) {
	t.Helper()
	var b bytes.Buffer
	n, err := audit.Export(t.Context(), h.db, all, f, &b)
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), n
}

func TestExportVerifiesOffline(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db)
		if _, err := audit.Export(t.Context(), db, all, audit.Filter{}, &bytes.Buffer{}); !errors.Is(err, identity.ErrNotFound) {
			t.Errorf("an empty log: %v", err)
		}
		h.fill(7, 13, 13)
		h.add(2) // not signed: left out
		if _, err := audit.Export(t.Context(), db, policies.Scope{}, audit.Filter{}, &bytes.Buffer{}); !errors.Is(err, identity.ErrRefused) {
			t.Errorf("a scope of nothing: %v", err)
		}
		text, n := export(t, h, audit.Filter{})
		rep, err := audit.VerifyExport(strings.NewReader(text), nil)
		if err != nil || n != 33 || rep.Rows != 33 || rep.Size != 33 || rep.Personal != 3 || !rep.OwnKeys {
			t.Errorf("%d rows, %+v: %v", n, rep, err)
		}
		part, n := export(t, h, audit.Filter{From: at + 10*1_000_000, Until: at + 15*1_000_000})
		var head struct {
			Keys []string `json:"keys"`
		}
		if err := json.Unmarshal([]byte(part[:strings.IndexByte(part, '\n')]), &head); err != nil {
			t.Fatal(err)
		}
		rep, err = audit.VerifyExport(strings.NewReader(part), head.Keys)
		if err != nil || n != 5 || rep.Rows != 5 || rep.OwnKeys {
			t.Errorf("%d rows, %+v: %v", n, rep, err)
		}
		other := newHouse(t, tables.Open(t, sqldb.SQLite))
		other.fill(1)
		foreign, _ := export(t, other, audit.Filter{})
		var theirs struct {
			Keys []string `json:"keys"`
		}
		if err := json.Unmarshal([]byte(foreign[:strings.IndexByte(foreign, '\n')]), &theirs); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.VerifyExport(strings.NewReader(part), theirs.Keys); err == nil || !strings.Contains(err.Error(), "no key that is known") {
			t.Errorf("another log's keys: %v", err)
		}
		for want, changed := range map[string]string{
			"isn't what was signed at place 12":     strings.Replace(part, `"id":"r012","at":1790000012000000,"actor":"p1"`, `"id":"r012","at":1790000012000000,"actor":"p9"`, 1),
			"isn't what was signed at place 15":     strings.Replace(part, `"seq":14`, `"seq":15`, 1),
			"has personal data that it didn't com":  strings.Replace(part, `taro@`, `jiro@`, 1),
			"its last line is missing":              part[:strings.LastIndex(part[:len(part)-1], "\n")+1],
			"the export says that it has 5 rows":    part[:strings.Index(part, "\n{\"seq\":14")] + "\n" + `{"rows":5,"end":true}` + "\n",
			"signature that isn't good":             strings.Replace(part, `previous 20\n`, `previous 19\n`, 1),
			"is no row of an export":                strings.Replace(part, `{"seq":13`, `{"extra":1,"seq":13`, 1),
			"line 1: is no musubi.audit-export.v1":  strings.Replace(part, `export.v1`, `export.v2`, 1),
			"or something after them":               part + "{}\n",
			"has a leaf of version 2":               strings.Replace(part, `"version":1`, `"version":2`, 1),
			"has the place 10, after 10 and of 33":  strings.Replace(part, `"seq":11`, `"seq":10`, 1),
			"has the place 99, after 13 and of 33.": strings.Replace(part, `"seq":14`, `"seq":99`, 1),
		} {
			want = strings.TrimSuffix(want, ".")
			if changed == part {
				t.Errorf("%s: nothing was changed in\n%s", want, part)
			}
			if _, err := audit.VerifyExport(strings.NewReader(changed), head.Keys); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("want %q, got %v", want, err)
			}
		}
	})
}

func FuzzVerifyExport(f *testing.F) {
	h := newHouse(f, sqldbtest.Open(f, sqldbtest.SQLiteURL(f)))
	h.fill(5)
	good, _ := export(f, h, audit.Filter{})
	f.Add(good)
	f.Add(strings.Replace(good, "\n", "\n{}\n", 1))
	f.Add("")
	var head struct {
		Keys []string `json:"keys"`
	}
	if err := json.Unmarshal([]byte(good[:strings.IndexByte(good, '\n')]), &head); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rep, err := audit.VerifyExport(strings.NewReader(text), head.Keys)
		if err == nil && (rep.Size != 5 || rep.Rows > 5) {
			t.Errorf("%+v of\n%s", rep, text)
		}
	})
}

// FuzzCheckpoint signs any text by a key that is believed: what is opened is written the one way there is.
func FuzzCheckpoint(f *testing.F) {
	const name = "musubi-audit/0123456789abcdef"
	skey, vkey, err := note.GenerateKey(nil, name)
	if err != nil {
		f.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		f.Fatal(err)
	}
	verifiers, err := audit.ParseVerifiers(vkey, vkey)
	if err != nil {
		f.Fatal(err)
	}
	root := base64.StdEncoding.EncodeToString(make([]byte, 32))
	text := fmt.Sprintf("%s\n9\n%s\nat 2026-11-22T04:03:56.932379Z\nprevious 2\n", name, root)
	f.Add(text)
	f.Add(text + "later line\n")
	f.Add(strings.Replace(text, "\n9\n", "\n09\n", 1))
	f.Add(strings.Replace(text, "932379Z", "93Z", 1))
	f.Add(strings.Replace(text, "previous 2", "previous 9", 1))
	f.Fuzz(func(t *testing.T, text string) {
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			return
		}
		c, err := verifiers.Open(signed)
		if err != nil {
			return
		}
		again := fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)
		if !strings.HasPrefix(text, again) || c.Origin != name || c.Size < 1 || c.Previous < 0 || c.Previous >= c.Size {
			t.Errorf("%+v of\n%s", c, text)
		}
	})
}
