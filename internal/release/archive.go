package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// entry is a file in an archive.
type entry struct {
	name string
	mode int64
	data []byte
}

// entries reads files: programs, which can be executed, and texts.
func entries(programs, texts []string) ([]entry, error) {
	var list []entry
	for i, path := range append(programs, texts...) {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		e := entry{filepath.Base(path), 0o644, b}
		if i < len(programs) {
			e.mode = 0o755
		}
		list = append(list, e)
	}
	return list, nil
}

// archive packs the programs and what belongs to them.
func (b *build) archive(out string) (string, error) {
	root, err := sources("")
	if err != nil {
		return "", err
	}
	var files []string
	for _, program := range programs {
		files = append(files, b.programs[program])
	}
	list, err := entries(files, []string{filepath.Join(root, "LICENSE"), filepath.Join(root, "README.md"), b.notices})
	if err != nil {
		return "", err
	}
	stem := fmt.Sprintf("edge-classify_%s_%s_%s%s", b.version, b.os, b.arch, b.variant)
	for i := range list {
		list[i].name = stem + "/" + list[i].name
	}
	path := filepath.Join(out, stem+".tar.gz")
	var packed bytes.Buffer
	if b.os == "windows" {
		path = filepath.Join(out, stem+".zip")
		err = writeZip(&packed, list, b.time)
	} else {
		z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // a level that there is
		if err = writeTar(z, list, b.time); err == nil {
			err = z.Close()
		}
	}
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path, packed.Bytes(), 0o644)
}

// writeTar gives all files the same time and owner.
func writeTar(w io.Writer, list []entry, at time.Time) error {
	t := tar.NewWriter(w)
	for _, e := range list {
		if err := t.WriteHeader(&tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.data)), ModTime: at, Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		if _, err := t.Write(e.data); err != nil {
			return err
		}
	}
	return t.Close()
}

func writeZip(w io.Writer, list []entry, at time.Time) error {
	z := zip.NewWriter(w)
	for _, e := range list {
		f, err := z.CreateHeader(&zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: at})
		if err != nil {
			return err
		}
		if _, err := f.Write(e.data); err != nil {
			return err
		}
	}
	return z.Close()
}
