package main

import (
	"io"
	"strings"

	"github.com/mattn/go-runewidth"
)

// maxColumn is how wide a column of a table gets on a screen; --json shows values whole.
const maxColumn = 40

// columns writes a table whose cells may be Japanese: a kanji takes two places on a screen, which text/tabwriter doesn't know.
type columns struct {
	rows [][]string
	wide *runewidth.Condition
}

func newColumns(head ...string) *columns {
	c := &columns{wide: runewidth.NewCondition()}
	c.wide.EastAsianWidth = false // … and ① take one place on the terminals of today
	c.row(head...)
	return c
}

func (c *columns) row(cells ...string) {
	line := make([]string, len(cells))
	for i, cell := range cells {
		line[i] = c.wide.Truncate(oneLine(cell, 200), maxColumn, "…")
	}
	c.rows = append(c.rows, line)
}

func (c *columns) print(w io.Writer) {
	widths := map[int]int{}
	for _, row := range c.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], c.wide.StringWidth(cell))
		}
	}
	for _, row := range c.rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-c.wide.StringWidth(cell)+2))
			}
		}
		say(w, "%s", strings.TrimRight(b.String(), " "))
	}
}
