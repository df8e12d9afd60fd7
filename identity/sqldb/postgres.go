package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// minPostgres is the oldest PostgreSQL that the hub runs on, as server_version_num.
const minPostgres = 140000

// PostgreSQL's error codes that callers are told about. https://www.postgresql.org/docs/current/errcodes-appendix.html
const pgUniqueViolation = "23505"

// The bounds of a pooled PostgreSQL connection's life: failovers and changed passwords take hold within them.
const (
	pgConnLifetime = 30 * time.Minute
	pgConnIdle     = 5 * time.Minute
)

func openPostgres(ctx context.Context, url string, opt Options) (*DB, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		// The parser's own message may quote the URL with its password.
		return nil, fmt.Errorf("the PostgreSQL URL can't be read; %w", ErrURL)
	}
	cfg.ConnectTimeout = opt.ConnectTimeout
	setDefault(cfg.RuntimeParams, "application_name", opt.Application)
	setDefault(cfg.RuntimeParams, "statement_timeout", strconv.FormatInt(opt.StatementTimeout.Milliseconds(), 10))
	setDefault(cfg.RuntimeParams, "idle_in_transaction_session_timeout", "60000")
	setDefault(cfg.RuntimeParams, "timezone", "UTC")

	readCfg := cfg.Copy()
	readCfg.RuntimeParams["default_transaction_read_only"] = "on"
	if opt.ReadOnly {
		cfg = readCfg
	}

	d := &DB{engine: PostgreSQL, opt: opt, writer: stdlib.OpenDB(*cfg), reader: stdlib.OpenDB(*readCfg)}
	d.group.db = d
	for _, p := range []struct {
		pool *sql.DB
		size int
	}{{d.writer, opt.MaxWriters}, {d.reader, opt.MaxReaders}} {
		p.pool.SetMaxOpenConns(p.size)
		p.pool.SetMaxIdleConns(p.size)
		p.pool.SetConnMaxLifetime(pgConnLifetime)
		p.pool.SetConnMaxIdleTime(pgConnIdle)
	}
	if err := checkPostgres(ctx, d.writer); err != nil {
		return nil, errors.Join(explainPostgres(ctx, cfg, err), d.Close())
	}
	return d, nil
}

func setDefault(m map[string]string, key, value string) {
	if _, ok := m[key]; !ok {
		m[key] = value
	}
}

var errServer = errors.New("the PostgreSQL server doesn't fit")

func checkPostgres(ctx context.Context, db *sql.DB) error {
	var version, encoding string
	const q = "SELECT current_setting('server_version_num'), current_setting('server_encoding')"
	if err := db.QueryRowContext(ctx, q).Scan(&version, &encoding); err != nil {
		return err
	}
	if n, err := strconv.Atoi(version); err != nil || n < minPostgres {
		return fmt.Errorf("%w: its version is %s, at least %d is needed", errServer, version, minPostgres)
	}
	if encoding != "UTF8" {
		return fmt.Errorf("%w: the database's encoding is %s; make it with ENCODING 'UTF8'", errServer, encoding)
	}
	return nil
}

// explainPostgres says where the hub tried to connect and why it failed. It doesn't wrap the driver's error, whose fields
// hold the whole configuration.
func explainPostgres(ctx context.Context, cfg *pgx.ConnConfig, err error) error {
	if errors.Is(err, errServer) {
		return err
	}
	where := fmt.Sprintf("PostgreSQL at %s:%d, database %q, user %q", cfg.Host, cfg.Port, cfg.Database, cfg.User)
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", where, ctx.Err())
	}
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return fmt.Errorf("%w: %s: %s (SQLSTATE %s)", ErrUnreachable, where, scrub(pe.Message, cfg.Password), pe.Code)
	}
	var ce *pgconn.ConnectError
	cause := err
	if errors.As(err, &ce) {
		cause = ce.Unwrap()
	}
	text := strings.Join(strings.Fields(cause.Error()), " ")
	return fmt.Errorf("%w: %s: %s", ErrUnreachable, where, scrub(text, cfg.Password))
}

func scrub(text, password string) string {
	if password == "" {
		return text
	}
	return strings.ReplaceAll(text, password, "[password]")
}

// UniqueViolation reports whether err says that a row with this key exists already, on either engine.
func UniqueViolation(err error) bool {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code == pgUniqueViolation
	}
	code := sqliteCode(err)
	return code == sqliteConstraintUnique || code == sqliteConstraintPK
}
