package calibrate

// Evenly are the indices of n of a number of images, evenly drawn, in order: all
// of them for n of 0, or where there are no more.
func Evenly(images, n int) []int {
	if n <= 0 || n > images {
		n = images
	}
	drawn := make([]int, n)
	for i := range drawn {
		drawn[i] = i * images / n
	}
	return drawn
}
