package oidcop_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

const (
	callers = 32  // connections, each with one request at a time
	chunk   = 500 // requests to one server before the other's turn
)

// BenchmarkClientCredentials is an ES256 JWT access token by client credentials over HTTP on loopback, with its audit row committed to disk,
// for 32 callers at a time; in the same run and turn about the same of npm oidc-provider with its in-memory adapter, where node and
// deploy/interop/node_modules are there. Both are called by the same generator, which runs on the same cores.
func BenchmarkClientCredentials(b *testing.B) {
	for _, how := range []string{"basic", "assertion"} {
		b.Run(how, func(b *testing.B) {
			sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
				h := newHouse(b, db)
				other, err := h.registry.Party(b.Context(), db.Reader(), "other")
				must(b, err)
				face := []party.Face{{Network: policies.NetworkInternet, Resources: []party.Resource{{URI: records, Scopes: []string{"records:read", "records:write"}}}}}
				h.register(party.Party{ID: "basic", Auth: party.AuthSecretBasic, Secrets: other.Secrets, Alg: jose.ES256, Faces: face})
				h.register(party.Party{ID: "assertion", Auth: party.AuthPrivateKeyJWT, Alg: jose.ES256, Faces: face})
				server := httptest.NewServer(h.handler[policies.NetworkInternet])
				b.Cleanup(server.Close)
				sides := []*side{{name: "ours", address: server.Listener.Addr().String(), host: issuer, path: "/oidc/token", now: h.now}}
				if peer := startPeer(b, h); peer != nil {
					sides = append(sides, peer)
				}
				for _, s := range sides {
					s.secret, s.how, s.house = h.secret, how, h
					s.load(b, 4*chunk) // the other runtime compiles what is hot
					s.took, s.own, s.times = 0, 0, nil
				}
				var before float64
				if len(sides) == 2 {
					before = sides[1].spent()
				}
				for b.Loop() {
					for _, s := range sides {
						s.load(b, chunk)
					}
				}
				for _, s := range sides {
					s.report(b)
				}
				if len(sides) == 2 {
					b.ReportMetric(sides[0].rate()/sides[1].rate(), "ours/theirs")
					// While the other works this process only asks: so much of its time is the generator's when it answers itself, too.
					n := float64(len(sides[0].times)) / 1e6
					b.ReportMetric((sides[0].own-sides[1].own)/n, "ours-cpu-us")
					b.ReportMetric((sides[1].spent()-before)/n, "theirs-cpu-us")
				}
				if n := h.granted(); n != 4*chunk+len(sides[0].times) {
					b.Errorf("%d audit rows for %d tokens", n, 4*chunk+len(sides[0].times))
				}
			})
		})
	}
}

// side is one of the servers that are compared.
type side struct {
	name, address, host, path string
	now                       func() time.Time
	secret, how               string
	house                     *house

	took  time.Duration
	own   float64        // seconds of processor time of this process meanwhile
	spent func() float64 // seconds of processor time of the other's process until now; nil for ours
	times []time.Duration
	next  atomic.Int64
}

// request is one request, as bytes.
func (s *side) request(b *testing.B) []byte {
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"records:read"}}
	header := ""
	if s.how == "basic" {
		header = "Authorization: " + basic("basic", s.secret) + "\r\n"
	} else {
		now := s.now().Unix()
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", signed(b, s.house.key, jose.ES256, "k1", map[string]any{
			"iss": "assertion", "sub": "assertion", "aud": s.host, "iat": now, "exp": now + 60, "jti": fmt.Sprint(s.name, s.next.Add(1)),
		}))
	}
	body := form.Encode()
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n%sContent-Length: %d\r\n\r\n%s",
		s.path, strings.TrimPrefix(s.host, "https://"), header, len(body), body)
}

// load sends n requests and adds what they took. They are made before the clock runs.
func (s *side) load(b *testing.B, n int) {
	b.Helper()
	requests := make([][]byte, n)
	for i := range requests {
		requests[i] = s.request(b)
	}
	times := make([]time.Duration, n)
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	began, own := time.Now(), cpu(b)
	for range min(callers, n) {
		wg.Go(func() {
			if err := s.call(requests, times, &next); err != nil {
				failed.Store(&err)
			}
		})
	}
	wg.Wait()
	s.took += time.Since(began)
	s.own += cpu(b) - own
	if err := failed.Load(); err != nil {
		b.Fatalf("%s: %v", s.name, *err)
	}
	s.times = append(s.times, times...)
}

