package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"edgeclassify/evaluate"
	"edgeclassify/models"
	"edgeclassify/preprocess"
)

// preprocessFlags say how pictures become the network's input. What is not given is
// as -preprocess, the network's files or, last, the importer's assumption have it.
type preprocessFlags struct {
	source        string // a preset or a file
	input         preprocess.Size
	resize        preprocess.Resize
	fraction      float64 // the crop is of what is resized; 0 where not given
	interpolation string
	order         string
	mean, std     []float64 // 1 or 3, in the units that they were given in
	given         []string  // flags that override something, in their order
}

func (p *preprocessFlags) register(f *flag.FlagSet) {
	f.StringVar(&p.source, "preprocess", "", "pictures become input as the preset `NAME` ("+strings.Join(preprocess.Presets(), ", ")+
		") or the JSON file says: timm's config.json, Hugging Face's preprocessor_config.json, or one with the keys resize, crop, filter, order, mean, std; the flags below override it")
	p.flag(f, "input", "the network sees pictures of `WxH` pixels, or of one number's square", func(text string) (err error) {
		p.input, err = preprocess.ParseSize(text)
		return err
	})
	p.flag(f, "resize", "resize the short side of pictures to `N` pixels before the crop, or with WxH the whole picture, whatever its proportion", func(text string) (err error) {
		p.resize, err = preprocess.ParseResize(text)
		return err
	})
	p.flag(f, "crop", "cut out the centre: `PART` of the resized picture, as 0.875, or a size, which is that of -input", func(text string) (err error) {
		if p.fraction, err = strconv.ParseFloat(text, 64); err == nil && p.fraction > 0 && p.fraction <= 1 && text != "1" {
			return nil
		}
		p.fraction = 0
		p.input, err = preprocess.ParseSize(text)
		return err
	})
	p.flag(f, "interpolation", "resize with the `FILTER` bilinear or bicubic, both antialiased, or nearest", func(text string) (err error) {
		p.interpolation, err = preprocess.ParseFilter(text)
		return err
	})
	p.flag(f, "order", "the network's channels are in the `ORDER` rgb, bgr or grey (one channel)", func(text string) error {
		p.order = text
		return nil
	})
	p.flag(f, "mean", "subtract these `VALUES` from pixels: one, or three by commas in the network's order. If no value of -mean and -std is above 1, they are for pixels from 0 to 1, else for those from 0 to 255", values(&p.mean))
	p.flag(f, "std", "then divide pixels by these `VALUES`: see -mean", values(&p.std))
}

// flag registers one that overrides a part.
func (p *preprocessFlags) flag(f *flag.FlagSet, name, usage string, set func(string) error) {
	f.Func(name, usage, func(text string) error {
		p.given = append(p.given, "-"+name)
		return set(text)
	})
}

// values reads a number, or three by commas.
func values(to *[]float64) func(string) error {
	return func(text string) error {
		parts := strings.Split(text, ",")
		if len(parts) != 1 && len(parts) != 3 {
			return errors.New("want one number, or three by commas")
		}
		*to = nil
		for _, part := range parts {
			v, err := strconv.ParseFloat(strings.TrimSpace(part), 32)
			if err != nil {
				return fmt.Errorf("%q is no number", part)
			}
			*to = append(*to, v)
		}
		return nil
	}
}

// size is that of the input, the zero value where flags and -preprocess FILE leave
// it to the network: it goes into models.ImportOptions.
func (p *preprocessFlags) size() (preprocess.Size, error) {
	if _, preset := preprocess.Preset(p.source); p.input != (preprocess.Size{}) || preset || p.source == "" {
		return p.input, nil
	}
	s, err := readSpec(p.source)
	return s.Crop, err
}

// readSpec reads a preset or a file.
func readSpec(source string) (s preprocess.Spec, err error) {
	if s, ok := preprocess.Preset(source); ok {
		return s, nil
	}
	f, err := os.Open(source)
	if err != nil {
		return s, fmt.Errorf("-preprocess %s: neither a file nor one of %s: %w", source, strings.Join(preprocess.Presets(), ", "), err)
	}
	defer f.Close()
	const most = 64 << 20 // bytes: a config.json may name all classes
	data, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return s, fmt.Errorf("-preprocess %w", err)
	}
	if s, err = preprocess.Parse(data); err != nil {
		return s, fmt.Errorf("-preprocess %s: %w", source, err)
	}
	return s, nil
}

