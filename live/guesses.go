package live

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

const (
	freeGuesses = 5                // wrong tokens before an address has to wait
	longestWait = 64 * time.Second // after one
	forgetAfter = time.Hour        // without one
	maxGuessers = 1024             // addresses that are remembered
	logEvery    = time.Minute      // between two lines about wrong tokens
)

// digest stands for a token where tokens are compared and kept.
type digest [sha256.Size]byte

// guesser is an address that has shown wrong tokens.
type guesser struct {
	wrong int    // different ones, one after the other
	last  digest // a program that shows an old token over and over does not guess
	at    time.Time
	until time.Time // when the next one is looked at
}

// guesses slows down those who try tokens: each wrong one doubles the time until
// another of that address is looked at, in place of an answer that only comes late,
// since those who guess need not wait for it.
type guesses struct {
	right  digest
	log    *slog.Logger
	mu     sync.Mutex
	of     map[netip.Prefix]*guesser
	logged time.Time
	untold int // wrong tokens since the last line
}

func newGuesses(token string, log *slog.Logger) *guesses {
	return &guesses{right: sha256.Sum256([]byte(token)), log: log, of: make(map[netip.Prefix]*guesser)}
}

// try tells whether a token is right, or after how long the address may show
// another one: 0 is at once.
func (g *guesses) try(token string, from netip.Prefix, now time.Time) (right bool, wait time.Duration) {
	shown := digest(sha256.Sum256([]byte(token)))
	g.mu.Lock()
	defer g.mu.Unlock()
	who := g.of[from]
	switch {
	case who != nil && shown == who.last:
		return false, max(0, who.until.Sub(now))
	case who != nil && now.Before(who.until):
		return false, who.until.Sub(now)
	case subtle.ConstantTimeCompare(shown[:], g.right[:]) == 1:
		return true, 0
	case who == nil:
		g.makeRoom(now)
		who = &guesser{}
		g.of[from] = who
	case now.Sub(who.at) > forgetAfter:
		who.wrong = 0
	}
	who.wrong++
	who.last, who.at, who.until = shown, now, now
	if more := who.wrong - freeGuesses; more > 0 {
		who.until = now.Add(min(time.Second<<min(more-1, 16), longestWait))
	}
	g.tell(from, who, now)
	return false, who.until.Sub(now)
}

// makeRoom forgets the address that was silent for longest where there are many.
func (g *guesses) makeRoom(now time.Time) {
	if len(g.of) < maxGuessers {
		return
	}
	var silent netip.Prefix
	oldest := now
	for from, who := range g.of {
		if !who.at.After(oldest) {
			silent, oldest = from, who.at
		}
	}
	delete(g.of, silent)
}

// tell logs now and then.
func (g *guesses) tell(from netip.Prefix, who *guesser, now time.Time) {
	g.untold++
	if g.logged.IsZero() || now.Sub(g.logged) >= logEvery {
		g.log.Warn("wrong token for the page", "address", from, "tokens", who.wrong, "of_all", g.untold)
		g.logged, g.untold = now, 0
	}
}