// call sends requests over one connection until there are none.
func (s *side) call(requests [][]byte, times []time.Duration, next *atomic.Int64) error {
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	body := make([]byte, 4096)
	for i := next.Add(1) - 1; i < int64(len(requests)); i = next.Add(1) - 1 {
		began := time.Now()
		if _, err := conn.Write(requests[i]); err != nil {
			return err
		}
		if err := readAnswer(r, body); err != nil {
			return err
		}
		times[i] = time.Since(began)
	}
	return nil
}

// readAnswer reads an answer that must be a token. It is small, so that the generator takes little of the cores that it shares.
func readAnswer(r *bufio.Reader, body []byte) error {
	status, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	ok, length := bytes.HasPrefix(status, []byte("HTTP/1.1 200")), -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length < 0 || length > len(body) {
		return fmt.Errorf("an answer of %d bytes", length)
	}
	if _, err := io.ReadFull(r, body[:length]); err != nil {
		return err
	}
	if !ok || !bytes.Contains(body[:length], []byte(`"access_token"`)) {
		return fmt.Errorf("answered %s", body[:length])
	}
	return nil
}

func (s *side) rate() float64 { return float64(len(s.times)) / s.took.Seconds() }

func (s *side) report(b *testing.B) {
	slices.Sort(s.times)
	b.ReportMetric(s.rate(), s.name+"/s")
	b.ReportMetric(milliseconds(percentile(s.times, 50)), s.name+"-p50-ms")
	b.ReportMetric(milliseconds(percentile(s.times, 99)), s.name+"-p99-ms")
}

// percentile of sorted times.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// startPeer starts npm oidc-provider and checks that what it gives is what we give; nil where it can't be had here.
func startPeer(b *testing.B, h *house) *side {
	b.Helper()
	folder := filepath.Join("..", "..", "deploy", "interop")
	if _, err := exec.LookPath("node"); err != nil {
		b.Log("no comparison with oidc-provider: node isn't installed")
		return nil
	}
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "oidc-provider")); err != nil {
		b.Log("no comparison with oidc-provider: run npm ci --ignore-scripts in deploy/interop")
		return nil
	}
	const host = "https://peer.example"
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: h.key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	must(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, "node", "oidc-provider.mjs")
	command.Dir = folder
	command.Env = append(os.Environ(), "NODE_ENV=production", "ISSUER="+host, "RESOURCE="+records, "SCOPE=records:read records:write", "SECRET="+h.secret, "JWKS="+string(set))
	stdin, err := command.StdinPipe()
	must(b, err)
	stdout, err := command.StdoutPipe()
	must(b, err)
	must(b, command.Start())
	b.Cleanup(func() {
		stdin.Close()
		_ = command.Wait()
		cancel()
	})
	var ready struct {
		Port int               `json:"port"`
		Keys []jose.JSONWebKey `json:"keys"`
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	must(b, err)
	must(b, json.Unmarshal(line, &ready))
	s := &side{name: "theirs", address: fmt.Sprint("127.0.0.1:", ready.Port), host: host, path: "/token", now: time.Now, how: "basic", secret: h.secret, house: h}
	s.spent = func() float64 { return spent(b, command.Process.Pid) }
	must(b, s.same(b, ready.Keys))
	return s
}

// spent gives the seconds of processor time that another process has used (proc(5), fields 14 and 15 of stat, in hundredths).
func spent(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(b, err)
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, err := strconv.ParseFloat(fields[11], 64)
	must(b, err)
	system, err := strconv.ParseFloat(fields[12], 64)
	must(b, err)
	return (user + system) / 100
}

// same reports what of the other's token isn't as ours.
func (s *side) same(b *testing.B, keys []jose.JSONWebKey) error {
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write(s.request(b)); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var body struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		return err
	}
	jws, err := jose.ParseSignedCompact(body.Token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return fmt.Errorf("no ES256 JWT: %w", err)
	}
	payload, err := jws.Verify(keys[0])
	if err != nil {
		return err
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		return err
	}
	if typ := jws.Signatures[0].Protected.ExtraHeaders[jose.HeaderType]; typ != "at+jwt" || claims["aud"] != records || claims["scope"] != "records:read" || claims["jti"] == "" {
		return errors.New("another kind of token: " + string(payload))
	}
	return nil
}
