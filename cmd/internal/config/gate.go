package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/policies"
)

// Gate is how people of one network reach the hub's login: its hosts, and the socket at which they come in.
type Gate struct {
	LoginHost       string // pages and issuers; with its port where that isn't 443
	CardHost        string // asks for the card's certificate; empty: no card in this network
	Listen          string
	CertificateFile string // PEM, of both hosts; empty: a proxy ends TLS
	KeyFile         string
	Proxies         []string // only these may connect, each an address or a network; empty: everybody, by TLS
	ProxyKeys       []string // SHA-256 of the proxies' own keys, by mutual TLS; empty: not asked
}

// Card says how My Number Cards are verified.
type Card struct {
	Profile        string
	ProfileFile    string // as `certd profiles` writes it; empty: the built-in ones
	AnchorsFile    string // PEM
	CRLFolder      string
	CRLEvery       float64 // seconds
	TLS13, Origins string  // yes or no
}

// Password says what is asked of passwords.
type Password struct {
	BreachedFile string // empty: no list is looked at
}

// gates gives the section of a network; made where it is missing.
func (c *Config) gate(n policies.Network) *Gate {
	if c.Gates == nil {
		c.Gates = map[policies.Network]*Gate{}
	}
	if c.Gates[n] == nil {
		c.Gates[n] = &Gate{}
	}
	return c.Gates[n]
}

func (g *Gate) field(name string) any {
	switch name {
	case "login_host":
		return &g.LoginHost
	case "card_host":
		return &g.CardHost
	case "listen":
		return &g.Listen
	case "certificate_file":
		return &g.CertificateFile
	case "key_file":
		return &g.KeyFile
	case "proxies":
		return &g.Proxies
	case "proxy_keys":
		return &g.ProxyKeys
	}
	return nil
}

func (c *Card) field(name string) any {
	switch name {
	case "profile":
		return &c.Profile
	case "profile_file":
		return &c.ProfileFile
	case "anchors_file":
		return &c.AnchorsFile
	case "crl_folder":
		return &c.CRLFolder
	case "crl_every":
		return &c.CRLEvery
	case "tls13":
		return &c.TLS13
	case "origin_bound":
		return &c.Origins
	}
	return nil
}

// gateSections are the headings of the networks, each called as its network is.
func gateSections() []section {
	return []section{
		{string(policies.NetworkInternet), "インターネットからのログイン。書かなければ、管理画面は loopback だけで、ログインはありません。", "Login from the internet. Without any network there is no login, and the pages are served on loopback alone."},
		{string(policies.NetworkLGWAN), "LGWAN からのログイン。名前も発行者もクッキーも、ほかの網とは別です。", "Login from LGWAN. Its names, issuers and cookies are its own."},
		{string(policies.NetworkGovernment), "政府共通ネットワークからのログイン。", "Login from the government's network."},
		{"backchannel", "OpenID の接続先へ、ログアウトを知らせる経路。", "The way to OpenID relying parties, which are told of logouts."},
		{"card", "マイナンバーカード: 利用者証明用電子証明書の検証。", "My Number Cards: how their authentication certificates are verified."},
		{"password", "パスワード (カードの登録の最初の一歩と、封印した非常用アカウントだけ)。", "Passwords: the first step of linking a card, and sealed break-glass accounts."},
	}
}

