package pins

import (
	"bytes"

	"periph.io/x/conn/v3/i2c"
)

// ssd1306 drives a display of 128 by 64 or 32 pixels over I²C. Commands and
// their values are those of the data sheet (Solomon Systech, SSD1306 rev 1.1,
// chapters 8 to 10 and its application note).
type ssd1306 struct {
	dev    i2c.Dev
	height int
	shown  []byte // what the display's memory holds; nil where it is not known
	buf    []byte // a message
}

func newSSD1306(bus i2c.Bus, addr uint16, height int) *ssd1306 {
	return &ssd1306{
		dev: i2c.Dev{Bus: bus, Addr: addr}, height: height,
		buf: make([]byte, 0, 1+width),
	}
}

// Control bytes, the first of a message.
const (
	controlCommands = 0x00
	controlData     = 0x40
)

func (d *ssd1306) commands(b ...byte) error { return d.send(controlCommands, b) }

func (d *ssd1306) send(control byte, b []byte) error {
	d.buf = append(append(d.buf[:0], control), b...)
	return d.dev.Tx(d.buf, nil)
}

func (d *ssd1306) start() error {
	comPins := byte(0x12) // alternating
	if d.height == 32 {
		comPins = 0x02 // in sequence
	}
	return d.commands(
		0xae,       // display off
		0xd5, 0x80, // clock: the default
		0xa8, byte(d.height-1), // rows in use
		0xd3, 0x00, // no offset of rows
		0x40,       // the memory's first line on top
		0x8d, 0x14, // charge pump on
		0x20, 0x00, // addresses go along rows, then pages
		0xa1, 0xc8, // turned so that the pins are above
		0xda, comPins,
		0x81, 0x8f, // contrast
		0xd9, 0xf1, // precharge for the charge pump
		0xdb, 0x40, // level of unselected rows
		0xa4, 0xa6, // show the memory, not inverted
		0x2e, // no scrolling
	)
}

// show writes the pages that differ from what is shown. After an error the next
// call starts the display anew: it may have lost power.
func (d *ssd1306) show(pix []byte) error {
	fresh := d.shown == nil
	if fresh {
		if err := d.start(); err != nil {
			return err
		}
	}
	shown := d.shown
	d.shown = nil
	for page := range d.height / 8 {
		row := pix[page*width:][:width]
		if !fresh && bytes.Equal(row, shown[page*width:][:width]) {
			continue
		}
		if err := d.writePage(page, row); err != nil {
			return err
		}
	}
	if fresh {
		if err := d.commands(0xaf); err != nil { // display on
			return err
		}
	}
	d.shown = append(shown[:0], pix...)
	return nil
}

func (d *ssd1306) writePage(page int, row []byte) error {
	p := byte(page)
	if err := d.commands(0x21, 0, width-1, 0x22, p, p); err != nil { // columns and pages to write
		return err
	}
	return d.send(controlData, row)
}

// off makes the display dark, unless it did not answer.
func (d *ssd1306) off() error {
	if d.shown == nil {
		return nil
	}
	return d.commands(0xae)
}
