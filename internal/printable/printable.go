// Package printable makes text of others, such as names in files and of devices,
// safe to be shown: a terminal shows all of it and obeys none.
package printable

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text is s in one line, with escapes for what is not shown but obeyed: \u009b for
// control characters (C0, DEL, C1), those that turn the direction of text (Trojan
// Source, CVE-2021-42574) and separators of lines; \x9b for what is not UTF-8.
func Text(s string) string {
	if strings.IndexFunc(s, obeyed) < 0 && utf8.ValidString(s) {
		return s
	}
	return string(escape(nil, s, obeyed))
}

// obeyed says whether a terminal may do something else than show r.
func obeyed(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}

// obeyedInLines leaves out what makes lines and columns.
func obeyedInLines(r rune) bool { return r != '\n' && r != '\t' && obeyed(r) }

func escape(to []byte, s string, bad func(rune) bool) []byte {
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			to = fmt.Appendf(to, `\x%02x`, s[0])
		case bad(r):
			to = fmt.Appendf(to, `\u%04x`, r) // none is beyond the 16 bits of this form
		default:
			to = append(to, s[:size]...)
		}
		s = s[size:]
	}
	return to
}

// Writer writes Text, but that line feeds and tabs stay, to Raw. JSON keeps its
// meaning: the escapes are its own. Characters are to be written whole.
type Writer struct{ Raw io.Writer }

func (w Writer) Write(b []byte) (int, error) {
	if _, err := w.Raw.Write(escape(make([]byte, 0, len(b)), string(b), obeyedInLines)); err != nil {
		return 0, err
	}
	return len(b), nil
}
