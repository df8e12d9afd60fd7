package keylock

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneAtATimeForEachName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Locks
		var wg sync.WaitGroup
		start := time.Now()
		inside, most := 0, 0
		for range 5 {
			wg.Go(func() {
				release, err := l.Lock(t.Context(), "a")
				if err != nil {
					t.Error(err)
					return
				}
				inside++
				most = max(most, inside)
				time.Sleep(time.Second)
				inside--
				release()
				release() // a second time does nothing
			})
		}
		other, err := l.Lock(t.Context(), "b")
		if err != nil || time.Since(start) != 0 {
			t.Errorf("another name waited %v: %v", time.Since(start), err)
		}
		other()
		wg.Wait()
		if took := time.Since(start); most != 1 || took != 5*time.Second || len(l.held) != 0 {
			t.Errorf("%d at once, %v in all, %d names kept", most, took, len(l.held))
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Locks
		release, err := l.Lock(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Lock(ctx, "a"); err == nil {
			t.Error("two hold the name")
		}
		if _, err := l.Lock(ctx, "free"); err == nil {
			t.Error("a caller who had given up got a lock")
		}
		release()
		again, err := l.Lock(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		again()
		if len(l.held) != 0 {
			t.Errorf("%d names kept", len(l.held))
		}
	})
}
