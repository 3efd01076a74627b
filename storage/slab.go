package storage

// maxSlab is how many values a slab makes at once.
const maxSlab = 16

// slab hands out new values and allocates several at a time, more the more are asked for. What it gave lives as long as any of those that
// were allocated with it.
type slab[T any] struct {
	free []T
	size int
}

func (s *slab[T]) take() *T {
	if len(s.free) == 0 {
		s.size = min(max(2*s.size, 1), maxSlab)
		s.free = make([]T, s.size)
	}
	v := &s.free[0]
	s.free = s.free[1:]
	return v
}
