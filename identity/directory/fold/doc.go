// Package fold makes search keys: two spellings that a person at a keyboard takes for the same have the same key.
//
// Half-width and full-width forms, hiragana and katakana, upper and lower case, the variants of a kanji in names (髙 and 高), long vowel
// marks of every shape, accents of Latin letters and variation selectors make no difference to Key; the ways to write Japanese in Latin letters
// (Hepburn, Kunrei, those of passports) make none to Romaji. Keys are compared and looked up, never shown and never stored as
// anybody's name: what is registered stays as it is.
//
// It is pure. Called by identity/directory/search.
package fold
