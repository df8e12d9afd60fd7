package jobs_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// soak reports whether there is time: make soak sets the variable.
func soak() bool { return os.Getenv("MUSUBI_SOAK") == "1" }

const firmChild = "MUSUBI_JOBS_TEST_FIRM"

// TestFirmThatIsKilled isn't a test by itself: TestChaosKill runs this binary again with only it, and kills it.
func TestFirmThatIsKilled(t *testing.T) {
	url, dir := os.Getenv(firmChild+"_URL"), os.Getenv(firmChild+"_DIR")
	if url == "" {
		t.Skip("run by TestChaosKill")
	}
	f := openFirm(t, url, dir, nil)
	if _, err := f.db.LockServing(); err != nil {
		t.Fatal(err)
	}
	f.start()
	if err := f.orders(os.Getenv(firmChild+"_ROUND"), 60); err != nil {
		t.Fatal(err)
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
}

// open gives the steps that were begun and not ended when the process was last killed.
func (f *firm) open() map[string]bool {
	f.t.Helper()
	open := map[string]bool{}
	for _, l := range f.journal(0) {
		verb, what, _ := strings.Cut(l, " ")
		switch verb {
		case "begin":
			open[what] = true
		case "end", "fail":
			delete(open, what)
		}
	}
	return open
}

// TestChaosKill kills a working process with kill -9 ten times, a hundred in make soak, at random moments, and starts it again.
func TestChaosKill(t *testing.T) {
	rounds := 10
	if soak() {
		rounds = 100
	}
	sqldbtest.EachURL(t, func(t *testing.T, url string) {
		dir := t.TempDir()
		watch := openFirm(t, url, dir, nil) // never started: it only looks
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0)) // #nosec G404 -- when to kill
		interrupted := 0
		var slowest time.Duration
		for round := range rounds {
			open := watch.open()
			at := len(watch.journal(0))
			began := time.Now()
			child := exec.Command(os.Args[0], "-test.run=^TestFirmThatIsKilled$") // #nosec G204 -- this very binary
			child.Env = append(os.Environ(), firmChild+"_URL="+url, firmChild+"_DIR="+dir, fmt.Sprintf("%s_ROUND=r%d", firmChild, round))
			child.Stderr = os.Stderr
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			took, ok := watch.takesUp(open, at, began)
			if len(open) > 0 {
				interrupted++
				slowest = max(slowest, took)
			}
			if !ok {
				t.Errorf("round %d: %d interrupted steps, none taken up within %s of the start", round, len(open), took)
			}
			time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			var ended *exec.ExitError
			if err := child.Wait(); !errors.As(err, &ended) || ended.ExitCode() != -1 {
				t.Fatalf("round %d: the process wasn't killed but ended by itself: %v", round, err)
			}
			watch.note("kill %d", round)
		}
		watch.start()
		watch.idle(time.Minute)
		watch.stop()
		orders, repeated := watch.audit()
		t.Logf("%d kills, %d of them with steps under way: %d orders done, %d steps repeated, taken up after at most %s",
			rounds, interrupted, orders, repeated, slowest.Round(time.Millisecond))
		if interrupted < rounds/2 || orders < rounds {
			t.Errorf("too little happened: %d interruptions, %d orders", interrupted, orders)
		}
	})
}

// takesUp waits until one of the steps, or any if there are none, is begun after line at.
func (f *firm) takesUp(steps map[string]bool, at int, began time.Time) (took time.Duration, ok bool) {
	f.t.Helper()
	for took = 0; took < resumed; took = time.Since(began) {
		for _, l := range f.journal(at) {
			if what, isBegin := strings.CutPrefix(l, "begin "); isBegin && (len(steps) == 0 || steps[what]) {
				return time.Since(began), true
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return took, false
}

// TestChaosServer crashes PostgreSQL three times under work, ten times in make soak: for a moment, and for longer than River
// tries to store a result.
func TestChaosServer(t *testing.T) {
	srv := sqldbtest.Own(t, "")
	f := openFirm(t, srv.URL(), t.TempDir(), nil)
	f.start()
	defer f.stop()
	downs := []time.Duration{100 * time.Millisecond, 2 * time.Second, 8 * time.Second}
	if soak() {
		for i := range 7 {
			downs = append(downs, time.Duration(i*i)*200*time.Millisecond)
		}
	}
	for i, down := range downs {
		if err := f.orders(fmt.Sprintf("s%d", i), 60); err != nil {
			t.Fatal(err)
		}
		f.moves(len(f.journal(0)), resumed)
		srv.Crash(t)
		time.Sleep(down)
		at := len(f.journal(0))
		srv.Up(t)
		took := f.moves(at, resumed)
		t.Logf("down for %s: the next step was done %s after the server was up", down, took.Round(time.Millisecond))
	}
	f.idle(time.Minute)
	orders, repeated := f.audit()
	if want := 60 * len(downs); orders != want || repeated != 0 {
		t.Errorf("%d orders, %d steps repeated; want %d and none", orders, repeated, want)
	}
}

// smallDisk gives a folder on a file system of the given size in MB, which only root can make.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a full disk isn't tested: only root can mount a small one")
	}
	dir, err := os.MkdirTemp("", "musubi-disk-") // unlike t.TempDir, readable by the user that PostgreSQL runs as
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // #nosec G302 -- the mount point of a test
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0755", size)); err != nil {
		if os.Getenv("CI") == "true" && !errors.Is(err, syscall.EPERM) {
			t.Fatalf("mount a small disk: %v", err)
		}
		t.Skipf("a full disk isn't tested: a small one can't be mounted here: %v (a container needs CAP_SYS_ADMIN for it)", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount the small disk: %v", err)
		}
	})
	return dir
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	_ = f.Close()
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk should be full: %v", err)
	}
}

// TestChaosDisk fills the database's disk under work. Whoever wants something new is refused; what was accepted is done once
// there is room again, without a restart of the hub.
func TestChaosDisk(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		dir := smallDisk(t, 8)
		chaosDisk(t, dir, "sqlite:"+filepath.Join(dir, "musubi.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		dir := smallDisk(t, 160)
		data := filepath.Join(dir, "data")
		if err := os.Mkdir(data, 0o700); err != nil {
			t.Fatal(err)
		}
		chaosDisk(t, dir, sqldbtest.Own(t, data).URL())
	})
}

func chaosDisk(t *testing.T, disk, url string) {
	t.Helper()
	f := openFirm(t, url, t.TempDir(), nil)
	f.start()
	defer f.stop()
	const rounds = 3
	accepted := 0
	for i := range rounds {
		if err := f.orders(fmt.Sprintf("d%d", i), 60); err != nil {
			t.Fatal(err)
		}
		f.moves(len(f.journal(0)), resumed)
		filler := filepath.Join(disk, "filler")
		fill(t, filler)
		refused := false
		for k := 0; k < 5000 && !refused; k++ { // there may be room left in pages and logs that are there
			if refused = f.orders(fmt.Sprintf("full%d.%d", i, k), 1) != nil; !refused {
				accepted++
			}
		}
		if !refused {
			t.Error("thousands of orders were taken on a full disk")
		}
		time.Sleep(time.Duration(i) * time.Second)
		at := len(f.journal(0))
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		took := f.moves(at, resumed)
		t.Logf("the next step was done %s after there was room", took.Round(time.Millisecond))
	}
	f.idle(2 * time.Minute)
	orders, repeated := f.audit()
	if want := 60*rounds + accepted; orders != want || repeated != 0 {
		t.Errorf("%d orders, %d steps repeated; want %d and none", orders, repeated, want)
	}
}
