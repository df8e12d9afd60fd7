package mynumber

// SetSmall sets the size up to which lists are read with every entry apart.
func (l *Lists) SetSmall(octets int64) { l.small = octets }

// Item reads a Byte Sequence.
var Item = item

// Credentials gives the function that names the cards of a list one after another.
func (l *Links) Credentials() func(Card) string {
	mac := l.mac()
	return func(c Card) string { return c.credential(mac) }
}
