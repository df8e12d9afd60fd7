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
	var acknowledged [2]int
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
			person, path, token := userDoc(round*100_000+n), scimRoot, scimToken
			if n%2 == 1 { // one after the other, in the directory and in the workspace
				person, path, token = slackUserDoc(round*100_000+n), slackScim, slackAdmin
			}
			raw, _ := json.Marshal(person)
			req, err := http.NewRequest("POST", "http://"+address+path+"/Users", bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+token)
			resp, err := client.Do(req)
			if err != nil {
				break // killed
			}
			resp.Body.Close()
			if resp.StatusCode != 201 {
				t.Fatalf("status %d", resp.StatusCode)
			}
			acknowledged[n%2]++
		}
		<-stop
		_ = child.Wait() // killed: its error is wanted
	}
	f := newFixture(t, func(o *sandbox.Options) { o.Dir = dir })
	for i, app := range []string{"atlassian", "slack"} {
		c, _ := f.s.Counts(app)
		there := c.Accounts - i                                                           // the workspace has an owner
		if acknowledged[i] == 0 || there < acknowledged[i] || there > acknowledged[i]+3 { // at most one unanswered in each round
			t.Errorf("%s: %d accounts are there, %d were acknowledged", app, there, acknowledged[i])
		}
		t.Logf("%s: %d acknowledged, %d there", app, acknowledged[i], there)
	}
}
