package breaker

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is what counts against what.
type Config struct {
	Limits []Limit
	// Announced is how long before its date a transfer must have been recorded to be neither counted nor held.
	Announced time.Duration
}

const (
	day = 24 * time.Hour
	// longest is the longest window that may be configured: losses are kept that long.
	longest = 90 * day
)

// The defaults as they are written in a configuration: window, how many at least, and the share of the baseline.
const (
	DefaultNationAccounts          = "1h 50 0.05%, 24h 100 0.1%, 30d 300 0.5%"
	DefaultNationMemberships       = "1h 100 0.1%, 24h 200 0.2%, 30d 600 1%"
	DefaultChangeAccounts          = "24h 50 0.05%"
	DefaultChangeMemberships       = "24h 100 0.1%"
	DefaultProductAccounts         = "1h 40 0.05%, 24h 80 0.1%, 30d 250 0.5%"
	DefaultProductMemberships      = "1h 80 0.1%, 24h 160 0.2%, 30d 500 1%"
	DefaultOrganizationAccounts    = "24h 10 10%, 30d 20 20%"
	DefaultOrganizationMemberships = "24h 20 20%, 30d 40 40%"
	DefaultAnnounced               = "24h"
)

// Default is the configuration without a file.
func Default() Config {
	c := Config{Announced: day}
	for _, d := range []struct {
		level Level
		loss  Loss
		text  string
	}{
		{LevelNation, LossAccounts, DefaultNationAccounts},
		{LevelNation, LossMemberships, DefaultNationMemberships},
		{LevelChange, LossAccounts, DefaultChangeAccounts},
		{LevelChange, LossMemberships, DefaultChangeMemberships},
		{LevelProduct, LossAccounts, DefaultProductAccounts},
		{LevelProduct, LossMemberships, DefaultProductMemberships},
		{LevelOrganization, LossAccounts, DefaultOrganizationAccounts},
		{LevelOrganization, LossMemberships, DefaultOrganizationMemberships},
	} {
		limits, err := ParseLimits(d.level, d.loss, d.text)
		if err != nil {
			panic("breaker: a default that can't be read: " + err.Error()) // a test reads them all
		}
		c.Limits = append(c.Limits, limits...)
	}
	return c
}

const maxLimits = 8 // of one level and loss

// ParseLimits reads limits as they are written: "24h 10 10%, 30d 20 20%", each a window in hours or days, how many may be lost at least, and
// the share of what was there when the window began.
func ParseLimits(level Level, loss Loss, text string) ([]Limit, error) {
	var out []Limit
	for part := range strings.SplitSeq(text, ",") {
		words := strings.Fields(part)
		if len(words) != 3 {
			return nil, fmt.Errorf(`%q isn't a limit: write a window, a number and a share, such as "24h 10 10%%"`, strings.TrimSpace(part))
		}
		window, err := ParseWindow(words[0])
		if err != nil {
			return nil, err
		}
		least, err := strconv.Atoi(words[1])
		if err != nil || least < 0 || least > 1_000_000 {
			return nil, fmt.Errorf("%q isn't a number from 0 to 1,000,000", words[1])
		}
		percent, isShare := strings.CutSuffix(words[2], "%")
		share, err := strconv.ParseFloat(percent, 64)
		if err != nil || !isShare || !(share >= 0 && share <= 100) {
			return nil, fmt.Errorf(`%q isn't a share from "0%%" to "100%%"`, words[2])
		}
		out = append(out, Limit{Level: level, Loss: loss, Window: window, Least: least, Share: share / 100})
	}
	if len(out) > maxLimits {
		return nil, fmt.Errorf("%d limits; at most %d", len(out), maxLimits)
	}
	return out, nil
}

// ParseWindow reads a length of time in hours or days: "24h", "30d".
func ParseWindow(text string) (time.Duration, error) {
	unit, digits := time.Hour, strings.TrimSuffix(text, "h")
	if d, ok := strings.CutSuffix(text, "d"); ok {
		unit, digits = day, d
	}
	n, err := strconv.Atoi(digits)
	if err != nil || digits == text || n < 1 || n > int(longest/unit) {
		return 0, fmt.Errorf(`%q isn't a length of time from "1h" to "%dd"`, text, int(longest/day))
	}
	return time.Duration(n) * unit, nil
}

// check refuses a configuration that would hold nothing.
func (c Config) check() error {
	for _, level := range Levels() {
		for _, loss := range Losses() {
			if !slices.ContainsFunc(c.Limits, func(l Limit) bool { return l.Level == level && l.Loss == loss && l.Window > 0 }) {
				return fmt.Errorf("breakers: no limit for %s of level %s", loss, level)
			}
		}
	}
	if c.Announced < 0 {
		return errors.New("breakers: announced must not be negative")
	}
	return nil
}
