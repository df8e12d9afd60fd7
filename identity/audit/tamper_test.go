package audit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
)

// dropTriggers is what a thief with the database's password does first.
func dropTriggers(h *house) {
	h.t.Helper()
	query := `SELECT 'DROP TRIGGER ' || name FROM sqlite_master WHERE type = 'trigger' AND name <> 'audit_row_waits'`
	if h.db.Engine() == sqldb.PostgreSQL {
		query = `SELECT 'DROP TRIGGER ' || tgname || ' ON ' || tgrelid::regclass FROM pg_trigger WHERE NOT tgisinternal AND tgname <> 'audit_row_waits'`
	}
	h.exec(texts(h, query)...)
}

func texts(h *house, query string) []string {
	h.t.Helper()
	rows, err := h.db.Reader().QueryContext(h.t.Context(), query)
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			h.t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		h.t.Fatal(err)
	}
	return out
}

// rehash makes every stored hash fit the rows, as a thief would who knows how the log is made but has no signing key.
func rehash(h *house) {
	h.t.Helper()
	h.exec(`DELETE FROM audit_node`)
	stored := map[int64]tlog.Hash{}
	reader := tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, err error) {
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	})
	for n, leaf := range leaves(h) {
		hashes, err := tlog.StoredHashes(int64(n), leaf, reader)
		if err != nil {
			h.t.Fatal(err)
		}
		first := tlog.StoredHashIndex(0, int64(n))
		for i, hash := range hashes {
			stored[first+int64(i)] = hash
			level, at := tlog.SplitStoredHashIndex(first + int64(i))
			statement, args := `INSERT INTO audit_node (level, n, hash) VALUES ($1, $2, $3)`, []any{level, at, hash[:]}
			if level == 0 {
				statement, args = `UPDATE audit_leaf SET hash = $1 WHERE seq = $2`, []any{hash[:], at}
			}
			if _, err := h.db.Writer().ExecContext(h.t.Context(), statement, args...); err != nil {
				h.t.Fatal(err)
			}
		}
	}
}

// leaves computes each leaf from its row, by the description in docs/audit.md and not by the package.
func leaves(h *house) (out [][]byte) {
	h.t.Helper()
	names := []string{"id", "at", "actor", "actor_kind", "action", "org", "object", "outcome", "reason", "policy_hash", "detail", "commitment"}
	rows, err := h.db.Reader().QueryContext(h.t.Context(), `SELECT r.`+strings.Join(names, ", r.")+` FROM audit_leaf l JOIN audit_row r ON r.id = l.row_id ORDER BY l.seq`)
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		values := make([]string, len(names))
		targets := make([]any, len(names))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			h.t.Fatal(err)
		}
		leaf := "musubi audit row v1\n"
		for i, name := range names {
			leaf += fmt.Sprintf("%s %d\n%s\n", name, len(values[i]), values[i])
		}
		out = append(out, []byte(leaf))
	}
	if err := rows.Err(); err != nil {
		h.t.Fatal(err)
	}
	return out
}

