package main

import (
	"flag"
	"os"

	"edgeclassify/internal/board"
	"edgeclassify/internal/cli"
	"edgeclassify/preprocess"
)

// pictureOptions say how pictures and frames are looked at.
type pictureOptions struct {
	rotate      int
	flip        string
	roi         preprocess.ROI
	memory      cli.Size
	orientation preprocess.Orientation // of rotate and flip
}

func (o *pictureOptions) flags(f *flag.FlagSet) {
	f.IntVar(&o.rotate, "rotate", 0, "turn pictures clockwise by `N` degrees: 90, 180 or 270")
	f.StringVar(&o.flip, "flip", "", "mirror pictures, once turned, by `AXIS`: h left and right, v top and bottom")
	o.memory = pictureMemory(board.Memory(os.DirFS("/")))
	f.Var(&o.memory, "picture-memory", "take at most `SIZE` to decode a picture, such as 256MB")
	f.Var(&o.roi, "roi", "look at the region `X,Y,W,H` of the picture as it is shown, in pixels or per cent: 25%,0%,50%,100%")
}

// pictureMemory is a quarter of the machine's, so that the model, the picture before and
// the system have theirs; and no more than any photograph takes.
func pictureMemory(total, _ int64) cli.Size {
	if total == 0 {
		total = 4 * preprocess.DefaultMemory
	}
	return cli.Size(min(total/4, preprocess.DefaultMemory))
}

func (o *pictureOptions) limits() preprocess.Limits {
	return preprocess.Limits{Memory: int64(o.memory)}
}

// check finds values that make no sense.
func (o *pictureOptions) check() (err error) {
	if o.memory < 1e6 {
		return cli.Usagef("-picture-memory %v: want at least 1MB", o.memory)
	}
	if o.orientation, err = preprocess.ParseOrientation(o.rotate, o.flip); err != nil {
		return cli.Usagef("-rotate, -flip: %v", err)
	}
	return nil
}
