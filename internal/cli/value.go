package cli

import (
	"errors"
	"flag"
	"time"
)

// Wanted is the error of setting a flag. Where package flag tells nothing but that the
// value could not be parsed it says what is wanted.
func Wanted(v flag.Value, err error) error {
	getter, ok := v.(flag.Getter)
	if !ok || err == nil || err.Error() != "parse error" && err.Error() != "value out of range" {
		return err
	}
	switch getter.Get().(type) {
	case bool:
		return errors.New("want true or false")
	case time.Duration:
		return errors.New("want a time such as 500ms, 2s or 1m30s")
	case int, int64, uint, uint64:
		return errors.New("want a whole number")
	case float64:
		return errors.New("want a number")
	}
	return err
}

// explained is a value whose errors say what is wanted.
type explained struct{ flag.Value }

func (e explained) Set(text string) error { return Wanted(e.Value, e.Value.Set(text)) }

// IsBoolFlag tells package flag that the value may be left out.
func (e explained) IsBoolFlag() bool {
	b, ok := e.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// explain makes errors of the flags' values say what is wanted until plain is called.
func explain(f *flag.FlagSet) (plain func()) {
	f.VisitAll(func(f *flag.Flag) { f.Value = explained{f.Value} })
	return func() { f.VisitAll(func(f *flag.Flag) { f.Value = f.Value.(explained).Value }) }
}