// gateSettings are those of the networks, the card and the password.
func gateSettings() []setting {
	var all []setting
	for i, n := range policies.Networks() {
		all = append(all, gateOf(string(n), 8443+i)...)
	}
	all = append(all, network("backchannel", true)...)
	return append(
		all,
		setting{
			key: "card.anchors_file", example: "card/anchors.pem", need: true, path: true, public: true,
			ja: "信頼する認証局の証明書 (PEM)。", en: "The authorities that are trusted, PEM.",
		},
		setting{
			key: "card.crl_folder", example: "card/crl", need: true, path: true,
			ja: "失効リスト (*.crl) を置くフォルダ。届いたものから使います。", en: "Folder of the lists of revoked certificates (*.crl); a new one is used as it comes.",
		},
		setting{
			key: "card.crl_every", def: "30", example: "30", number: true, check: lag,
			ja: "フォルダを見る間隔 (秒)。", en: "How often the folder is looked at, in seconds.",
		},
		setting{
			key: "card.profile", def: cert.JPKIAuth, example: cert.JPKIAuth, check: short,
			ja: "検証の規則の名前 (certd profiles)。", en: "Name of the rules of verification (certd profiles).",
		},
		setting{
			key: "card.profile_file", example: "card/profiles.json", path: true, public: true,
			ja: "certd profiles が書く形の、規則のファイル。書かなければ組み込みのものです。", en: "File of rules as certd profiles writes it; without it the built-in ones.",
		},
		setting{
			key: "card.tls13", def: "no", example: "no", choices: []string{"yes", "no"},
			ja: "yes なら TLS 1.3 も受けます。今のカードのドライバは PKCS#1 v1.5 で署名するため、TLS 1.2 が必要です。", en: "yes: TLS 1.3 too. Today's card drivers sign PKCS#1 v1.5, which takes TLS 1.2.",
		},
		setting{
			key: "card.origin_bound", def: "no", example: "no", choices: []string{"yes", "no"},
			ja: "yes は、チャレンジに署名するものが要求元を自分で確かめるときだけです (docs/mynumber.md)。", en: "yes only where whatever signs challenges looks at their origin by itself (docs/mynumber.md).",
		},
		setting{
			key: "password.breached_file", example: "breached-sha1.txt", path: true,
			ja: "漏えいしたパスワードの一覧 (SHA-1 の行を並べたもの)。書かなければ調べません。", en: "List of breached passwords: sorted lines of SHA-1. Without it none is looked at.",
		},
	)
}

func gateOf(name string, port int) []setting {
	key := func(s string) string { return name + "." + s }
	return []setting{
		{
			key: key("login_host"), example: "login." + name + ".example.go.jp", need: true, check: hostName,
			ja: "ログインと発行者のホスト名。443 以外のポートなら :ポート を付けます。", en: "Host name of pages and issuers, with :PORT where that isn't 443.",
		},
		{
			key: key("card_host"), example: "card." + name + ".example.go.jp", check: hostName,
			ja: "カードを読むホスト名。ログインのホストとは別の名前です。書かなければこの網ではカードを使えません。", en: "Host name at which cards are presented, another than the login host's. Without it there is no card in this network.",
		},
		{
			key: key("listen"), example: "0.0.0.0:" + strconv.Itoa(port), need: true, check: hostPort,
			ja: "待ち受け。両方のホスト名をここで受けます。", en: "The address that is listened on, for both hosts.",
		},
		{
			key: key("certificate_file"), example: name + "/server.pem", path: true, public: true,
			ja: "サーバ証明書 (PEM、両方のホスト名)。プロキシが TLS を終えるときだけ省けます。", en: "The server's certificate, PEM, of both hosts. May be left out only where a proxy ends TLS.",
		},
		{
			key: key("key_file"), example: name + "/server.key", secret: true, block: true,
			ja: "その秘密鍵 (PEM、0600)。", en: "Its key: PEM, mode 0600.",
		},
		{
			key: key("proxies"), example: "192.0.2.10, 192.0.2.11", check: networks,
			ja: "接続してよいプロキシのアドレス (コンマ区切り)。書けば、ほかからの接続は断ります。Client-Cert と X-Forwarded-For は、プロキシが自分で付け直す必要があります。",
			en: "Addresses of the proxies that may connect, separated by commas; nobody else may then. They must set Client-Cert and X-Forwarded-For themselves.",
		},
		{
			key: key("proxy_keys"), example: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", check: fingerprints,
			ja: "プロキシの鍵の SHA-256 (16 進、コンマ区切り)。書けば相互 TLS で確かめます。", en: "SHA-256 of the proxies' keys in hex, separated by commas: checked by mutual TLS.",
		},
	}
}

