package entrance

import (
	"embed"
	"fmt"
	"io/fs"

	"github.com/musubi-hub/musubi/identity/sqldb"
)

//go:embed migrations
var migrations embed.FS

// Migration is the package's table. It comes after those of both registries.
func Migration() sqldb.Migration {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(fmt.Sprintf("entrance: %v", err)) // the folder is embedded
	}
	return sqldb.Migration{Owner: "entrance", FS: dir}
}
