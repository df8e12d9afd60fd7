// Package table reads the files that offices really have, as rows of cells with their place, and writes CSV: CSV in UTF-8 with or
// without a byte order mark or in CP932 (Microsoft's Shift_JIS), and XLSX workbooks.
//
// What a file is, is told by its content, never by its name. Everything is bounded: file, unpacked size, rows, cells, columns, and
// memory, which doesn't grow with the number of rows; the context bounds the time. Nothing is guessed: a character that was
// lost, a formula, a merged cell is a fault with its place and a remedy (identity/directory/review), never a value. What the rows
// mean is the caller's: the package knows no column.
//
// It is pure: no file is opened, no clock read. Called by identity/directory and cmd.
package table
