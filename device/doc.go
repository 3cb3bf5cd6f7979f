// Package device tests the real arm64 program on a real kernel, without a
// board: QEMU runs Debian's arm64 kernel, which has cameras that are programs
// (vivid, and USB webcams by way of a virtual host controller), a GPIO chip and
// an I2C bus.
//
// A test boots a machine and tells the agent inside what to do: start the
// program, plug cameras in and out, make the camera driver fail. Colours stand
// for what is seen: a network that tells red from green takes a thousandth of
// the time of ResNet50, and a result that is red after the camera has turned
// green is an old frame.
//
// TestService boots Debian there, with systemd and sshd, and installs the
// package as people do.
package device
