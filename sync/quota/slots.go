package quota

// slots are the times that refused callers were told to come back at, over the next horizon: each second has as many as the bucket refills in it.
// A newcomer gets the earliest that is free. Where none is, those who come back share: the second with the fewest, the earliest of them. So a
// few remaining callers never wait behind slots whose owners have long been served, and a thousand don't come back at once.
type slots struct {
	width int64   // microseconds of one bin; zero until first used
	room  micro   // what the bucket refills in one
	load  []micro // promised, a ring
	first int64   // the oldest bin in it, counted from the epoch
}

// take promises need to a caller who can't have it before soonest, and gives the time. Times are UTC microseconds.
func (s *slots) take(r rule, now, soonest int64, need micro) int64 {
	if s.width == 0 {
		s.width = max(1_000_000, r.timeFor(token).Microseconds())
		s.room = max(r.refill(s.width), 1)
		s.load = make([]micro, horizon.Microseconds()/s.width+1)
		s.first = now / s.width
	}
	n := int64(len(s.load))
	for cur := now / s.width; s.first < cur; s.first++ {
		if cur-s.first > n {
			s.first = cur - n
		}
		s.load[s.first%n] = 0
	}
	from := max(soonest/s.width, s.first)
	if from >= s.first+n {
		return soonest
	}
	best := from
	for i := from; i < s.first+n; i++ {
		if load := s.load[i%n]; load == 0 || load+need <= s.room {
			best = i
			break
		} else if load < s.load[best%n] {
			best = i
		}
	}
	at := best*s.width + r.timeFor(s.load[best%n]%s.room).Microseconds()
	s.load[best%n] += need
	return max(at, soonest)
}
