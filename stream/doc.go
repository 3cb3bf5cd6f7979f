// Package stream is the loop from a camera to results: it takes the newest
// frame, classifies it, smooths over time and tells its sinks.
package stream