// forge signs a checkpoint as a thief would who has a signing key of his own.
func forge(h *house, text string) string {
	h.t.Helper()
	name, _, _ := strings.Cut(text, "\n")
	skey, _, err := note.GenerateKey(nil, name)
	if err != nil {
		h.t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		h.t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(signed)
}

func shift(table, column, from string, by int) []string { // in two steps: the places are unique
	return []string{
		fmt.Sprintf(`UPDATE %s SET %s = -1 - (%s) WHERE %s >= %s`, table, column, column, column, from),
		fmt.Sprintf(`UPDATE %s SET %s = -1 - (%s) + (%d) WHERE %s < 0`, table, column, column, by, column),
	}
}

// tampering is what a thief does to a log of 61 rows with checkpoints at 7, 20, 33, 40 and 61, and what verify must say: each
// fault as "kind from-until row", and nothing else.
var tampering = []struct {
	name   string
	change func(h *house)
	want   []string
}{
	{"nothing", func(*house) {}, nil},
	{"changed", func(h *house) { h.exec(`UPDATE audit_row SET outcome = 'refused' WHERE id = 'r010'`) }, []string{"changed 10-11 r010"}},
	{"changed, two of them far apart", func(h *house) {
		h.exec(`UPDATE audit_row SET actor = 'p9' WHERE id IN ('r003', 'r050')`)
	}, []string{"changed 3-4 r003", "changed 50-51 r050"}},
	{"time changed", func(h *house) { h.exec(`UPDATE audit_row SET at = at + 1 WHERE id = 'r000'`) }, []string{"changed 0-1 r000"}},
	{"commitment taken away", func(h *house) {
		h.exec(`UPDATE audit_row SET commitment = '' WHERE id = 'r013'`, `DELETE FROM audit_personal WHERE row_id = 'r013'`)
	}, []string{"changed 13-14 r013"}},
	{"personal data changed", func(h *house) { h.exec(`UPDATE audit_personal SET data = '{}' WHERE row_id = 'r013'`) }, []string{"personal 13-14 r013"}},
	{"removed row", func(h *house) { h.exec(`DELETE FROM audit_row WHERE id = 'r025'`) }, []string{"removed 25-26 r025"}},
	{"removed row with its place", func(h *house) {
		h.exec(`DELETE FROM audit_row WHERE id = 'r025'`, `DELETE FROM audit_leaf WHERE row_id = 'r025'`)
	}, []string{"removed 25-26"}},
	{"removed place", func(h *house) { h.exec(`DELETE FROM audit_leaf WHERE row_id = 'r025'`) }, []string{"removed 25-26", "inserted 0-0 r025"}},
	{"removed before it was sequenced", func(h *house) {
		h.add(2)
		h.exec(`DELETE FROM audit_row WHERE id = 'r061'`)
	}, []string{"removed 0-0 r061"}},
	{"swapped", func(h *house) {
		h.exec(`UPDATE audit_leaf SET row_id = 'x' WHERE seq = 21`, `UPDATE audit_leaf SET row_id = 'r021' WHERE seq = 30`, `UPDATE audit_leaf SET row_id = 'r030' WHERE seq = 21`)
	}, []string{"reordered 21-22 r030", "reordered 30-31 r021"}},
	{"swapped, hashes with them", func(h *house) {
		h.exec(`UPDATE audit_leaf SET row_id = 'x' WHERE seq = 21`, `UPDATE audit_leaf SET row_id = 'r021' WHERE seq = 30`, `UPDATE audit_leaf SET row_id = 'r030' WHERE seq = 21`)
		rehash(h)
	}, []string{"reordered 21-22 r030", "reordered 30-31 r021"}},
	{"inserted, past the log", func(h *house) {
		h.add(1)
		h.exec(`DELETE FROM audit_unsequenced`)
	}, []string{"inserted 0-0 r061"}},
	{"inserted into the log", func(h *house) {
		h.exec(shift("audit_leaf", "seq", "25", 1)...)
		h.exec(`INSERT INTO audit_row SELECT 'x1', seq, at, actor, actor_kind, 'login', org, object, outcome, reason, policy_hash, detail, '' FROM audit_row WHERE id = 'r024'`,
			`DELETE FROM audit_unsequenced`, `INSERT INTO audit_leaf (seq, row_id, version, hash) SELECT 25, 'x1', 1, hash FROM audit_leaf WHERE seq = 24`)
		rehash(h)
	}, []string{"inserted 25-26 x1"}},
	{"added at the end", func(h *house) {
		h.add(1)
		h.exec(`DELETE FROM audit_unsequenced`, `INSERT INTO audit_leaf (seq, row_id, version, hash) SELECT 61, 'r061', 1, hash FROM audit_leaf WHERE seq = 24`)
		rehash(h)
	}, []string{"inserted 61-62 r061"}},
	{"stored hash of a leaf", func(h *house) {
		h.exec(`UPDATE audit_leaf SET hash = (SELECT hash FROM audit_leaf WHERE seq = 9) WHERE seq = 8`)
	}, []string{"hash 8-9 r008"}},
	{"stored hash of a node", func(h *house) {
		h.exec(`UPDATE audit_node SET hash = (SELECT hash FROM audit_node WHERE level = 1 AND n = 2) WHERE level = 1 AND n = 12`)
	}, []string{"hash 20-33"}},
	{"changed, and all hashes", func(h *house) {
		h.exec(`UPDATE audit_row SET outcome = 'refused' WHERE id = 'r010'`)
		rehash(h)
	}, []string{"rewritten 7-20"}},
	{"removed, and all places and hashes", func(h *house) {
		h.exec(`DELETE FROM audit_row WHERE id = 'r035'`, `DELETE FROM audit_leaf WHERE row_id = 'r035'`)
		h.exec(shift("audit_leaf", "seq", "35", -1)...)
		rehash(h)
	}, []string{"rewritten 33-40", "cut 60-61"}},
	{"tail cut", func(h *house) {
		h.exec(`DELETE FROM audit_row WHERE id >= 'r055'`, `DELETE FROM audit_leaf WHERE seq >= 55`)
	}, []string{"cut 55-61"}},
	{"forged checkpoint", func(h *house) {
		h.exec(`UPDATE audit_checkpoint SET note = replace(note, 'previous 7', 'previous 6') WHERE size = 20`)
	}, []string{"forged 7-20"}},
	{"checkpoint by another key", func(h *house) {
		text := texts(h, `SELECT note FROM audit_checkpoint WHERE size = 20`)[0]
		text, _, _ = strings.Cut(text, "\n\n")
		h.exec(`UPDATE audit_checkpoint SET note = '` + forge(h, text+"\n") + `' WHERE size = 20`)
	}, []string{"forged 7-20"}},
	{"checkpoint moved", func(h *house) {
		h.exec(`DELETE FROM audit_checkpoint WHERE size = 33`, `UPDATE audit_checkpoint SET size = 33 WHERE size = 20`)
	}, []string{"forged 7-33"}},
	{"checkpoint removed", func(h *house) { h.exec(`DELETE FROM audit_checkpoint WHERE size = 33`) }, []string{"checkpoint 20-33"}},
	{"keys replaced", func(h *house) { h.exec(`DELETE FROM signing_key`) }, []string{
		"forged 0-7", "forged 7-20", "forged 20-33", "forged 33-40", "forged 40-61", "inserted 0-61 r000",
	}},
}

func faults(rep audit.Report) (out []string) {
	for _, f := range rep.Faults {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %d-%d %s", f.Kind, f.From, f.Until, f.Row)))
	}
	slices.Sort(out)
	return out
}

func TestVerifyNamesTampering(t *testing.T) {
	tables.Each(t, func(t *testing.T, first *sqldb.DB) {
		for i, tc := range tampering {
			t.Run(tc.name, func(t *testing.T) {
				db := first
				if i > 0 {
					db = tables.Open(t, first.Engine())
				}
				h := newHouse(t, db)
				h.fill(7, 13, 13, 7, 21)
				dropTriggers(h)
				tc.change(h)
				rep := h.verify(audit.VerifyOptions{})
				want := slices.Clone(tc.want)
				slices.Sort(want)
				if got := faults(rep); !slices.Equal(got, want) {
					t.Errorf("got %q, want %q\n%+v", got, want, rep.Faults)
				}
			})
		}
	})
}

// TestKeptCheckpoints holds what only a checkpoint kept elsewhere shows: a tail that was cut with its checkpoints, and a log that
// was made anew by whoever has the signing key.
func TestKeptCheckpoints(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db)
		var kept []audit.Kept
		for _, n := range []int{7, 13, 13, 7} {
			h.fill(n)
			kept = append(kept, audit.Kept{Name: fmt.Sprintf("of %d", h.count), Note: h.checkpointFile()})
		}
		if rep := h.verify(audit.VerifyOptions{Kept: kept}); !rep.OK() || rep.Kept != 4 {
			t.Fatalf("%+v", rep)
		}
		dropTriggers(h)
		h.exec(`DELETE FROM audit_row WHERE id >= 'r033'`, `DELETE FROM audit_leaf WHERE seq >= 33`, `DELETE FROM audit_checkpoint WHERE size > 33`, `DELETE FROM audit_node`)
		rehash(h)
		if rep := h.verify(audit.VerifyOptions{}); !rep.OK() {
			t.Errorf("a cut tail shows without a checkpoint from elsewhere: %+v", rep)
		}
		rep := h.verify(audit.VerifyOptions{Kept: kept})
		if got := faults(rep); !slices.Equal(got, []string{"cut 33-40"}) || rep.Kept != 3 {
			t.Errorf("%q, %+v", got, rep)
		}
		// From row 10 on the log is made anew, with the hub's own key.
		h.exec(`DELETE FROM audit_leaf WHERE seq >= 7`, `DELETE FROM audit_checkpoint WHERE size > 7`, `DELETE FROM audit_unsequenced`,
			`UPDATE audit_row SET outcome = 'refused' WHERE id = 'r010'`, `INSERT INTO audit_unsequenced SELECT id FROM audit_row WHERE id >= 'r007'`)
		rehash(h)
		h.log = h.node("node-1", h.clock, "")
		h.tick()
		if rep := h.verify(audit.VerifyOptions{}); !rep.OK() || rep.Rows != 33 {
			t.Errorf("%+v", rep)
		}
		rep = h.verify(audit.VerifyOptions{Kept: kept})
		if got := faults(rep); !slices.Equal(got, []string{"cut 33-40", "rewritten 7-20", "rewritten 7-33"}) || rep.Kept != 1 {
			t.Errorf("%q, %+v", got, rep)
		}
		// Everything is gone.
		for _, table := range []string{"audit_row", "audit_leaf", "audit_node", "audit_checkpoint", "audit_log", "audit_unsequenced", "audit_personal"} {
			h.exec("DELETE FROM " + table)
		}
		rep = h.verify(audit.VerifyOptions{Kept: kept[:1]})
		if got := faults(rep); !slices.Equal(got, []string{"cut 0-7"}) {
			t.Errorf("%q", got)
		}
		other := newHouse(t, tables.Open(t, sqldb.SQLite))
		other.fill(1)
		if got := faults(other.verify(audit.VerifyOptions{Kept: kept[:1]})); !slices.Equal(got, []string{"forged 0-0"}) {
			t.Errorf("a checkpoint of another log: %q", got)
		}
	})
}
