//go:build !purego

package arm64

import "edgeclassify/int8/tile"

//go:noescape
func denseNEON(a tile.DenseArgs)

//go:noescape
func requantizeNEON(a tile.RequantizeArgs)

//go:noescape
func maxNEON(a tile.MaxArgs)
