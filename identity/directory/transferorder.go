package directory

import (
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// dueTransfer is what the order of a midnight is found from.
type dueTransfer struct {
	id     identity.TransferID
	person policies.PersonID
	has    []key
	wants  []key
}

// arrange puts the transfers of one instant, at most one per person, in an order in which each finds what it wants given up: whoever
// gives up goes before who takes it, and of two who want the same who was recorded first. Those that go round in a circle form one group, which must take effect at once. (Tarjan's strongly
// connected components, which come out in this order; without recursion, as a chain may be as long as a city has staff.)
func arrange(list []dueTransfer) [][]int {
	holder := make(map[key]int, 2*len(list))
	for i, d := range list {
		for _, k := range d.has {
			holder[k] = i
		}
	}
	needs := make([][]int, len(list))
	first := map[key]int{}
	for i, d := range list {
		for _, k := range d.wants {
			if j, rival := first[k]; rival {
				needs[i] = append(needs[i], j)
			} else {
				first[k] = i
			}
			if j, ok := holder[k]; ok && j != i {
				needs[i] = append(needs[i], j)
			}
		}
	}
	var (
		groups  [][]int
		index   = make([]int, len(list)) // 0: not visited
		low     = make([]int, len(list))
		onStack = make([]bool, len(list))
		stack   []int
		next    = 1
	)
	type frame struct{ node, edge int }
	for root := range list {
		if index[root] != 0 {
			continue
		}
		calls := []frame{{root, 0}}
		for len(calls) > 0 {
			f := &calls[len(calls)-1]
			v := f.node
			if f.edge == 0 {
				index[v], low[v] = next, next
				next++
				stack = append(stack, v)
				onStack[v] = true
			}
			deeper := false
			for f.edge < len(needs[v]) {
				w := needs[v][f.edge]
				f.edge++
				if index[w] == 0 {
					calls = append(calls, frame{w, 0})
					deeper = true
					break
				}
				if onStack[w] {
					low[v] = min(low[v], index[w])
				}
			}
			if deeper {
				continue
			}
			if low[v] == index[v] {
				var group []int
				for {
					w := stack[len(stack)-1]
					stack = stack[:len(stack)-1]
					onStack[w] = false
					group = append(group, w)
					if w == v {
						break
					}
				}
				groups = append(groups, group)
			}
			calls = calls[:len(calls)-1]
			if len(calls) > 0 {
				parent := calls[len(calls)-1].node
				low[parent] = min(low[parent], low[v])
			}
		}
	}
	return groups
}
