package kerneltest

// sweep is geometries that vary in one respect.
type sweep struct {
	name       string
	geometries []geometry
}

// transformed is the sweep that is for transforms.
const transformed = "planes"

// sweeps is the geometries for a kernel of so many channels.
func sweeps(channels int) []sweep {
	return []sweep{
		{"widths", widths(channels)},
		{"windows", windows()},
		{"depths", depths(channels)},
		{"channels", channelCounts(channels)},
		{"groups", groups()},
		{"depthwise", depthwise(channels)},
		{"pixels", pixels()},
		{"values", values(channels)},
		{transformed, planes3x3()},
		{"random", random(channels)},
	}
}

// widths has every rest of pixels behind whole tiles, of planes and of rows.
func widths(channels int) (all []geometry) {
	for w := 1; w <= 40; w++ {
		for h := 1; h <= 3; h++ {
			all = append(all,
				geometry{h, w, 1, 1, 1, 1, 1, 8, channels + 1},
				geometry{h, w, 3, 3, 1, 1, 1, 4, channels},
				geometry{h, w, 3, 3, 2, 2, 1, 3, 5},
			)
		}
	}
	return all
}

func windows() (all []geometry) {
	for _, k := range [][2]int{{1, 1}, {3, 3}, {7, 7}, {5, 3}, {2, 2}, {1, 4}} {
		for strideH := 1; strideH <= 3; strideH++ {
			for strideW := 1; strideW <= 3; strideW++ {
				for _, in := range []int{3, 16} {
					all = append(all, geometry{3, 9, k[0], k[1], strideH, strideW, 1, in, 12})
				}
			}
		}
	}
	return all
}

// depths goes up to the deepest convolution of ResNet50, 3x3x512.
func depths(channels int) (all []geometry) {
	for in := 1; in <= 70; in++ {
		all = append(all, geometry{1, 3, 1, 1, 1, 1, 1, in, channels}, geometry{2, 9, 1, 2, 1, 1, 1, in, 9})
	}
	for _, in := range []int{127, 128, 255, 256, 257, 511, 512, 1000, 1024, 2047, 2048, 4607, 4608} {
		all = append(all, geometry{1, 5, 1, 1, 1, 1, 1, in, channels + 3})
	}
	for range 6 {
		all = append(all, geometry{2, 2, 3, 3, 1, 1, 1, 512, 11})
	}
	return all
}

func channelCounts(channels int) (all []geometry) {
	for out := 1; out <= 2*channels+1; out++ {
		all = append(all, geometry{2, 7, 1, 1, 1, 1, 1, 12, out}, geometry{2, 3, 3, 3, 1, 1, 1, 5, out})
	}
	return all
}

func groups() (all []geometry) {
	for _, n := range []int{2, 3, 4, 7, 32} {
		for _, in := range []int{1, 3, 4, 8, 17} {
			for _, out := range []int{1, 3, 8, 35} {
				all = append(all, geometry{2, 5, 3, 3, 1, 1, n, in, out})
			}
		}
	}
	for n := 1; n <= 66; n++ { // depthwise
		all = append(all, geometry{2, 9, 3, 3, 1 + n%2, 1 + n%2, n, 1, 1}, geometry{1, 16, 1, 1, 1, 1, n, 1, 2})
	}
	return all
}

// depthwise has the windows of mobile networks, each with any number of channels and with
// rows of any length, and blocks of rows that are large for caches.
func depthwise(channels int) (all []geometry) {
	for n := 1; n <= 100; n++ {
		k, stride := 3+2*(n%3), 1+n/3%2
		all = append(all,
			geometry{1 + n%4, 1 + n%23, k, k, stride, stride, n, 1, 1},
			geometry{1 + n%3, 1 + n%9, k, k, stride, stride, 1 + n%37, 1, 1 + n%3},
			geometry{1 + n%5, 1 + n%11, 1 + n%8, 1 + n%7, 1 + n%3, 1 + n%2, 1 + n%(2*channels), 1, 1})
	}
	for stride := 1; stride <= 2; stride++ {
		all = append(all, geometry{9, 30, 3, 3, stride, stride, 80, 1, 1}, geometry{6, 25, 5, 5, stride, stride, 41, 1, 2})
	}
	return all
}

// pixels has one pixel each, as in squeeze-excite.
func pixels() (all []geometry) {
	for i := range 80 {
		all = append(all, geometry{1, 1, 1, 1, 1, 1, 1, 1 + i, 1 + 3*i%41}, geometry{1, 1, 1, 1, 2, 2, 1, 1 + 17*i, 1 + i%6})
	}
	return all
}

// values has many draws of weights, inputs and epilogues.
func values(channels int) (all []geometry) {
	for i := range 600 {
		all = append(all, geometry{2, 8, 1, 1, 1, 1, 1, 1 + i%32, channels}, geometry{2, 7, 3, 3, 1, 1, 1, 4, channels + i%4})
	}
	return all
}

// planes3x3 is as large as 3x3 convolutions are that transforms pay for.
func planes3x3() (all []geometry) {
	for i := range 25 {
		all = append(all, geometry{21 + i%5, 25 + i%4, 3, 3, 1, 1, 1, 32 + 8*(i%3), 32 + 8*(i%2)})
		all = append(all, geometry{13 + i%4, 12 + i%5, 3, 3, 1, 1, 1, 32 + 16*(i%2), 32 + 16*(i%3)})
	}
	return append(all, geometry{24, 56, 3, 3, 1, 1, 1, 32, 32}, geometry{24, 53, 3, 3, 1, 1, 1, 32, 32}, geometry{23, 112, 3, 3, 1, 1, 1, 32, 32})
}

func random(channels int) (all []geometry) {
	s := newSource(1)
	for len(all) < 1200 {
		g := geometry{
			OH: s.between(1, 5), OW: s.between(1, 40),
			KH: pick(s, 1, 1, 3, s.between(1, 8)), StrideH: s.between(1, 4),
			Groups: pick(s, 1, 1, s.between(1, 20)), In: s.between(1, 70), Out: s.between(1, channels+8),
		}
		g.KW, g.StrideW = pick(s, g.KH, g.KH, s.between(1, 8)), pick(s, g.StrideH, g.StrideH, s.between(1, 4))
		if g.products() < 400_000 {
			all = append(all, g)
		}
	}
	return all
}
