package main

import "math/bits"

// lineBytes is the size of a cache line of all these cores.
const lineBytes = 64

// cache is one level: sets of some lines each, of which the one used least
// recently is replaced.
type cache struct {
	sets, ways uint64  // sets: a power of two
	entries    []entry // those of a set side by side, most recent first
}

// entry is a line's number, never 0, with what is to be known of the line; 0 where none is.
type entry uint64

const (
	dirty    entry = 1 << iota // to be written back
	awaited                    // fetched by a prefetch, not used since
	lineBits = iota
)

func (e entry) line() uint64 { return uint64(e >> lineBits) }

func newCache(kb, ways int) cache {
	lines := kb << 10 / lineBytes
	return cache{sets: uint64(lines / ways), ways: uint64(ways), entries: make([]entry, lines)}
}

func (c *cache) set(line uint64) []entry {
	at := (line & (c.sets - 1)) * c.ways
	return c.entries[at : at+c.ways]
}

// find looks for a line; nil if it is not there.
func (c *cache) find(line uint64) *entry {
	set := c.set(line)
	for i, e := range set {
		if e.line() == line {
			return &set[i]
		}
	}
	return nil
}

// use is find that makes the line its set's most recent.
func (c *cache) use(line uint64) *entry {
	set := c.set(line)
	for i, e := range set {
		if e.line() == line {
			copy(set[1:i+1], set[:i])
			set[0] = e
			return &set[0]
		}
	}
	return nil
}

// insert makes a line its set's most recent and returns what it replaces.
func (c *cache) insert(e entry) (gone entry) {
	set := c.set(e.line())
	gone = set[len(set)-1]
	copy(set[1:], set)
	set[0] = e
	return gone
}

// level describes a cache: its size, and the cycles that data take longer from it than
// from the first.
type level struct {
	KB, Ways int
	Cycles   float64
}

// kind is what an access wants.
type kind uint8

const (
	load      kind = iota
	store          // of a line that is read before, as all caches here do
	prefetch       // to the first cache
	prefetch2      // to the second cache
)

// traffic is what is counted of the caches. Misses of the first cache are those of loads
// and stores; streams those of them that follow another miss's line, as prefetchers
// recognize them.
type traffic struct {
	Loaded, Stored       int64 // bytes
	Misses, Streams      int64 // lines
	Prefetched           int64 // lines that instructions brought nearer
	Misses2, Read, Wrote int64 // lines; the last two from and to memory
}

// caches are those of all cores. The last level is shared, each core has the others
// for itself. With victims the last one takes what the others evict and loses what
// they read, as the L3 of Arm's DynamIQ Shared Unit does. A line that a core writes
// leaves the caches of the others; one that another core wrote comes from there.
type caches struct {
	levels  []level
	victims bool
	own     [][]cache // by core, by level
	shared  cache
	traffic
}

func newCaches(levels []level, victims bool, cores int) *caches {
	c := &caches{levels: levels, victims: victims}
	last := levels[len(levels)-1]
	c.shared = newCache(last.KB, last.Ways)
	for range cores {
		var own []cache
		for _, l := range levels[:len(levels)-1] {
			own = append(own, newCache(l.KB, l.Ways))
		}
		c.own = append(c.own, own)
	}
	return c
}

func (c *caches) at(core, level int) *cache {
	if level == len(c.levels)-1 {
		return &c.shared
	}
	return &c.own[core][level]
}