// apply is the preprocessing of a network and where that came from, which is empty
// where mean and standard deviation are assumed.
func (p *preprocessFlags) apply(imported *models.Imported) (s preprocess.Spec, from string, err error) {
	s, sources := imported.Preprocess, []string{}
	if p.source != "" {
		if s, err = readSpec(p.source); err != nil {
			return s, "", err
		}
		sources = []string{"-preprocess " + p.source}
	} else if imported.PreprocessFrom != "" {
		sources = []string{imported.PreprocessFrom}
	}
	input := imported.Input()
	_, preset := preprocess.Preset(p.source)
	if preset && input.C == 1 {
		s = s.Ordered(preprocess.Grey)
	}
	if size := (preprocess.Size{H: input.H, W: input.W}); s.Crop != size {
		s = s.Sized(size)
	}
	if s, err = p.override(s); err != nil {
		return s, "", err
	}
	switch {
	case p.input != (preprocess.Size{}) && p.input != s.Crop:
		return s, "", fmt.Errorf("-input %v: the network sees %v only", p.input, s.Crop)
	case input.C != 1 && input.C != 3:
		return s, "", fmt.Errorf("%s takes %d channels: pictures have 1 or 3", imported.Name, input.C)
	case s.Channels() != input.C:
		return s, "", fmt.Errorf("%s takes %d channels, and the order %s has %d: want -order grey for 1, rgb or bgr for 3", imported.Name, input.C, s.Order, s.Channels())
	}
	if len(sources) > 0 || p.mean != nil && p.std != nil {
		from = strings.Join(append(sources, p.given...), ", ")
	}
	return s, from, s.Validate()
}

// override lets single flags have their way.
func (p *preprocessFlags) override(s preprocess.Spec) (preprocess.Spec, error) {
	switch {
	case p.fraction != 0 && p.resize != (preprocess.Resize{}):
		return s, errors.New("-resize and a fraction as -crop both say to what pictures are resized: want one of them")
	case p.fraction != 0:
		s.Resize = s.Resize.Around(s.Crop, p.fraction)
	case p.resize != (preprocess.Resize{}):
		floor := p.resize.Floor || p.resize.Short != 0 && (s.Resize.Floor || s.Resize.Short == 0)
		s.Resize = p.resize
		s.Resize.Floor = floor
	}
	if p.interpolation != "" {
		s.Filter = p.interpolation
	}
	if p.order != "" {
		s = s.Ordered(p.order)
	}
	unit := 255.
	if slices.Max(append([]float64{0}, append(p.mean, p.std...)...)) > 1 {
		unit = 1
	}
	for i := range s.Mean {
		if p.mean != nil {
			s.Mean[i] = float32(unit * p.mean[i%len(p.mean)])
		}
		if p.std != nil {
			s.Std[i] = float32(unit * p.std[i%len(p.std)])
		}
	}
	return s, nil
}

// describePreprocessing tells in a line or two what is done to pictures, where that
// came from and, where nothing says it, what to do about that.
func describePreprocessing(s preprocess.Spec, from, guess string) string {
	if from != "" {
		return fmt.Sprintf("preprocessing: %s (from %s)", s.Describe(), from)
	}
	return fmt.Sprintf("preprocessing: %s (%s)\n"+
		"nothing says how the pictures of its training were prepared; where this is not how, its answers are wrong: give -preprocess NAME or FILE, or -mean and -std, see -h", s.Describe(), strings.TrimSuffix("assumed: "+guess, ": "))
}

// describeFit warns of preprocessing that does not fit the network; empty where
// labelled pictures show nothing better.
func describeFit(own evaluate.Fit, better *evaluate.Fit) string {
	if better == nil {
		return ""
	}
	return fmt.Sprintf("WARNING: the preprocessing does not fit the network: the float network is right on %d of %d labelled pictures, but on %d of %d with %s: give that",
		own.Right, own.Of, better.Right, better.Of, better.Flags)
}
