package bizcal

import (
	mathbits "math/bits"
	"sort"
)

// bits is a set of the numbers 0 to 64*len-1.
type bits []uint64

func newBits(n int) bits { return make(bits, (n+63)/64) }

func (b bits) set(i int)      { b[i>>6] |= 1 << (i & 63) }
func (b bits) clear(i int)    { b[i>>6] &^= 1 << (i & 63) }
func (b bits) has(i int) bool { return b[i>>6]>>(i&63)&1 == 1 }

// next gives the first member from i on; -1 if there is none.
func (b bits) next(i int) int {
	w := i >> 6
	if w >= len(b) {
		return -1
	}
	word := b[w] >> (i & 63) << (i & 63)
	for word == 0 {
		if w++; w == len(b) {
			return -1
		}
		word = b[w]
	}
	return w<<6 + mathbits.TrailingZeros64(word)
}

// ranks gives for each word how many members stand before it, and their number at the end.
func (b bits) ranks() []int32 {
	before := make([]int32, len(b)+1)
	for w, word := range b {
		before[w+1] = before[w] + int32(mathbits.OnesCount64(word))
	}
	return before
}

// rank counts the members below i.
func (b bits) rank(before []int32, i int) int {
	return int(before[i>>6]) + mathbits.OnesCount64(b[i>>6]&(1<<(i&63)-1))
}

// nth gives the member with n members before it; -1 if there aren't so many.
func (b bits) nth(before []int32, n int) int {
	if n < 0 || n >= int(before[len(b)]) {
		return -1
	}
	w := sort.Search(len(b), func(w int) bool { return int(before[w+1]) > n })
	word := b[w]
	for range n - int(before[w]) {
		word &= word - 1
	}
	return w<<6 + mathbits.TrailingZeros64(word)
}
