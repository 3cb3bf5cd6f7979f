// Package spelling measures how far apart two words are, to guess what was
// meant.
package spelling

// Distance is how many bytes to insert, delete or replace to make a into b
// (V. Levenshtein, 1966). Only the last row of the table is kept.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
