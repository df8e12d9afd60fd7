//go:build interop

package interop_test

import (
	"context"
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

// mellonConfig is a private Apache with pages behind mod_auth_mellon, which show whom it let in.
const mellonConfig = `
ServerRoot "%[1]s"
PidFile "%[1]s/pid"
ServerName %[7]s:%[2]s
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
  MellonSPPrivateKeyFile "%[9]s"
  MellonSPCertFile "%[8]s"
  MellonIdPMetadataFile "%[1]s/idp.xml"
  MellonSignatureMethod rsa-sha256
  MellonSecureCookie On
  MellonVariable musubi
  MellonEnable info
</Location>
<Location /page.html>
  MellonEnable auth
  Require valid-user
  Options +Includes
  SetOutputFilter INCLUDES
  ForceType "text/html; charset=utf-8"
</Location>
<Location /secret>
  MellonEnable auth
  Require valid-user
  Header set X-Name-ID "%%{MELLON_NAME_ID}e"
  Header set X-Mail "%%{MELLON_mail}e"
  Header set X-Name "%%{MELLON_displayName}e"
</Location>
`

// mellonPage says who somebody is, as Apache's own server-side includes know it.
const mellonPage = `<!DOCTYPE html><html lang="ja"><head><title>mod_auth_mellon</title></head><body><main><h1>mod_auth_mellon</h1>
<p id="name"><!--#echo encoding="none" var="MELLON_displayName" --></p>
<p id="mail"><!--#echo encoding="none" var="MELLON_mail" --></p>
<p id="nameid"><!--#echo encoding="none" var="MELLON_NAME_ID" --></p>
<p id="idp"><!--#echo encoding="none" var="MELLON_IDP" --></p>
<p><a href="/mellon/logout?ReturnTo=/out.html">Logout</a></p></main></body></html>
`

// mellon is such an Apache that runs.
type mellon struct {
	address string
	client  *http.Client
}

// localClient is a browser without pages: it keeps cookies, follows nothing, and trusts what stands in the files.
func localClient(t *testing.T, trusted ...string) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	for _, file := range trusted {
		certificates, err := os.ReadFile(file)
		noError(t, err)
		roots.AppendCertsFromPEM(certificates)
	}
	jar, err := cookiejar.New(nil)
	noError(t, err)
	return &http.Client{
		Jar: jar, Timeout: peerTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots},
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) { // *.localhost is this machine, whatever a resolver says
				_, port, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
			},
		},
	}
}

// startMellon starts it in a folder of its own, at a host of this machine. metadata are those of its identity provider, trusted is a file of what
// its client trusts, certificate one with its https certificate and key; empty: it has one of its own.
func startMellon(t *testing.T, host string, metadata []byte, trusted, certificate string) *mellon {
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
	for name, text := range map[string]string{"secret": "in", "page.html": mellonPage, "out.html": "<!DOCTYPE html><title>out</title><p>out</p>"} {
		noError(t, os.WriteFile(filepath.Join(dir, "pages", name), []byte(text), 0o644))
	}
	noError(t, os.WriteFile(filepath.Join(dir, "idp.xml"), metadata, 0o644))
	_, key, own := ownKey(t)
	served := key
	if certificate == "" {
		certificate = own
	} else {
		served = certificate
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	noError(t, err)
	noError(t, listener.Close())
	var load strings.Builder
	for _, m := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "headers", "include", "socache_shmcb", "ssl", "auth_mellon"} {
		fmt.Fprintf(&load, "LoadModule %s_module %smod_%s.so\n", m, modules, m)
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "User www-data\nGroup www-data"
	}
	file := filepath.Join(dir, "apache.conf")
	noError(t, os.WriteFile(file, fmt.Appendf(nil, mellonConfig, dir, port, load.String(), user, certificate, served, host, own, key), 0o644))
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
	client := localClient(t, trusted, certificate)
	address := "https://" + host + ":" + port
	for deadline := time.Now().Add(peerTimeout); ; time.Sleep(50 * time.Millisecond) {
		if answer, err := client.Get(address + "/"); err == nil {
			answer.Body.Close()
			return &mellon{address, client}
		} else if time.Now().After(deadline) {
			t.Fatalf("apache doesn't answer: %v", err)
		}
	}
}

// TestMellon has mod_auth_mellon, which is lasso and xmlsec in C, log in: it reads our metadata, we read its own; it signs its request, and checks the
// response and the encrypted assertion.
func TestMellon(t *testing.T) {
	h := startSAMLHub(t)
	published, err := h.provider.Metadata(t.Context(), policies.NetworkInternet)
	noError(t, err)
	apache := startMellon(t, "localhost", published, h.tls, "")
	address, client := apache.address, apache.client
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
