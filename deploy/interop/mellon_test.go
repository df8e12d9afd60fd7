//go:build interop

package interop_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

// mellonConfig is a private Apache with one page behind mod_auth_mellon, which shows whom it let in.
const mellonConfig = `
ServerRoot "%[1]s"
PidFile "%[1]s/pid"
ServerName localhost:%[2]s
Listen 127.0.0.1:%[2]s
Mutex file:%[1]s/run
ErrorLog "%[1]s/error.log"
DocumentRoot "%[1]s/pages"
%[3]s
%[4]s
SSLEngine on
SSLCertificateFile "%[5]s"
SSLCertificateKeyFile "%[6]s"
MellonLockFile "%[1]s/run/mellon.lock"
<Location />
  Require all granted
  MellonEndpointPath /mellon
  MellonSPPrivateKeyFile "%[6]s"
  MellonSPCertFile "%[5]s"
  MellonIdPMetadataFile "%[1]s/idp.xml"
  MellonSignatureMethod rsa-sha256
  MellonSecureCookie On
  MellonVariable musubi
  MellonEnable info
</Location>
<Location /secret>
  MellonEnable auth
  Require valid-user
  Header set X-Name-ID "%%{MELLON_NAME_ID}e"
  Header set X-Mail "%%{MELLON_mail}e"
  Header set X-Name "%%{MELLON_displayName}e"
</Location>
`

// startMellon starts it in a folder of its own and gives its address and a client that trusts it and the hub.
func startMellon(t *testing.T, h *samlHub) (address string, client *http.Client) {
	t.Helper()
	const modules = "/usr/lib/apache2/modules/"
	apache, err := exec.LookPath("apache2")
	if err != nil {
		apache = "/usr/sbin/apache2"
	}
	for _, needed := range []string{apache, modules + "mod_auth_mellon.so"} {
		if _, err := os.Stat(needed); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s isn't there: run deploy/ci/setup.sh", needed)
			}
			t.Skipf("%s isn't there: run deploy/ci/setup.sh", needed)
		}
	}
	dir, err := os.MkdirTemp("", "musubi-mellon-") // the test's own folder is closed to others
	noError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	noError(t, os.Chmod(dir, 0o755))
	for _, d := range []string{"run", "pages"} {
		noError(t, os.Mkdir(filepath.Join(dir, d), 0o777))
		noError(t, os.Chmod(filepath.Join(dir, d), 0o777)) // its workers may be somebody else
	}
	noError(t, os.WriteFile(filepath.Join(dir, "pages", "secret"), []byte("in"), 0o644))
	metadata, err := h.provider.Metadata(t.Context(), policies.NetworkInternet)
	noError(t, err)
	noError(t, os.WriteFile(filepath.Join(dir, "idp.xml"), metadata, 0o644))
	der, key, certificate := ownKey(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	noError(t, err)
	noError(t, listener.Close())
	var load strings.Builder
	for _, m := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "headers", "socache_shmcb", "ssl", "auth_mellon"} {
		fmt.Fprintf(&load, "LoadModule %s_module %smod_%s.so\n", m, modules, m)
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "User www-data\nGroup www-data"
	}
	file := filepath.Join(dir, "apache.conf")
	noError(t, os.WriteFile(file, fmt.Appendf(nil, mellonConfig, dir, port, load.String(), user, certificate, key), 0o644))
	command := exec.CommandContext(t.Context(), apache, "-DFOREGROUND", "-f", file)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	out := &lockedBuffer{}
	command.Stdout, command.Stderr = out, out
	noError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		_ = command.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Logf("apache wrote:\n%s\n%s", out.String(), log)
		}
	})
	roots := x509.NewCertPool()
	own, err := x509.ParseCertificate(der)
	noError(t, err)
	roots.AddCert(own)
	hubs, err := os.ReadFile(h.tls)
	noError(t, err)
	roots.AppendCertsFromPEM(hubs)
	jar, err := cookiejar.New(nil)
	noError(t, err)
	client = &http.Client{
		Jar: jar, Timeout: peerTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	}
	address = "https://localhost:" + port
	for deadline := time.Now().Add(peerTimeout); ; time.Sleep(50 * time.Millisecond) {
		if answer, err := client.Get(address + "/"); err == nil {
			answer.Body.Close()
			return address, client
		} else if time.Now().After(deadline) {
			t.Fatalf("apache doesn't answer: %v", err)
		}
	}
}

// TestMellon has mod_auth_mellon, which is lasso and xmlsec in C, log in: it reads our metadata, we read its own; it signs its request, and checks the
// response and the encrypted assertion.
func TestMellon(t *testing.T) {
	h := startSAMLHub(t)
	address, client := startMellon(t, h)
	read := func(answer *http.Response, err error) (*http.Response, string) {
		t.Helper()
		noError(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		noError(t, err)
		return answer, string(body)
	}
	_, document := read(client.Get(address + "/mellon/metadata"))
	metadata, err := sp.ReadMetadata([]byte(document), time.Now().UnixMicro(), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	p := metadata.Draft(policies.NetworkInternet)
	p.ID, p.Name, p.Sector, p.Least = "mellon", "mod_auth_mellon", "mellon.example", policies.AssuranceTwo
	p.Attributes = []sp.Attribute{{Field: sp.FieldEmail, Name: "mail"}, {Field: sp.FieldFamilyRomaji, Name: "displayName"}}
	if !p.Signed || !p.Encrypt || p.NameID != sp.NameIDTransient || len(p.Faces[0].Logout) == 0 {
		t.Fatalf("its metadata is read as %+v", p)
	}
	by, err := access.BreakGlass("operator")
	noError(t, err)
	noError(t, h.registry.Add(t.Context(), by, p, 1))

	asked, _ := read(client.Get(address + "/secret"))
	for range 3 { // to its own login page, and on to ours
		if next := asked.Header.Get("Location"); next != "" && !strings.HasPrefix(next, h.origin) {
			asked, _ = read(client.Get(next))
		}
	}
	to, err := url.Parse(asked.Header.Get("Location"))
	noError(t, err)
	if !strings.HasPrefix(to.String(), h.origin+"/saml/sso?") || to.Query().Get("Signature") == "" {
		t.Fatalf("it sends the browser to %s", to)
	}
	_, body := read(client.Get(to.String()))
	var form struct {
		To   string            `json:"to"`
		Form map[string]string `json:"form"`
	}
	if err := json.Unmarshal([]byte(body), &form); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	values := url.Values{}
	for k, v := range form.Form {
		values.Set(k, v)
	}
	back, body := read(client.PostForm(form.To, values))
	if back.StatusCode != http.StatusSeeOther || !slices.Contains([]string{address + "/secret", "/secret"}, back.Header.Get("Location")) {
		t.Fatalf("it answers %d, to %s\n%s", back.StatusCode, back.Header.Get("Location"), body)
	}
	in, body := read(client.Get(address + "/secret"))
	if in.StatusCode != http.StatusOK || body != "in" || len(in.Header.Get("X-Name-ID")) != 41 || in.Header.Get("X-Mail") != "ichiro@city.example" {
		t.Errorf("%d %q %v", in.StatusCode, body, in.Header)
	}
	// The same answer again, and a forged one.
	client.Jar, err = cookiejar.New(nil)
	noError(t, err)
	if again, _ := read(client.PostForm(form.To, values)); again.StatusCode == http.StatusSeeOther {
		t.Error("it takes an answer to a request of another browser")
	}
}