func hostName(value string) error {
	u, err := url.Parse("https://" + value)
	if err != nil || u.Host != value || u.Hostname() == "" || value != strings.ToLower(value) || u.Port() == "443" || strings.HasSuffix(value, ":") || len(value) > 255 {
		return wrong("write a host name in lower case, e.g. login.example.go.jp, with :PORT where that isn't 443", "%s isn't a host name", shown(value))
	}
	return nil
}

func hostPort(value string) error {
	_, p, err := net.SplitHostPort(value)
	if err != nil {
		return wrong("write host:port, e.g. 0.0.0.0:8443", "%s isn't host:port", shown(value))
	}
	if n, err := strconv.Atoi(p); err != nil || n < 0 || n > 65535 {
		return wrong("write a port from 0 to 65535", "%s isn't a port", shown(p))
	}
	return nil
}

// ParseProxies gives the networks of a list of addresses and networks.
func ParseProxies(list []string) (out []netip.Prefix, err error) {
	for _, item := range list {
		if a, err := netip.ParseAddr(item); err == nil {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(item)
		switch {
		case err != nil:
			return nil, wrong("write addresses such as 192.0.2.10, or networks such as 192.0.2.0/28", "%s isn't an address", shown(item))
		case p != p.Masked():
			return nil, wrong("write "+p.Masked().String(), "%s has bits beyond its length", shown(item))
		case p.Bits() == 0:
			return nil, wrong("name the proxies", "%s is everybody", shown(item))
		}
		out = append(out, p)
	}
	return out, nil
}

func networks(value string) error {
	_, err := ParseProxies(splitList(value))
	return err
}

func fingerprints(value string) error {
	for _, item := range splitList(value) {
		if len(item) != 64 || strings.Trim(item, "0123456789abcdef") != "" {
			return wrong("write 64 hexadecimal digits in lower case for each", "%s isn't a SHA-256", shown(item))
		}
	}
	return nil
}

// checkGates checks what must be there together for login.
func (l *Loaded) checkGates(pair func(a, b string)) (faults Faults) {
	any := false
	for _, n := range policies.Networks() {
		key := func(s string) string { return string(n) + "." + s }
		pair(key("certificate_file"), key("key_file"))
		given := func(s string) bool { _, ok := l.values[key(s)]; return ok }
		any = any || given("login_host")
		at := l.values[key("listen")].origin
		switch {
		case given("listen") && !given("certificate_file") && !given("proxies"):
			faults = append(faults, Fault{at, key("certificate_file"), "is missing", "name the server's certificate and its key, or the proxies that end TLS"})
		case given("proxy_keys") && (!given("proxies") || !given("certificate_file")):
			faults = append(faults, Fault{l.values[key("proxy_keys")].origin, key("proxy_keys"), "needs proxies, certificate_file and key_file beside it", "set them, or remove it"})
		}
		if v, ok := l.values[key("card_host")]; ok && !l.configured("card") {
			faults = append(faults, Fault{v.origin, key("card_host"), "needs the section card", "say how cards are verified, or remove it"})
		}
		for _, other := range policies.Networks() {
			if v, ok := l.values[string(other)+".listen"]; ok && other > n && given("listen") && v.text == l.text(key("listen")) && !strings.HasSuffix(v.text, ":0") {
				faults = append(faults, Fault{v.origin, string(other) + ".listen", "is " + string(n) + "'s too", "give each network an address of its own: the socket says from where somebody comes"})
			}
		}
	}
	if l.configured("card") && !any {
		faults = append(faults, Fault{Key: "card", What: "no network has a login", Remedy: "add the section of a network with login_host and card_host, or remove card"})
	}
	return faults
}

func isGate(name string) bool { return slices.Contains(policies.Networks(), policies.Network(name)) }
