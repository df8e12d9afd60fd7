package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// testPKI is what `musubi testpki` was asked for.
type testPKI struct {
	folder      string
	kind        string
	at          string
	seed        string
	generations int
}

func newTestPKI(e *env) *cobra.Command {
	var x testPKI
	cmd := &cobra.Command{
		Use:   "testpki FOLDER",
		Short: "試験用の認証局・カード・失効リストを作る / make a test hierarchy with cards and revocation lists",
		Long: `公的個人認証 (JPKI) と同じ形の、試験用の認証局とカードを FOLDER に作ります。利用者証明用と署名用の二つの系統、同じ名前で鍵だけが違う
複数の世代、有効・失効・保留・期限切れのカード (PKCS#12 つき)、市区町村ごとの失効リスト、OCSP の応答、certd verify --batch の入力が
入ります。ハブは要りません。名前には必ず JPKI-TEST と TEST が入り、本番のプロファイルはこれを拒みます。実在の証明書は含みません。

Makes CAs and cards of the shape that JPKI has: two trees, generations that share one name and differ by key, cards that are
valid, revoked, on hold and expired (with PKCS #12 files for browsers), a revocation list for each municipality, OCSP answers, and
input for certd verify --batch. README.md in the folder tells how to verify them, also with openssl. No hub is needed.
Keys are made anew each time; with --seed they are the same each time, and known to everybody who knows the seed.
Lists and answers are fresh for 23 hours after --at. FOLDER must be missing or empty: nothing is overwritten.`,
		Example: `  musubi testpki /tmp/testpki
  certd verify --batch < /tmp/testpki/batch.jsonl
  musubi testpki next --ca-key p384 --generations 3
  musubi testpki again --seed 1 --at 2026-12-01T00:00:00Z`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			x.folder = args[0]
			return e.testPKI(x)
		},
	}
	f := cmd.Flags()
	f.StringVar(&x.kind, "ca-key", string(testpki.RSA2048), "keys of the CAs: rsa2048 as today, p256 or p384 as planned")
	f.IntVar(&x.generations, "generations", 2, "of each CA, 1 to 3")
	f.StringVar(&x.at, "at", "", "the present of the hierarchy, as 2026-12-01T09:00:00+09:00 (default: now)")
	f.StringVar(&x.seed, "seed", "", "make the same keys each time from this text; without it they are random")
	return cmd
}

// testPKIDoc is the document of --json.
type testPKIDoc struct {
	Folder  string           `json:"folder"`
	Files   int              `json:"files"`
	Made    time.Time        `json:"made"`
	Until   time.Time        `json:"fresh_until"`
	Samples []testpki.Sample `json:"samples"`
}

func (e *env) testPKI(x testPKI) error {
	now := e.now()
	if x.at != "" {
		t, err := time.Parse(time.RFC3339, x.at)
		if err != nil {
			return boot.Usage(fmt.Errorf("--at %q: 2026-12-01T09:00:00+09:00 の形で書いてください。 / write it like 2026-12-01T09:00:00+09:00", x.at))
		}
		if t.Year() < 2000 || t.Year() > 2200 {
			return boot.Usage(fmt.Errorf("--at %q: 2000 年から 2200 年までです。 / give a year from 2000 to 2200", x.at))
		}
		now = t
	}
	if !slices.Contains(testpki.Kinds, testpki.Kind(x.kind)) {
		return boot.Usage(fmt.Errorf("--ca-key %q: rsa2048, p256, p384 のどれかです。 / give rsa2048, p256 or p384", x.kind))
	}
	if x.generations < 1 || x.generations > 3 {
		return boot.Usage(fmt.Errorf("--generations %d: 1 から 3 までです。 / give 1 to 3", x.generations))
	}
	if err := vacant(x.folder); err != nil {
		return err
	}
	random := rand.Reader
	if x.seed != "" {
		random = testpki.Seeded(x.seed)
	}
	pki, err := testpki.New(random, testpki.Options{Now: now, Kind: testpki.Kind(x.kind), Generations: x.generations})
	if err != nil {
		return err
	}
	folder, err := testpki.NewFolder(random, pki)
	if err != nil {
		return err
	}
	if err := writeFolder(x.folder, folder.Files); err != nil {
		return err
	}
	if e.json {
		return e.printJSON("musubi.testpki.v1", testPKIDoc{x.folder, len(folder.Files), pki.Now, folder.Until, folder.Samples})
	}
	return e.showTestPKI(x.folder, folder)
}

func (e *env) showTestPKI(path string, folder *testpki.Folder) error {
	say(e.stdout, "試験用の認証局とカードを作りました / made a test hierarchy: %s (%d files)", path, len(folder.Files))
	say(e.stdout, "失効情報の期限 / lists and answers are fresh until: %s", showTime(folder.Until))
	say(e.stdout, "")
	c := newColumns("カード / card", "鍵 / key", "検証の結果 / verdict", "説明 / what")
	for _, s := range folder.Samples {
		c.row(s.Name, string(s.Kind), s.Expected, s.About)
	}
	c.print(e.stdout)
	say(e.stdout, "")
	say(e.stdout, "次に / next:")
	say(e.stdout, "  certd verify --batch < %s", filepath.Join(path, "batch.jsonl"))
	say(e.stdout, "  openssl での検証 / with openssl: %s", filepath.Join(path, "README.md"))
	return nil
}

// vacant refuses a folder that holds anything.
func vacant(path string) error {
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return boot.Refused(fmt.Errorf("%s: フォルダーではないか、読めません。 / is no folder, or can't be read: %w", path, err))
	case len(entries) > 0:
		return boot.Refused(fmt.Errorf("%s: 空ではありません。上書きはしません。別の名前を指定してください。 / is not empty, and nothing is overwritten; give another name", path))
	}
	return nil
}

// writeFolder writes all files beside the folder first and then gives it its name, so that there is never half a folder.
func writeFolder(path string, files []testpki.File) (err error) {
	path = filepath.Clean(path)
	parent := filepath.Dir(path)
	if err := os.MkdirAll(parent, 0o755); err != nil { //nolint:gosec // G301: a folder that the user names, without secrets of its own
		return boot.Refused(err)
	}
	temporary, err := os.MkdirTemp(parent, ".testpki-*")
	if err != nil {
		return boot.Refused(err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(temporary) // what failed is reported
		}
	}()
	for _, f := range files {
		name := filepath.Join(temporary, filepath.FromSlash(f.Path))
		mode := fs.FileMode(0o644)
		if f.Secret {
			mode = 0o600
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil { //nolint:gosec // G301: certificates and lists are public; keys are 0600
			return err
		}
		if err := os.WriteFile(name, f.Data, mode); err != nil {
			return err
		}
	}
	if err := os.Chmod(temporary, 0o755); err != nil { //nolint:gosec // G302: the same
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return boot.Refused(fmt.Errorf("%s: %w", path, err))
	}
	return nil
}
