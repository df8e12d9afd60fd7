package sqldb

import (
	"container/list"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// stmtMax is how many prepared statements one SQLite connection keeps.
const stmtMax = 256

// stmtCache gives connections that keep prepared statements by their text. The driver prepares anew for every Exec and Query,
// which for River's larger statements takes four fifths of their time; database/sql can keep a statement only for a caller who
// holds on to it, and River doesn't.
type stmtCache struct {
	driver.Connector
	patience time.Duration // of the writer: how long BEGIN waits for another process; 0 for readers
}

// sqliteConn is what the SQLite driver's connections can do.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type sqliteRows interface {
	driver.Rows
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

// Connect opens a connection with an empty cache.
func (s stmtCache) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := s.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	sc, ok := c.(sqliteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("sqldb: the SQLite driver's %T lacks a method", c), c.Close())
	}
	return &cachedConn{sqliteConn: sc, patience: s.patience, idle: map[string]*list.Element{}, order: list.New()}, nil
}

// cachedConn is used by one goroutine at a time, as database/sql promises.
type cachedConn struct {
	sqliteConn
	patience time.Duration
	idle     map[string]*list.Element // statements that nobody uses just now
	order    *list.List               // of *cachedStmt, the last used in front
}

type cachedStmt struct {
	query string
	stmt  sqliteStmt
}

// take gives a statement for query that is in nobody else's hands: rows of the same query may still be open.
func (c *cachedConn) take(ctx context.Context, query string) (*cachedStmt, error) {
	if e, ok := c.idle[query]; ok {
		delete(c.idle, query)
		st, _ := c.order.Remove(e).(*cachedStmt)
		return st, nil
	}
	st, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	ss, ok := st.(sqliteStmt)
	if !ok {
		return nil, errors.Join(fmt.Errorf("sqldb: the SQLite driver's %T lacks a method", st), st.Close())
	}
	return &cachedStmt{query, ss}, nil
}

// put gives a statement back, and closes it or the one unused for longest where there are too many.
func (c *cachedConn) put(st *cachedStmt) error {
	if _, twin := c.idle[st.query]; twin {
		return st.stmt.Close()
	}
	c.idle[st.query] = c.order.PushFront(st)
	if c.order.Len() <= stmtMax {
		return nil
	}
	last, _ := c.order.Remove(c.order.Back()).(*cachedStmt)
	delete(c.idle, last.query)
	return last.stmt.Close()
}

// beginWait is how long SQLite itself waits at BEGIN before BeginTx asks again, in milliseconds.
const beginWait = 10

// BeginTx implements driver.ConnBeginTx. SQLite looks for the write lock again and again at ever longer intervals, up to 100 ms, so that a
// process with many transactions one after another (an import) keeps it from others for seconds. Asked anew each time after a few
// milliseconds, it finds the gaps that DB.Yield leaves.
func (c *cachedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if c.patience <= beginWait*time.Millisecond {
		return c.sqliteConn.BeginTx(ctx, opts)
	}
	wait := func(ms int64) error {
		_, err := c.ExecContext(context.WithoutCancel(ctx), "PRAGMA busy_timeout = "+strconv.FormatInt(ms, 10), nil)
		return err
	}
	if err := wait(beginWait); err != nil {
		return nil, err
	}
	began := time.Now()
	tx, err := c.sqliteConn.BeginTx(ctx, opts)
	for sqliteCode(err)&0xff == sqliteBusy && ctx.Err() == nil && time.Since(began) < c.patience {
		tx, err = c.sqliteConn.BeginTx(ctx, opts)
	}
	if e := wait(c.patience.Milliseconds()); e != nil && err == nil {
		return nil, errors.Join(e, tx.Rollback())
	}
	return tx, err
}

// ExecContext implements driver.ExecerContext.
func (c *cachedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	st, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	res, err := st.stmt.ExecContext(ctx, args)
	if err != nil {
		return nil, c.drop(st, err)
	}
	return res, c.put(st)
}

// QueryContext implements driver.QueryerContext.
func (c *cachedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	st, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := st.stmt.QueryContext(ctx, args)
	if err != nil {
		return nil, c.drop(st, err)
	}
	sr, ok := rows.(sqliteRows)
	if !ok {
		return nil, errors.Join(fmt.Errorf("sqldb: the SQLite driver's %T lacks a method", rows), rows.Close(), st.stmt.Close())
	}
	return &cachedRows{sqliteRows: sr, conn: c, stmt: st}, nil
}

// drop closes a statement that failed instead of keeping it. SQLite reports the failure once more then; err says it already.
func (c *cachedConn) drop(st *cachedStmt, err error) error {
	_ = st.stmt.Close()
	return err
}

// Close closes the statements and then the connection.
func (c *cachedConn) Close() error {
	var errs []error
	for e := c.order.Front(); e != nil; e = e.Next() {
		if st, ok := e.Value.(*cachedStmt); ok {
			errs = append(errs, st.stmt.Close())
		}
	}
	c.order.Init()
	clear(c.idle)
	return errors.Join(append(errs, c.sqliteConn.Close())...)
}

// cachedRows gives its statement back when it is closed.
type cachedRows struct {
	sqliteRows
	conn *cachedConn
	stmt *cachedStmt
}

// Close implements driver.Rows.
func (r *cachedRows) Close() error {
	if r.stmt == nil {
		return nil
	}
	st := r.stmt
	r.stmt = nil
	if err := r.sqliteRows.Close(); err != nil {
		return r.conn.drop(st, err)
	}
	return r.conn.put(st)
}
