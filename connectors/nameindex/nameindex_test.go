package nameindex_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/connectors/nameindex"
)

// vendor is a list that can be counted.
type vendor struct {
	names map[string]string // id -> name
	lists int
	slow  time.Duration
	err   error
}

func (v *vendor) list(found func(name, id string)) error {
	v.lists++
	for id, name := range v.names {
		found(name, id)
	}
	time.Sleep(v.slow)
	return v.err
}

func TestIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{names: map[string]string{"1": "a", "2": "b", "3": "b"}}
		x := nameindex.New(time.Now, time.Minute)
		want := func(name string, lists int, ids ...string) {
			t.Helper()
			got, err := x.Lookup(t.Context(), name, v.list)
			if err != nil || !slices.Equal(got, ids) || v.lists != lists {
				t.Errorf("%s: %v (%v) after %d lists, want %v after %d", name, got, err, v.lists, ids, lists)
			}
		}
		if got := x.Hint("a"); len(got) != 0 {
			t.Errorf("a hint of nothing: %v", got)
		}
		want("a", 1, "1")
		want("b", 1, "2", "3")
		want("c", 1)
		v.names["4"] = "c"
		want("c", 1) // missed, within the declared time
		x.Forget()
		want("c", 2, "4")
		time.Sleep(61 * time.Second)
		if got := x.Hint("a"); !slices.Equal(got, []string{"1"}) {
			t.Errorf("the hint is gone: %v", got)
		}
		delete(v.names, "1")
		want("a", 3)
		x.Add("d", "5")
		x.Add("d", "5")
		want("d", 3, "5")
		x.Drop("d", "5")
		want("d", 3)
		x.Forget()
		v.err = errors.New("down")
		if _, err := x.Lookup(t.Context(), "zz", v.list); !errors.Is(err, v.err) {
			t.Errorf("the list's error is lost: %v", err)
		}
	})
}

func TestManyAskOneLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{names: map[string]string{"1": "a"}, slow: time.Second}
		x := nameindex.New(time.Now, time.Minute)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if got, err := x.Lookup(t.Context(), "a", v.list); err != nil || len(got) != 1 {
					t.Errorf("%v, %v", got, err)
				}
			})
		}
		time.Sleep(time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := x.Lookup(ctx, "a", v.list); err == nil {
			t.Error("a caller who gave up waited on")
		}
		x.Add("new", "2") // made while the list is read
		wg.Wait()
		if got, _ := x.Lookup(t.Context(), "new", v.list); !slices.Equal(got, []string{"2"}) || v.lists != 1 {
			t.Errorf("%v after %d lists", got, v.lists)
		}
	})
}

// A write whose answer was lost while the list was read makes the list worthless for absence.
func TestForgetDuringAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{names: map[string]string{}, slow: time.Second}
		x := nameindex.New(time.Now, time.Minute)
		go func() { time.Sleep(time.Millisecond); x.Forget() }()
		_, _ = x.Lookup(t.Context(), "a", v.list)
		v.names["1"] = "a"
		if got, _ := x.Lookup(t.Context(), "a", v.list); !slices.Equal(got, []string{"1"}) {
			t.Errorf("believed absent: %v", got)
		}
	})
}
