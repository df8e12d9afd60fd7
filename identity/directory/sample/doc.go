// Package sample holds the sample directory that is shipped: the 47 prefectures, the 20 designated cities and three ministries with
// their real names and public numbers, and about a dozen plainly synthetic people for each; and the generator that made those people,
// which makes any number for any list of organizations, always the same ones for the same seed.
//
// The people don't exist: names are drawn from lists of common family and given names, addresses lie under example domains. The package
// writes nothing and knows no database.
//
// Called by cmd (the demonstration), and by tests and benchmarks that need people.
package sample
