package internal

// layer says what the packages matching from may import of this module. The first layer that matches a package counts. A pattern
// is a path, or a path with /... for it and all below.
type layer struct {
	from  string
	may   []string
	tests []string // what their tests may import on top of may
	why   string
}

// layers is ordered from the special to the general; together they cover every package.
var layers = []layer{
	{
		"policies/...",
		[]string{"policies/..."},
		nil,
		"policies are pure and come first: whoever reviews them needs to read nothing else",
	},
	{
		"identity/cert/...",
		[]string{"identity/cert/..."},
		nil,
		"the one thing that is ours to verify: small enough to audit in a day, so it stands on nothing else of ours",
	},
	{
		"identity/...",
		[]string{"identity/...", "policies/..."},
		nil,
		"the system of record never knows who reads it; it takes an Enqueuer and an http.RoundTripper instead of importing sync or connectors",
	},
	{
		"connectors/sandbox/...",
		[]string{"connectors/sandbox/..."},
		nil,
		"sandbox and connectors are two independent readings of the vendor's contract; shared code would share the mistake",
	},
	{
		"connectors/...",
		[]string{
			"connectors", "connectors/outbound", "connectors/scimclient", "connectors/connectortest",
			"connectors/keylock", "connectors/nameindex", "connectors/atlassian", "connectors/jira", "connectors/jira/adf", "connectors/slack", "connectors/mail/...",
		},
		[]string{"connectors/sandbox/..."},
		"a connector translates for one vendor; who gets an account, and when, is decided above it; only its tests meet the sandbox",
	},
	{
		"sync/...",
		[]string{"sync/...", "connectors/...", "identity/...", "policies/..."},
		nil,
		"sync ties directory, policies and connectors together and is itself wired by cmd",
	},
	{
		"cmd/certd/...",
		[]string{"identity/cert/..."},
		nil,
		"a small trusted base: what decides about cards holds no job engine, no connector and no directory",
	},
	{
		"cmd/...",
		[]string{"cmd/...", "sync/...", "connectors/...", "identity/...", "policies/..."},
		nil,
		"the edge: wiring, routes, flags; it may see everything and nothing sees it",
	},
	{
		"deploy/...",
		nil,
		[]string{"connectors/...", "identity/...", "policies/...", "sync/..."},
		"deploy holds files for operators and tests against other people's programs, no code that is shipped",
	},
}

// closed keeps a package to the importers named: of ours (a path below the module) or of somebody else's.
type closed struct {
	what string // import path or pattern; of ours when it starts with one of our folders
	by   []string
	why  string
}

var closedImports = []closed{
	{
		"github.com/riverqueue/river/...",
		[]string{"sync/jobs"},
		"one package knows the job engine: its facts (polling, rescue, leader) are handled once",
	},
	{
		"github.com/cedar-policy/cedar-go/...",
		[]string{"policies", "policies/load"},
		"the schema validator has no promise of compatibility; one place to change when it moves",
	},
	{
		"modernc.org/sqlite/...",
		[]string{"identity/sqldb/..."},
		"stores speak database/sql; an engine's own errors and types stop at sqldb",
	},
	{
		"github.com/jackc/pgx/v5/...",
		[]string{"identity/sqldb/..."},
		"stores speak database/sql; an engine's own errors and types stop at sqldb",
	},
	{
		"github.com/pressly/goose/v3/...",
		[]string{"identity/sqldb"},
		"migrations are run by sqldb alone, per owner, so that a newer database is noticed",
	},
	{
		"golang.org/x/mod/sumdb/...",
		[]string{"identity/audit"},
		"one package knows how the audit log is hashed and signed",
	},
	{
		"github.com/zitadel/oidc/v3/...",
		[]string{"identity/oidcop/..."},
		"its server lets PKCE be dropped and codes be redeemed twice; the package that imports it takes documents and names alone",
	},
	{
		"github.com/coreos/go-oidc/v3/...",
		[]string{"connectors/sandbox/relying"},
		"it asks the provider for its keys at each unknown kid, whoever wrote it; the package that imports it reads keys itself",
	},
	{
		"github.com/russellhaering/goxmldsig/...",
		[]string{"identity/samlidp/wire", "connectors/sandbox/samlsp/..."},
		"one form of signature is taken, and what is read of a document is what was signed; one package holds both, and the stand-ins a second time, independently",
	},
	{
		"github.com/hashicorp/go-retryablehttp",
		[]string{"connectors/outbound"},
		"one HTTP client: retries, quota, redaction and status are decided once",
	},
	{
		"github.com/andygrunwald/go-jira/...",
		[]string{"connectors/jira"},
		"part of its calls are gone on the cloud; the package that imports it knows which",
	},
	{
		"github.com/slack-go/slack/...",
		[]string{"connectors/slack"},
		"it writes the token into each form and takes an answer without \"ok\" for success; the package that imports it mends both",
	},
	{
		"github.com/wneessen/go-mail/...",
		[]string{"connectors/mail"},
		"what an SMTP answer means, and that no half mail ends in QUIT, is decided once",
	},
	{
		"software.sslmate.com/src/go-pkcs12",
		[]string{"identity/cert/testpki"},
		"key files are made for tests alone; what decides about cards never opens one",
	},
	{
		"go.opentelemetry.io/otel/...",
		[]string{"cmd/internal/tracing"},
		"what a span may hold is decided once; the engine and the outbound client offer hooks and don't know who listens",
	},
	{
		"connectors/sandbox/...",
		[]string{"connectors/sandbox/...", "cmd/..."},
		"what is shipped to an operator must not depend on the stand-in; cmd offers it as a command of its own",
	},
}