// access brings a line where the core wants it and returns the level where it was,
// len(levels) standing for memory, and whether it was awaited there.
func (c *caches) access(core int, line uint64, k kind) (found int, wasAwaited bool) {
	nearest := 0
	if k == prefetch2 {
		nearest = 1
	}
	first := c.at(core, nearest)
	e := first.use(line)
	if e == nil {
		var moved entry
		found, moved = c.fetch(core, line, nearest+1)
		if k < prefetch && found > 1 {
			c.Misses2++
		}
		wasAwaited = moved&awaited != 0
		moved &= dirty // what a victim cache gives away
		if k >= prefetch {
			moved |= awaited
			c.Prefetched++
		}
		for l := min(found, len(c.levels)) - 1; l > nearest; l-- {
			if !c.victims || l < len(c.levels)-1 {
				c.put(core, l, entry(line)<<lineBits)
			}
		}
		c.put(core, nearest, entry(line)<<lineBits|moved)
		e = first.find(line)
	} else {
		found = nearest
		wasAwaited = *e&awaited != 0
	}
	if k >= prefetch {
		return found, wasAwaited
	}
	*e &^= awaited
	if k == store && *e&dirty == 0 {
		c.drop(core, line)
		*e |= dirty
	}
	return found, wasAwaited
}

// fetch finds a line from a level on.
func (c *caches) fetch(core int, line uint64, from int) (found int, moved entry) {
	last := len(c.levels) - 1
	for l := from; l < last; l++ {
		if e := c.at(core, l).use(line); e != nil {
			was := *e
			*e &^= awaited
			return l, was & awaited
		}
	}
	elsewhere := c.clean(core, line)
	if e := c.shared.use(line); e != nil {
		moved = *e
		*e &^= awaited
		if c.victims && !elsewhere {
			*e = 0
			return last, moved
		}
		return last, moved & awaited
	}
	if elsewhere {
		return last, 0
	}
	c.Read++
	return last + 1, 0
}

// clean says whether another core has the line, whose change, if it made one, goes to the
// shared cache.
func (c *caches) clean(core int, line uint64) (elsewhere bool) {
	for other := range c.own {
		if other == core {
			continue
		}
		for l := range c.own[other] {
			if e := c.own[other][l].find(line); e != nil {
				elsewhere = true
				if *e&dirty != 0 {
					*e &^= dirty
					c.put(core, len(c.levels)-1, entry(line)<<lineBits|dirty)
				}
			}
		}
	}
	return elsewhere
}

// drop takes a line out of the caches of other cores.
func (c *caches) drop(core int, line uint64) {
	for other := range c.own {
		if other == core {
			continue
		}
		for l := range c.own[other] {
			if e := c.own[other][l].find(line); e != nil {
				*e = 0
			}
		}
	}
}

// put brings a line to a level. What it replaces goes down if it was changed, or to a
// cache of victims.
func (c *caches) put(core, l int, line entry) {
	at := c.at(core, l)
	if e := at.find(line.line()); e != nil {
		*e |= line
		return
	}
	gone := at.insert(line)
	last := len(c.levels) - 1
	switch {
	case gone == 0:
	case l == last:
		if gone&dirty != 0 {
			c.Wrote++
		}
	case gone&dirty != 0 || c.victims && l+1 == last:
		c.put(core, l+1, gone&^awaited)
	}
}

// pages scatters pages over memory, as a system does that has run for a while: the
// sets of the larger caches, which go by physical addresses, do not fill in order. Which
// place a page gets depends only on the order of first uses, so that results repeat.
type pages struct {
	bits   uint
	frames map[uint64]uint64
	recent [256]struct{ page, frame uint64 }
}

func newPages(bytes int) *pages {
	return &pages{bits: uint(bits.Len(uint(bytes)) - 1), frames: map[uint64]uint64{}}
}

// line is the number of the line at an address.
func (p *pages) line(address uint64) uint64 {
	page := address>>p.bits + 1
	r := &p.recent[page%uint64(len(p.recent))]
	if r.page != page {
		frame, ok := p.frames[page]
		if !ok {
			frame = uint64(len(p.frames)+1) * 0x9E3779B97F4A7C15 >> 32 // Knuth's multiplicative hash
			p.frames[page] = frame
		}
		r.page, r.frame = page, frame
	}
	return (r.frame<<p.bits | address&(1<<p.bits-1)) / lineBytes
}
