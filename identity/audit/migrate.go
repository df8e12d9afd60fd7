package audit

import (
	"embed"
	"fmt"
	"io/fs"

	"github.com/musubi-hub/musubi/identity/sqldb"
)

//go:embed migrations
var migrations embed.FS

// Migration is the package's tables for the engine. The two engines have files of their own, because triggers are written
// differently.
func Migration(engine sqldb.Engine) sqldb.Migration {
	dir, err := fs.Sub(migrations, "migrations/"+string(engine))
	if err != nil {
		panic(fmt.Sprintf("audit: no migrations for engine %q", engine)) // an engine that sqldb doesn't have
	}
	return sqldb.Migration{Owner: "audit", FS: dir}
}
