package console

import (
	"embed"
	"io/fs"

	"github.com/musubi-hub/musubi/identity/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migration gives the console's tables, for sqldb.Migrate. Tickets and sessions also leave rows in identity/audit's table.
func Migration() sqldb.Migration {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is embedded above: only a misspelt name gets here
	}
	return sqldb.Migration{Owner: "console", FS: sub}
}
