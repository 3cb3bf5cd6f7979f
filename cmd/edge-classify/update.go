package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"

	"edgeclassify/internal/atomicfile"
	"edgeclassify/internal/fetch"
)

// maxModel bounds what is downloaded, in bytes. Whether it fits the memory is seen
// when it is opened.
const maxModel = 512 << 20

// updater takes up models from the network.
type updater struct {
	path   string // of the model's file, for the next start
	models interface{ Load(path string) error }
	roots  *x509.CertPool
}

// newUpdater tests that the model's file can be replaced. authority is a PEM file of
// authorities to trust beside the system's, if any.
func newUpdater(path string, models interface{ Load(string) error }, authority string) (*updater, error) {
	u := &updater{path: path, models: models}
	if err := atomicfile.Check(path); err != nil {
		return nil, fmt.Errorf("-mqtt-update: the model cannot be replaced: %w", err)
	}
	if authority == "" {
		return u, nil
	}
	var err error
	if u.roots, err = x509.SystemCertPool(); err != nil {
		u.roots = x509.NewCertPool()
	}
	text, err := os.ReadFile(authority)
	if err != nil {
		return nil, fmt.Errorf("-mqtt-ca: %w", err)
	}
	u.roots.AppendCertsFromPEM(text)
	return u, nil
}

// part is the file that is being downloaded.
func (u *updater) part() string { return u.path + ".part" }

// update has the model at an HTTPS address run, whose file has that SHA-256, and
// replaces the model's file. If that file is the one already, it is not fetched.
func (u *updater) update(ctx context.Context, address, sum string) error {
	if got, err := fetch.SHA256(u.path); err == nil && got == sum {
		return u.models.Load(u.path)
	}
	defer os.Remove(u.part()) // if it is not in its place by then
	got, err := fetch.File(ctx, address, u.part(), maxModel, u.roots)
	if err != nil {
		return err
	}
	if got != sum {
		return fmt.Errorf("what the address holds has SHA-256 %s, expected %s, as sha256sum prints", got, sum)
	}
	if err := u.models.Load(u.part()); err != nil {
		return err
	}
	if err := os.Rename(u.part(), u.path); err != nil {
		return fmt.Errorf("the model runs, but the next start will take the one before: %w", err)
	}
	return atomicfile.SyncDir(filepath.Dir(u.path))
}
