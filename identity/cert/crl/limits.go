package crl

// Limits bound what a list may take. The zero value of a field means its default.
type Limits struct {
	Octets    int64 // of a whole list; default 1 GiB (28 million entries of 37 octets)
	Entries   int   // default 32 Mi
	Entry     int   // octets of one entry; default 4 KiB
	Head      int   // octets of the issuer's name, and of the list's extensions; default 64 KiB
	Overflow  int   // entries that a Set keeps outside of its bitmap; default 4 Mi (128 MiB)
	SmallOnly int64 // octets that Parse takes, because it keeps every entry apart; default 16 MiB
}

func (l Limits) filled() Limits {
	fill := func(v *int, by int) {
		if *v <= 0 {
			*v = by
		}
	}
	if l.Octets <= 0 {
		l.Octets = 1 << 30
	}
	if l.SmallOnly <= 0 {
		l.SmallOnly = 16 << 20
	}
	fill(&l.Entries, 32<<20)
	fill(&l.Entry, 4<<10)
	fill(&l.Head, 64<<10)
	fill(&l.Overflow, 4<<20)
	return l
}

// Rules are what RFC 5280 leaves to a profile. The zero value is the strictest.
type Rules struct {
	// AnySerial takes serials that are zero or negative, which RFC 5280 4.1.2.2 asks to handle gracefully. Never in a Set.
	AnySerial bool
	// Version1 takes lists of the first version. They have no extensions: no number, and no key identifier.
	Version1 bool
	// Unnumbered takes lists without the CRL number that RFC 5280 5.2.3 asks of every issuer.
	Unnumbered bool
}
