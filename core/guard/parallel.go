package guard

import (
	"cmp"
	"sync/atomic"
)

// Parallel does n things, at most so many at once, and none any more once one has failed.
func Parallel(n, atOnce int, do func(i int) error) error {
	var next atomic.Int64
	var wg Group
	errs := make([]error, min(n, atOnce))
	for w := range errs {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := Catch(func() { errs[w] = do(int(i)) }); err != nil {
					errs[w] = err
				}
				if errs[w] != nil {
					next.Store(int64(n))
				}
			}
		})
	}
	wg.Wait()
	return cmp.Or(errs...)
}
