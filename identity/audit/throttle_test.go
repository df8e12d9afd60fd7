package audit_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/musubi-hub/musubi/identity/audit"
)

func TestThrottle(t *testing.T) {
	throttle := audit.Throttle{PerSecond: 3}
	const second = 1_000_000
	for n, want := range []bool{true, true, true, false, false} {
		if missed, ok := throttle.Take("a", 10*second); ok != want || missed != 0 {
			t.Errorf("row %d: %d, %t", n, missed, ok)
		}
	}
	if missed, ok := throttle.Take("b", 10*second); !ok || missed != 0 {
		t.Errorf("another kind: %d, %t", missed, ok)
	}
	if missed, ok := throttle.Take("a", 11*second); !ok || missed != 2 {
		t.Errorf("the next second: %d, %t", missed, ok)
	}
	if missed, ok := throttle.Take("a", 11*second); !ok || missed != 0 {
		t.Errorf("told twice: %d, %t", missed, ok)
	}
	// However many kinds there are, the memory is bounded; and one second's rows are, too.
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for k := range 20_000 {
				throttle.Take(fmt.Sprint(n, k), 12*second)
				throttle.Take("same", 12*second)
			}
		})
	}
	all.Wait()
	if missed, ok := throttle.Take("same", 13*second); !ok || missed != 4*20_000-3 {
		t.Errorf("of many at once %d weren't appended, %t", missed, ok)
	}
}
