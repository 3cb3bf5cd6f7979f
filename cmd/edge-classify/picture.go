package main

import (
	"flag"

	"edgeclassify/internal/cli"
	"edgeclassify/preprocess"
)

// pictureOptions say how pictures and frames are looked at.
type pictureOptions struct {
	rotate      int
	flip        string
	roi         preprocess.ROI
	orientation preprocess.Orientation // of rotate and flip
}

func (o *pictureOptions) flags(f *flag.FlagSet) {
	f.IntVar(&o.rotate, "rotate", 0, "turn pictures clockwise by `N` degrees: 90, 180 or 270")
	f.StringVar(&o.flip, "flip", "", "mirror pictures, once turned: `h` left and right, v top and bottom")
	f.Var(&o.roi, "roi", "look at the region `X,Y,W,H` of the picture as it is shown, in pixels or per cent: 25%,0%,50%,100%")
}

// check finds values that make no sense.
func (o *pictureOptions) check() (err error) {
	if o.orientation, err = preprocess.ParseOrientation(o.rotate, o.flip); err != nil {
		return cli.Usagef("-rotate, -flip: %v", err)
	}
	return nil
}
