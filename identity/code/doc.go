// Package code checks the official numbers that organizations are keyed by: the six-digit 全国地方公共団体コード of local
// governments, the eight-digit 保険者番号 of insurers and the 13-digit 法人番号 of everybody else, with their check digits.
//
// It is pure and a leaf: it knows how a number is built, never whether an organization with that number exists. Its errors say
// which check digit was expected, in Japanese and in English, because they end up in front of staff.
//
// Called by identity/directory (import, store) and by whatever else takes such a number from outside.
package code
