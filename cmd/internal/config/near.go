package config

// Near gives those of the words that somebody may have meant by text, three at most, in their order.
func Near[T ~string](text T, words []T) (near []T) {
	for _, w := range words {
		if edits(string(text), string(w)) <= 2 && len(near) < 3 {
			near = append(near, w)
		}
	}
	return near
}
