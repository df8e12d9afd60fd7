// Package sample holds the sample directory that is shipped: the 47 prefectures, the 20 designated cities and three ministries with
// their real names and public numbers; four contractors, an insurer, a union, an incorporated agency and a middleware operator that
// don't exist, with whom the contractors serve; about a dozen plainly synthetic people for each; and the generator that made those
// people, which makes any number for any list of organizations, always the same ones for the same seed.
//
// The people don't exist: names are drawn from lists of common family and given names, addresses lie under example domains, telephone
// numbers begin with 00, which no area code does. The organizations that don't exist are called 例示 and have numbers with a right check digit
// that nobody gives out (corporate numbers of a registry 9999, an insurer of a prefecture 99). The package writes nothing and knows no database.
//
// Called by cmd (the demonstration, `musubi sample`), and by tests and benchmarks that need people.
package sample
