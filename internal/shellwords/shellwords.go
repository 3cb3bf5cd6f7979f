// Package shellwords splits a line into words as a shell does, without
// expanding anything.
package shellwords

import (
	"errors"
	"strings"
)

// Split returns the words of line. Between single quotes all characters stand
// for themselves; a backslash takes the special meaning from the next one,
// between double quotes only from ", \, $ and `.
func Split(line string) (words []string, err error) {
	var word strings.Builder
	var quote byte
	begun := false // there is a word, perhaps empty
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && quote != '\'':
			if i++; i == len(line) {
				return nil, errors.New("nothing follows the last backslash")
			}
			if quote == '"' && !strings.ContainsRune("\"\\$`", rune(line[i])) {
				word.WriteByte('\\')
			}
			word.WriteByte(line[i])
			begun = true
		case c == quote && quote != 0:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, begun = c, true
		case quote == 0 && strings.IndexByte(" \t\r\n", c) >= 0:
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote " + string(quote) + " is not closed")
	}
	if begun {
		words = append(words, word.String())
	}
	return words, nil
}