// banned is a name of another package that may not be used by the packages matching in, but for those matching except.
type banned struct {
	imported string
	names    []string // empty: the import itself
	in       []string
	files    []string // base names that it is about; empty: all
	except   []string
	tests    bool // tests too
	why      string
}

var everywhere = []string{"cmd/...", "connectors/...", "deploy/...", "identity/...", "policies/...", "sync/..."}

var bannedNames = []banned{
	{
		imported: "net/http", names: []string{"DefaultClient", "Get", "Post", "PostForm", "Head"}, in: everywhere, tests: true,
		why: "no time-out, no quota, no redaction: outward calls go through connectors/outbound, tests make a client of their own",
	},
	{
		imported: "net/http", names: []string{"DefaultServeMux", "Handle", "HandleFunc", "ListenAndServe", "ListenAndServeTLS", "Serve"},
		in: everywhere, why: "global state and a server without time-outs: make an http.Server with its limits",
	},
	{
		imported: "time", names: []string{"Now", "Since", "Until", "Sleep", "After", "Tick", "NewTimer", "NewTicker"},
		in: []string{"policies/..."}, why: "policies are pure: the same question must have the same answer",
	},
	{
		imported: "time", names: []string{"Now", "Since", "Until"},
		in: []string{"connectors/sandbox/..."}, why: "quotas and staleness follow the injected clock, so that tests can simulate time",
	},
	{
		imported: "time", names: []string{"Now", "Since", "Until", "Sleep"},
		in: []string{"identity/...", "sync/..."}, files: []string{"plan.go", "map.go", "want.go", "due.go", "ladder.go"},
		why: "these files decide; time is an argument there",
	},
	{
		imported: "time", names: []string{"Now", "Since", "Until", "Sleep", "After", "Tick", "NewTimer", "NewTicker"},
		in: []string{"sync/bizcal", "sync/escalate"}, why: "what is due is the same whenever it is asked: the prover asks about next year",
	},
	{
		imported: module + "/policies", names: []string{"BreakGlass"}, in: everywhere, except: []string{"identity/access"},
		why: "a break-glass scope is minted where the operating-system user is known and the audit row is written",
	},
	{
		imported: "time", names: []string{"Now", "Since", "Until", "Sleep", "After", "Tick", "NewTimer", "NewTicker"},
		in: []string{"identity/cert/..."}, why: "a verdict is recomputed years later: the time is an argument",
	},
	{imported: "net/http", in: []string{"policies/...", "identity/cert/...", "cmd/certd/..."}, why: "policies and verdicts are pure: no network"},
	{imported: "net", in: []string{"identity/cert/..."}, why: "verdicts are pure: no network; addresses are net/netip's"},
	{imported: "os", in: []string{"identity/cert/..."}, why: "verdicts are pure: the caller reads and maps files"},
	{imported: "crypto/rand", in: []string{"identity/cert", "identity/cert/crl", "identity/cert/der", "identity/cert/ocsp", "identity/cert/pkix"}, why: "verdicts are pure: the caller makes nonces"},
	{imported: "crypto/x509", in: []string{"identity/cert/..."}, except: []string{"identity/cert/testpki"}, why: "it tolerates and hides what a verdict depends on (directoryName distribution points, BER, policies)"},
	{
		imported: "golang.org/x/crypto/ocsp", in: everywhere,
		why: "it takes an answer signed by any certificate of the CA: identity/cert/ocsp reads answers itself, and only its tests compare",
	},
	{imported: "database/sql", in: []string{"policies/...", "connectors/...", "identity/cert/..."}, why: "state belongs to identity and sync"},
	{imported: "log/slog", in: []string{"policies/...", "identity/cert/..."}, why: "policies and verdicts are pure: a decision is returned, not logged"},
	{imported: "log", in: everywhere, why: "the global logger writes where nobody configured it; take a *slog.Logger"},
	{imported: "math/rand", in: everywhere, why: "take a seed or math/rand/v2; the old package has global, seeded-once state"},
	{
		imported: "os", names: []string{"Exit", "Getenv", "LookupEnv", "Environ", "Setenv"}, in: everywhere, except: []string{"cmd/..."},
		why: "a library neither ends the process nor reads the environment; cmd does and passes values",
	},
	{
		imported: "log/slog", names: []string{"Default", "SetDefault", "Info", "Warn", "Error", "Debug"}, in: everywhere,
		except: []string{"cmd/..."}, why: "the logger is an argument: global state hides who writes what",
	},
}

// systemScope lets one package mint one kind of scope over all organizations.
type systemScope struct{ in, task, why string }

// systemScopes is the whole list. Before adding a line, ask whether the work is really nobody's.
var systemScopes = []systemScope{
	{"sync/provision", "TaskProvision", "wanted accounts are computed for everybody at once; what comes out is a plan that a person approves"},
	{"sync/dated", "TaskNotice", "a notice is nobody's act: whoever is system administrator when it is sent gets it, and nobody else's address is read"},
	{"cmd/musubi", "TaskBootstrap", "before the first administrator exists nobody could have a scope to look for one"},
	{"cmd/musubi", "TaskSearch", "the index of contacts is read once for all; what anybody finds in it is inside a scope of their own for contact.read"},
	{"cmd/musubi/api", "TaskConsole", "metrics and health count rows for no one in particular and show no personal data"},
}
