// Package packaging holds what a board needs beside the program.
package packaging

import _ "embed"

// Unit is the systemd unit of a program in /usr/bin.
//
//go:embed edge-classify.service
var Unit string
