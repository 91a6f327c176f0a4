package main

// Archives: zip, and tar.gz. Strict about what could harm: names and links that lead out of the folder, more bytes than
// declared, more bytes than allowed.

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

const (
	// entriesMax bounds the entries of one archive: a large node_modules has some ten thousand.
	entriesMax = 100_000
	// unpackedBytesMax bounds the bytes that all entries may take unpacked.
	unpackedBytesMax = 512 * 1024 * 1024
	linkBytesMax     = 4096
)

func isZip(code []byte) bool {
	return bytes.HasPrefix(code, []byte("PK\x03\x04")) || bytes.HasPrefix(code, []byte("PK\x05\x06"))
}

func isGzip(code []byte) bool {
	return bytes.HasPrefix(code, []byte{0x1f, 0x8b})
}

// unpacking writes entries into a folder and out of nothing else: os.Root follows no link that leads away.
type unpacking struct {
	root  *os.Root
	total int64
	count int
}

func unpack(code []byte, directory string) error {
	root, err := os.OpenRoot(directory)
	if err != nil {
		return err
	}
	defer root.Close()
	u := &unpacking{root: root}
	switch {
	case isZip(code):
		return u.unzip(code)
	case isGzip(code):
		return u.untar(code)
	default:
		return errors.New("the code is not a zip archive")
	}
}

func (u *unpacking) unzip(code []byte) error {
	archive, err := zip.NewReader(bytes.NewReader(code), int64(len(code)))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return fmt.Errorf("the archive is damaged: %w", err)
	}
	if len(archive.File) > entriesMax {
		return fmt.Errorf("the archive has %d entries; at most %d are allowed", len(archive.File), entriesMax)
	}
	for _, entry := range archive.File {
		err := u.entry(entry.Name, entry.Mode(), int64(entry.UncompressedSize64), func() (io.ReadCloser, error) {
			return entry.Open()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacking) untar(code []byte) error {
	unpacked, err := gzip.NewReader(bytes.NewReader(code))
	if err != nil {
		return fmt.Errorf("the archive is damaged: %w", err)
	}
	archive := tar.NewReader(unpacked)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return fmt.Errorf("the archive is damaged: %w", err)
		}
		if u.count++; u.count > entriesMax {
			return fmt.Errorf("the archive has more than %d entries", entriesMax)
		}
		mode := header.FileInfo().Mode()
		content := io.Reader(archive)
		size := header.Size
		switch header.Typeflag {
		case tar.TypeReg, tar.TypeDir:
		case tar.TypeSymlink:
			content, size = strings.NewReader(header.Linkname), int64(len(header.Linkname))
		default:
			return fmt.Errorf("the archive's entry %q is neither a file, a folder nor a symbolic link", header.Name)
		}
		err = u.entry(header.Name, mode, size, func() (io.ReadCloser, error) { return io.NopCloser(content), nil })
		if err != nil {
			return err
		}
	}
}

func (u *unpacking) entry(name string, mode fs.FileMode, size int64, open func() (io.ReadCloser, error)) error {
	target := path.Clean(name)
	if strings.Contains(name, "\x00") || path.IsAbs(name) || target == ".." || strings.HasPrefix(target, "../") {
		return fmt.Errorf("the archive's entry %q points outside of it", name)
	}
	if strings.HasSuffix(name, "/") || mode.IsDir() {
		return u.damaged(name, u.root.MkdirAll(target, 0o755))
	}
	if u.total += size; size < 0 || u.total > unpackedBytesMax {
		return fmt.Errorf("the archive unpacks to more than %d bytes", unpackedBytesMax)
	}
	if err := u.root.MkdirAll(path.Dir(target), 0o755); err != nil {
		return u.damaged(name, err)
	}
	content, err := open()
	if err != nil {
		return u.damaged(name, err)
	}
	defer content.Close()
	if mode&fs.ModeSymlink != 0 {
		return u.damaged(name, u.link(target, content))
	}
	permissions := fs.FileMode(0o644)
	if mode&0o111 != 0 {
		permissions = 0o755
	}
	file, err := u.root.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, permissions)
	if err != nil {
		return u.damaged(name, err)
	}
	written, err := io.Copy(file, io.LimitReader(content, size+1))
	if err == nil && written != size {
		err = fmt.Errorf("it has %d bytes and says %d", written, size)
	}
	return u.damaged(name, errors.Join(err, file.Close()))
}

// link makes those that stay inside: npm leaves some in node_modules/.bin.
func (u *unpacking) link(target string, content io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(content, linkBytesMax))
	if err != nil {
		return err
	}
	to := string(text)
	leads := path.Join(path.Dir(target), to)
	if path.IsAbs(to) || leads == ".." || strings.HasPrefix(leads, "../") {
		return errors.New("it is a symbolic link that points outside")
	}
	return u.root.Symlink(to, target)
}

func (u *unpacking) damaged(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the archive's entry %q cannot be unpacked: %w", name, err)
}
