// Package jst reads and writes days as staff write them: Japan Standard Time, Western or era years.
//
// It is pure and a leaf. A day begins at 00:00 JST; the hub stores that instant in UTC microseconds. Japan has had no summer time
// since 1951, so a fixed offset is exact and no time zone data is needed.
//
// Called by identity/directory (dates in files) and cmd (dates in flags).
package jst
