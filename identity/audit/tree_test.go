package audit

import (
	"encoding/binary"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// TestTreeIsTlogs holds that our tree is package tlog's, node by node and root by root; that what is stored lies where tlog looks
// for it, the proofs of exports show on both engines.
func TestTreeIsTlogs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type place struct {
			level int
			n     int64
		}
		stored := map[place]tlog.Hash{}
		reader := tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, err error) {
			for _, i := range indexes {
				level, n := tlog.SplitStoredHashIndex(i)
				h, ok := stored[place{level, n}]
				if !ok {
					t.Fatalf("node %d of level %d isn't there", n, level)
				}
				out = append(out, h)
			}
			return out, nil
		})
		f := &frontier{}
		for range rapid.IntRange(1, 600).Draw(t, "rows") {
			seq := f.n
			h := tlog.RecordHash(binary.BigEndian.AppendUint64(nil, uint64(seq)))
			want, err := tlog.StoredHashesForRecordHash(seq, h, reader)
			if err != nil {
				t.Fatal(err)
			}
			stored[place{0, seq}] = h
			made := 1
			before := f.clone()
			f.add(h, func(level int, n int64, h tlog.Hash) {
				if _, there := stored[place{level, n}]; there || made >= len(want) || want[made] != h {
					t.Errorf("node %d of level %d is wrong or comes twice", n, level)
				}
				stored[place{level, n}] = h
				made++
			})
			root, err := tlog.TreeHash(f.n, reader)
			if err != nil || made != len(want) || f.root() != root || before.n != seq || before.root() == root {
				t.Fatalf("%d rows: %d nodes of %d, root %s, want %s: %v", f.n, made, len(want), f.root(), root, err)
			}
		}
	})
}
