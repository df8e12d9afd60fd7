package mynumber

// SetSmall sets the size up to which lists are read with every entry apart.
func (l *Lists) SetSmall(octets int64) { l.small = octets }

// Item reads a Byte Sequence.
var Item = item
