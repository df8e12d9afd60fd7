package sandbox_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox"
)

const childDir = "MUSUBI_SANDBOX_TEST_DIR"

// TestChildServes is the process that TestKill kills; on its own it does nothing.
func TestChildServes(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("only for TestKill")
	}
	opt := testOptions(newClock())
	opt.Dir = dir
	s, err := sandbox.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("listening", l.Addr())
	t.Fatal((&http.Server{Handler: s, ReadHeaderTimeout: time.Second}).Serve(l))
}

// TestKill kills a serving sandbox and looks for every account that it acknowledged.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	client := &http.Client{Timeout: 10 * time.Second}
	acknowledged := 0
	for round := range 3 {
		child := exec.Command(os.Args[0], "-test.run=^TestChildServes$", "-test.count=1")
		child.Env = append(os.Environ(), childDir+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		var address string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if _, err := fmt.Sscanf(lines.Text(), "listening %s", &address); err == nil {
				break
			}
		}
		if address == "" {
			t.Fatal("the sandbox didn't start")
		}
		stop := make(chan struct{})
		time.AfterFunc(time.Duration(40+30*round)*time.Millisecond, func() { _ = child.Process.Kill(); close(stop) })
		for n := 0; ; n++ {
			raw, _ := json.Marshal(userDoc(round*100_000 + n))
			req, err := http.NewRequest("POST", "http://"+address+scimRoot+"/Users", bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+scimToken)
			resp, err := client.Do(req)
			if err != nil {
				break // killed
			}
			resp.Body.Close()
			if resp.StatusCode != 201 {
				t.Fatalf("status %d", resp.StatusCode)
			}
			acknowledged++
		}
		<-stop
		_ = child.Wait() // killed: its error is wanted
	}
	f := newFixture(t, func(o *sandbox.Options) { o.Dir = dir })
	c, _ := f.s.Counts("atlassian")
	if acknowledged == 0 || c.Accounts < acknowledged || c.Accounts > acknowledged+3 { // at most one unanswered in each round
		t.Errorf("%d accounts are there, %d were acknowledged", c.Accounts, acknowledged)
	}
	t.Logf("%d acknowledged, %d there", acknowledged, c.Accounts)
}
