package directory

import (
	"embed"
	"io/fs"

	"github.com/musubi-hub/musubi/identity/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migration gives the directory's tables, for sqldb.Migrate.
func Migration() sqldb.Migration {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is embedded above: only a misspelt name gets here
	}
	return sqldb.Migration{Owner: "directory", FS: sub}
}
